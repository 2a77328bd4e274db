"""Deciders over math instances, one file each."""
