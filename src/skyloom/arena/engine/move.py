"""Walking: way points, acceleration, pushing apart, walls.

Formula  towards the way point by the unit's speed; two overlapping units each give way by half the overlap, at most 1/8
         cell a loop; a step into a blocked cell keeps only its free component
Flow     step.think calls walk for each unit, then step.tick calls separate and settle once for all
Shapes   see layout; the scratch row sums each unit's step in W_DX, W_DY
"""

from skyloom.arena.engine.flow import follow
from skyloom.arena.engine.geometry import Row, Table, is_clear, is_free, isqrt, part
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    H_HEIGHT,
    H_LOOP,
    H_SLOTS,
    H_WIDTH,
    U_DISTANCE,
    U_FACING,
    U_OWNER,
    U_PHASE,
    U_PLAN,
    U_SITE,
    U_SIZE,
    U_SPEED,
    U_STUCK,
    U_WAY_X,
    U_WAY_Y,
    U_X,
    U_Y,
    UNIT0,
    W_DX,
    W_DY,
    W_HEADS,
    W_NEXT,
)
from skyloom.arena.engine.rules import T

PUSH: int = 512
NEW: int = 1 << 30
"""Distance to a way point that was just chosen: neither progress nor none."""
PATIENCE: int = 16
"""Loops of no progress near the goal after which a unit has arrived."""


@jit
def walk(s: Row, t: Table, g: Table, w: Row, u: int, x: int, y: int, slack: int) -> None:
    """One step towards (x, y); the last `slack` cells of the way may be blocked (a structure or patch to reach)."""
    here_x = int(s[u + U_X])
    here_y = int(s[u + U_Y])
    loop = int(s[H_LOOP])
    at_way = abs(int(s[u + U_WAY_X]) - here_x) + abs(int(s[u + U_WAY_Y]) - here_y) < 2048
    if loop >= int(s[u + U_PLAN]) or at_way:
        s[u + U_PLAN] = loop + 16
        way_x = x
        way_y = y
        if not is_clear(s, g, here_x, here_y, x, y, slack):
            c = follow(s, w, g, here_x, here_y, (y >> 12) * int(s[H_WIDTH]) + (x >> 12))
            if c >= 0:
                way_x = c % int(s[H_WIDTH]) * 4096 + 2048
                way_y = c // int(s[H_WIDTH]) * 4096 + 2048
        if way_x != int(s[u + U_WAY_X]) or way_y != int(s[u + U_WAY_Y]):
            s[u + U_DISTANCE] = NEW
        s[u + U_WAY_X] = way_x
        s[u + U_WAY_Y] = way_y
    dx = int(s[u + U_WAY_X]) - here_x
    dy = int(s[u + U_WAY_Y]) - here_y
    distance = isqrt(dx * dx + dy * dy)
    speed = min(int(s[u + U_SPEED]) + int(t[int(s[u]), T.ACCEL]), int(t[int(s[u]), T.SPEED]))
    if distance > int(s[u + U_DISTANCE]) - speed // 4:
        s[u + U_STUCK] += 1
    elif int(s[u + U_DISTANCE]) != NEW:
        s[u + U_STUCK] = 0
    s[u + U_DISTANCE] = distance
    s[u + U_SPEED] = speed
    if distance > 0:
        step = min(speed, distance)
        slot = (u - UNIT0) // U_SIZE
        w[W_DX + slot] += part(dx, step, distance)
        w[W_DY + slot] += part(dy, step, distance)
        s[u + U_FACING] = facing(dx, dy)


@jit
def has_arrived(s: Row, u: int, x: int, y: int) -> bool:
    """At the goal, or so near in a crowd that nothing moves any more."""
    dx = abs(int(s[u + U_X]) - x)
    dy = abs(int(s[u + U_Y]) - y)
    stuck = int(s[u + U_STUCK])
    return max(dx, dy) < 1024 or (stuck > PATIENCE and max(dx, dy) < 4 * 4096) or stuck > 16 * PATIENCE


