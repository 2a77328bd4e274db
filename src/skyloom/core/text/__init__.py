"""Text tools that reward and mathqa both need: normal forms and n-gram indexes."""
