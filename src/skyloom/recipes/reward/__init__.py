"""Recipes of the reward system."""
