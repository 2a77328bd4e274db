"""Annotators of math instances, one file each."""
