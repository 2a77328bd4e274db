"""Scripted players on the fogged view, one strategy a file."""
