"""The preference world: instructions with verifiable preferences, and the defects that are planted in them."""
