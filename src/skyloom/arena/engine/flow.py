"""Flow fields: the length of the shortest way from every cell to a goal cell, and the next way point on it.

Formula  Dial's algorithm with steps of 5 (straight) and 7 (diagonal, no cutting of corners) on free cells; a goal inside a
         footprint spreads through it (up to 3 cells) before it leaves it
Flow     move.plan -> [FLOW]; fields stay in the scratch row under (goal, hash of all footprints), so a stale one is never read
Shapes   see layout; C = width * height cells, c = y * width + x
"""

from skyloom.arena.engine.geometry import Row, Table, is_clear, is_free
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    BUCKETS,
    FLOWS,
    H_FOOT_HI,
    H_FOOT_LO,
    H_HEIGHT,
    H_WIDTH,
    W_HEADS,
    W_KEYS,
    W_STAMP,
)

NEVER: int = 1 << 29


@jit
def field_of(s: Row, w: Row, g: Table, goal: int) -> int:
    """Offset in the scratch row of the field for a goal cell; computed where it is not there yet."""
    cells = int(s[H_WIDTH]) * int(s[H_HEIGHT])
    w[W_STAMP] += 1
    oldest = 0
    for i in range(FLOWS):
        key = W_KEYS + 4 * i
        if int(w[key]) == goal + 1 and w[key + 1] == s[H_FOOT_LO] and w[key + 2] == s[H_FOOT_HI]:
            w[key + 3] = w[W_STAMP]
            return W_HEADS + cells * (1 + BUCKETS + i)
        if w[key + 3] < w[W_KEYS + 4 * oldest + 3]:
            oldest = i
    key = W_KEYS + 4 * oldest
    w[key] = goal + 1
    w[key + 1] = s[H_FOOT_LO]
    w[key + 2] = s[H_FOOT_HI]
    w[key + 3] = w[W_STAMP]
    base = W_HEADS + cells * (1 + BUCKETS + oldest)
    spread(s, w, g, goal, base)
    return base


@jit
def spread(s: Row, w: Row, g: Table, goal: int, base: int) -> None:
    """Fill the field at `base` by Dial's algorithm: bucket d % BUCKETS holds the cells found at distance d."""
    width = int(s[H_WIDTH])
    cells = width * int(s[H_HEIGHT])
    buckets = W_HEADS + cells
    for c in range(cells):
        w[base + c] = NEVER
    sizes = [0, 0, 0, 0, 0, 0, 0, 0]
    w[base + goal] = 0
    w[buckets] = goal
    sizes[0] = 1
    left = 1
    distance = 0
    while left > 0:
        bucket = distance % BUCKETS
        while sizes[bucket] > 0:
            sizes[bucket] -= 1
            left -= 1
            c = int(w[buckets + bucket * cells + sizes[bucket]])
            if int(w[base + c]) != distance:
                continue
            x = c % width
            y = c // width
            inside = not is_free(s, g, x, y)
            for k in range(8):
                dx = (1, -1, 0, 0, 1, 1, -1, -1)[k]
                dy = (0, 0, 1, -1, 1, -1, 1, -1)[k]
                if not may_step(s, g, x, y, dx, dy, inside, goal % width, goal // width):
                    continue
                n = c + dy * width + dx
                further = distance + (5 if k < 4 else 7)
                if further < int(w[base + n]):
                    w[base + n] = further
                    b = further % BUCKETS
                    if sizes[b] < cells:
                        w[buckets + b * cells + sizes[b]] = n
                        sizes[b] += 1
                        left += 1
        distance += 1


@jit
def may_step(s: Row, g: Table, x: int, y: int, dx: int, dy: int, inside: bool, goal_x: int, goal_y: int) -> bool:
    """Whether a field spreads from (x, y) by (dx, dy); `inside` = (x, y) belongs to the footprint around the goal."""
    nx = x + dx
    ny = y + dy
    if not is_free(s, g, nx, ny):
        near = abs(nx - goal_x) <= 3 and abs(ny - goal_y) <= 3
        return inside and near and 0 <= nx < int(s[H_WIDTH]) and 0 <= ny < int(s[H_HEIGHT])
    if dx == 0 or dy == 0 or inside:
        return True
    return is_free(s, g, nx, y) and is_free(s, g, x, ny)


@jit
def follow(s: Row, w: Row, g: Table, x: int, y: int, goal: int) -> int:
    """The furthest of the next 12 cells on the way from (x, y), fixed point, that is in plain sight; -1 = no way."""
    base = field_of(s, w, g, goal)
    width = int(s[H_WIDTH])
    c = (y >> 12) * width + (x >> 12)
    best = -1
    for _ in range(12):
        c = downhill(s, w, g, base, c, goal)
        if c < 0:
            break
        if best >= 0 and not is_clear(s, g, x, y, (c % width) * 4096 + 2048, (c // width) * 4096 + 2048, 0):
            break
        best = c
        if c == goal:
            break
    return best


@jit
def downhill(s: Row, w: Row, g: Table, base: int, c: int, goal: int) -> int:
    """The neighbour of cell c nearest to the goal; -1 if none is nearer."""
    width = int(s[H_WIDTH])
    x = c % width
    y = c // width
    inside = not is_free(s, g, x, y)
    best = -1
    least = NEVER
    for k in range(8):
        dx = (1, -1, 0, 0, 1, 1, -1, -1)[k]
        dy = (0, 0, 1, -1, 1, -1, 1, -1)[k]
        if not (is_free(s, g, x + dx, y + dy) or (x + dx == goal % width and y + dy == goal // width)):
            continue
        if dx != 0 and dy != 0 and not inside and not (is_free(s, g, x + dx, y) and is_free(s, g, x, y + dy)):
            continue
        n = c + dy * width + dx
        total = int(w[base + n]) + (5 if k < 4 else 7)
        if total < least and int(w[base + n]) < int(w[base + c]):
            best = n
            least = total
    return best
