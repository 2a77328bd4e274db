"""Fog of war: what each player sees now, has seen, and remembers.

Formula  a unit sees the disc of its sight radius around its cell; bit rows, set a row at a time
Flow     every 4 loops from step.tick; memories are all that a view knows of structures and resources out of sight
Shapes   see layout
"""

from skyloom.arena.engine.geometry import Row, Table, set_bits
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    G_SEEN,
    G_VISIBLE,
    GRID0,
    H_HEIGHT,
    H_SLOTS,
    H_WORDS,
    K_BUILT,
    K_OWNER,
    K_SIZE,
    K_TAG,
    K_X,
    K_Y,
    NEUTRAL,
    U_BUILT,
    U_OWNER,
    U_SIZE,
    U_X,
    U_Y,
    UNIT0,
)
from skyloom.arena.engine.rules import T
from skyloom.arena.engine.units import memory, sees, tag_of


@jit
def look(s: Row, t: Table) -> None:
    """Bring visibility and memories up to date for both players."""
    size = int(s[H_HEIGHT]) * int(s[H_WORDS])
    for i in range(2 * size):
        s[GRID0 + G_VISIBLE * size + i] = 0
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        if int(s[u]) > 0 and int(s[u + U_OWNER]) != NEUTRAL:
            reveal(s, t, u)
    for i in range(2 * size):
        s[GRID0 + G_SEEN * size + i] |= s[GRID0 + G_VISIBLE * size + i]
    for p in range(2):
        remember(s, t, p)


@jit
def reveal(s: Row, t: Table, u: int) -> None:
    """Set the disc that a unit sees; an unfinished structure sees only its own footprint's surroundings."""
    kind = int(s[u])
    sight = int(t[kind, T.SIGHT])
    if int(s[u + U_BUILT]) < int(t[kind, T.BUILD]):
        sight = min(sight, int(t[kind, T.WIDTH]))
    x = int(s[u + U_X]) >> 12
    y = int(s[u + U_Y]) >> 12
    grid = G_VISIBLE + int(s[u + U_OWNER]) - 1
    half = sight
    for dy in range(sight + 1):
        while half * half > sight * sight - dy * dy:
            half -= 1
        set_bits(s, grid, y + dy, x - half, x + half, 1)
        set_bits(s, grid, y - dy, x - half, x + half, 1)


@jit
def remember(s: Row, t: Table, p: int) -> None:
    """Note what stands in sight and cannot walk; forget what is seen to be gone."""
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        k = memory(p, u)
        kind = int(s[u])
        if kind > 0 and int(t[kind, T.WIDTH]) > 0 and int(s[u + U_OWNER]) != p + 1:
            if sees(s, t, p, kind, int(s[u + U_X]), int(s[u + U_Y])):
                s[k] = kind
                s[k + K_OWNER] = s[u + U_OWNER]
                s[k + K_TAG] = tag_of(s, u)
                s[k + K_X] = s[u + U_X]
                s[k + K_Y] = s[u + U_Y]
                s[k + K_BUILT] = s[u + U_BUILT]
                continue
            if int(s[k + K_TAG]) == tag_of(s, u):
                continue
        if int(s[k]) > 0 and sees(s, t, p, int(s[k]), int(s[k + K_X]), int(s[k + K_Y])):
            for i in range(K_SIZE):
                s[k + i] = 0
