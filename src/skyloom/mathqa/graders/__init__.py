"""Graders of the panel, one file each: what a common script says of an output; THE grader is `ours`."""
