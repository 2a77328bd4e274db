"""The network that plays."""
