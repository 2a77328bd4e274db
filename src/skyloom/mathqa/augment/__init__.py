"""Augmenters, one file and one prompt template each."""
