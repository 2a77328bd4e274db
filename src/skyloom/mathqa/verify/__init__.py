"""Is the answer right: extraction and equivalence."""
