"""Recipes of the starcraft system."""
