"""Matches with an interval, one file each."""
