"""Skyloom: collect, curate, train, evaluate, report, for reward models, math data and StarCraft II."""
