"""Maps of our own design, as data."""
