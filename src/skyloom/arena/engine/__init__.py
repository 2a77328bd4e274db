"""The embedded game: numpy and numba, integers only.

A game is one flat int32 row (`layout`); N games are one (N, S) array, so a clone, a snapshot and a hash are one copy.
Flow  rules (numbers) + layout (where they stand) -> kernels (what happens in a loop) -> arena.match, arena.view
"""
