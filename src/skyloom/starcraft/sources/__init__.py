"""Recorded games, one kind a file."""