@jit
def facing(dx: int, dy: int) -> int:
    """Direction of (dx, dy), not both 0, in 256ths of a turn counter-clockwise from +x; within 4 of the exact angle."""
    ax = abs(dx)
    ay = abs(dy)
    eighth = 32 * min(ax, ay) // max(ax, ay)
    first = eighth if ax >= ay else 64 - eighth
    half = first if dx >= 0 else 128 - first
    return (half if dy >= 0 else 256 - half) & 255


@jit
def is_ghost(s: Row, t: Table, u: int) -> bool:
    """Harvesting and building workers pass through other units, as in the game."""
    return int(t[int(s[u]), T.SPEED]) == 0 or int(s[u + U_PHASE]) > 0 or int(s[u + U_SITE]) > 0


@jit
def separate(s: Row, t: Table, w: Row) -> None:
    """Push overlapping units apart; every pair is met once through lists of units by cell."""
    width = int(s[H_WIDTH])
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        if int(s[u]) == 0 or is_ghost(s, t, u):
            continue
        x = int(s[u + U_X]) >> 12
        y = int(s[u + U_Y]) >> 12
        for cy in range(max(y - 1, 0), min(y + 2, int(s[H_HEIGHT]))):
            for cx in range(max(x - 1, 0), min(x + 2, width)):
                other = int(w[W_HEADS + cy * width + cx])
                while other > 0:
                    push_apart(s, t, w, slot, other - 1)
                    other = int(w[W_NEXT + other - 1])
        w[W_NEXT + slot] = w[W_HEADS + y * width + x]
        w[W_HEADS + y * width + x] = slot + 1
    for slot in range(int(s[H_SLOTS])):  # only the heads in use: clearing the whole map costs as much as the rest
        u = UNIT0 + slot * U_SIZE
        w[W_HEADS + (int(s[u + U_Y]) >> 12) * width + (int(s[u + U_X]) >> 12)] = 0


@jit
def push_apart(s: Row, t: Table, w: Row, i: int, j: int) -> None:
    """Both units of an overlapping pair give way alike."""
    u = UNIT0 + i * U_SIZE
    v = UNIT0 + j * U_SIZE
    dx = int(s[u + U_X]) - int(s[v + U_X])
    dy = int(s[u + U_Y]) - int(s[v + U_Y])
    reach = int(t[int(s[u]), T.RADIUS]) + int(t[int(s[v]), T.RADIUS])
    square = dx * dx + dy * dy
    if square >= reach * reach:
        return
    if square == 0:
        dx = 1 if int(s[u + U_OWNER]) == 1 else -1
        square = 1
    distance = isqrt(square)
    size = min((reach - distance) // 2, PUSH)
    w[W_DX + i] += part(dx, size, distance)
    w[W_DY + i] += part(dy, size, distance)
    w[W_DX + j] -= part(dx, size, distance)
    w[W_DY + j] -= part(dy, size, distance)


@jit
def settle(s: Row, g: Table, w: Row) -> None:
    """Apply every unit's step; blocked cells stop the component that leads into them."""
    for slot in range(int(s[H_SLOTS])):
        dx = int(w[W_DX + slot])
        dy = int(w[W_DY + slot])
        w[W_DX + slot] = 0
        w[W_DY + slot] = 0
        u = UNIT0 + slot * U_SIZE
        if (dx == 0 and dy == 0) or int(s[u]) == 0:
            continue
        x = min(max(int(s[u + U_X]) + dx, 0), (int(s[H_WIDTH]) << 12) - 1)
        y = min(max(int(s[u + U_Y]) + dy, 0), (int(s[H_HEIGHT]) << 12) - 1)
        here_x = int(s[u + U_X])
        here_y = int(s[u + U_Y])
        if is_free(s, g, x >> 12, y >> 12) or not is_free(s, g, here_x >> 12, here_y >> 12):
            s[u + U_X] = x
            s[u + U_Y] = y
        elif is_free(s, g, x >> 12, here_y >> 12):
            s[u + U_X] = x
        elif is_free(s, g, here_x >> 12, y >> 12):
            s[u + U_Y] = y
