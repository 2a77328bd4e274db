"""Deciders over recorded games, one file each."""
