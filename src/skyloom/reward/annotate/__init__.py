"""Annotators of preference pairs, one file each."""
