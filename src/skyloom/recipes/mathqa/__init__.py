"""Recipes of the mathqa system."""
