"""System 3, StarCraft Commander (arXiv 2012.13169): imitate recorded games, then play."""
