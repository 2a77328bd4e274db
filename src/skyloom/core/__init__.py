"""What the three systems share; imports no sibling."""
