"""Annotators of recorded games, one file each."""
