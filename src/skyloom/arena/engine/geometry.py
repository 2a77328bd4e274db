"""Integer geometry, bit grids, the random numbers of a game.

Formula  isqrt by Newton from a power of two at or above the root; xorshift32 (Marsaglia 2003)
Flow     [GEOMETRY] -> movement, pathing, fog, fighting
Shapes   see layout
"""

import numpy as np
from numpy.typing import NDArray

from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import GRID0, H_HEIGHT, H_RNG, H_WIDTH, H_WORDS, U_X, U_Y
from skyloom.arena.engine.rules import T

Row = NDArray[np.int32]
Table = NDArray[np.int64]
MASK: int = 0xFFFFFFFF
FAR: int = 1 << 40


@jit
def isqrt(n: int) -> int:
    """Floor of the square root, n >= 0."""
    if n < 2:
        return n
    x = 1
    m = n
    while m > 0:
        x <<= 1
        m >>= 2
    while True:
        y = (x + n // x) >> 1
        if y >= x:
            return x
        x = y


@jit
def part(a: int, n: int, d: int) -> int:
    """a * n / d rounded towards zero (d > 0): mirror images move alike."""
    return a * n // d if a >= 0 else -((-a) * n // d)


@jit
def signed(word: int) -> int:
    """32 bits as the int32 that holds them."""
    word &= MASK
    return word - (1 << 32) if word >> 31 else word


@jit
def draw(s: Row, n: int) -> int:
    """The next random number of this game, 0 <= r < n."""
    x = int(s[H_RNG]) & MASK
    x ^= (x << 13) & MASK
    x ^= x >> 17
    x ^= (x << 5) & MASK
    s[H_RNG] = signed(x)
    return x % n


@jit
def get_bit(s: Row, grid: int, x: int, y: int) -> int:
    """Bit (x, y) of a grid; 0 outside the map."""
    if x < 0 or y < 0 or x >= int(s[H_WIDTH]) or y >= int(s[H_HEIGHT]):
        return 0
    words = int(s[H_WORDS])
    word = int(s[GRID0 + (grid * int(s[H_HEIGHT]) + y) * words + (x >> 5)])
    return (word >> (x & 31)) & 1


@jit
def set_bits(s: Row, grid: int, y: int, low: int, high: int, value: int) -> None:
    """Set bits low..high (both included, clipped) of row y to value."""
    if y < 0 or y >= int(s[H_HEIGHT]):
        return
    low = max(low, 0)
    high = min(high, int(s[H_WIDTH]) - 1)
    base = GRID0 + (grid * int(s[H_HEIGHT]) + y) * int(s[H_WORDS])
    for word in range(low >> 5, (high >> 5) + 1):
        first = max(low - (word << 5), 0)
        last = min(high - (word << 5), 31)
        if last < first:
            continue
        mask = ((1 << (last + 1)) - 1) & ~((1 << first) - 1)
        old = int(s[base + word]) & MASK
        s[base + word] = signed(old | mask if value else old & ~mask)


@jit
def edge_x(x: int, width: int) -> int:
    """First cell of a footprint `width` wide around x."""
    return (x - width * 2048) >> 12


@jit
def gap(s: Row, t: Table, u: int, v: int) -> int:
    """Free distance between two units: circles, but a footprint counts as its rectangle. Not below 0."""
    kind = int(s[v])
    return gap_to(
        int(s[u + U_X]), int(s[u + U_Y]), int(t[int(s[u]), T.RADIUS]), t, kind, int(s[v + U_X]), int(s[v + U_Y])
    )


@jit
def gap_to(x: int, y: int, radius: int, t: Table, kind: int, cx: int, cy: int) -> int:
    """Free distance from a circle at (x, y) to a unit of a kind at (cx, cy)."""
    dx = abs(x - cx)
    dy = abs(y - cy)
    if int(t[kind, T.WIDTH]) > 0:
        dx = max(dx - int(t[kind, T.WIDTH]) * 2048, 0)
        dy = max(dy - int(t[kind, T.HEIGHT]) * 2048, 0)
    else:
        radius += int(t[kind, T.RADIUS])
    return max(isqrt(dx * dx + dy * dy) - radius, 0)


@jit
def is_free(s: Row, g: Table, x: int, y: int) -> bool:
    """Whether a ground unit may stand in cell (x, y): no cliff, no footprint, on the map."""
    if x < 0 or y < 0 or x >= int(s[H_WIDTH]) or y >= int(s[H_HEIGHT]):
        return False
    return (int(g[y, x]) & 1) == 1 and get_bit(s, 4, x, y) == 0


@jit
def is_clear(s: Row, g: Table, x0: int, y0: int, x1: int, y1: int, slack: int) -> bool:
    """Whether the straight way is free, sampled each half cell; cells within `slack` cells of its end do not count."""
    dx = x1 - x0
    dy = y1 - y0
    steps = max(abs(dx), abs(dy)) // 2048 + 1
    end_x = x1 >> 12
    end_y = y1 >> 12
    for i in range(1, steps + 1):
        cx = (x0 + part(dx, i, steps)) >> 12
        cy = (y0 + part(dy, i, steps)) >> 12
        if abs(cx - end_x) <= slack and abs(cy - end_y) <= slack:
            return True
        if not is_free(s, g, cx, cy):
            return False
    return True
