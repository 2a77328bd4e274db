"""Deciders over preference pairs, one file each."""
