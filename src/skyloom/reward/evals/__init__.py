"""Benchmarks of a reward model, one file each."""
