"""Scaling: what would twice the data buy, and which part of the data buys the next point."""
