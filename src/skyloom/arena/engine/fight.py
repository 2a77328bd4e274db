"""Fighting: who shoots whom, and what it does.

Formula  damage = max(0.5, damage - armour), all hits of a loop land together, then the dead are taken away; cooldown =
         period - 1/16 .. + 1/8 of a normal second's loops at random, as in the game (between -1 and +2 loops)
Flow     step.think -> [FIGHT], step.tick -> bury
Shapes   see layout; u = attacker, v = target, p = player 0 or 1
"""

from skyloom.arena.engine.geometry import Row, Table, draw, gap
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    H_LOOP,
    H_SLOTS,
    NEUTRAL,
    P_KILLED,
    SLOTS,
    U_COOLDOWN,
    U_FACING,
    U_HIT,
    U_HP,
    U_OWNER,
    U_SIZE,
    U_SPEED,
    U_STUCK,
    U_TARGET,
    U_X,
    U_Y,
    UNIT0,
    W_DAMAGE,
    W_LIST,
    W_LIST_N,
)
from skyloom.arena.engine.move import facing, walk
from skyloom.arena.engine.rules import T
from skyloom.arena.engine.units import count_food, find, player, remove, sees, tag_of

LEAST: int = 128
"""Half a hit point."""
LOOP: int = 256


@jit
def list_targets(s: Row, t: Table, w: Row) -> None:
    """For each player, the enemy units that it sees."""
    for p in range(2):
        n = 0
        for slot in range(int(s[H_SLOTS])):
            v = UNIT0 + slot * U_SIZE
            owner = int(s[v + U_OWNER])
            if int(s[v]) == 0 or owner == p + 1 or owner == NEUTRAL:
                continue
            if sees(s, t, p, int(s[v]), int(s[v + U_X]), int(s[v + U_Y])):
                w[W_LIST + p * SLOTS + n] = v
                n += 1
        w[W_LIST_N + p] = n


@jit
def acquire(s: Row, t: Table, w: Row, u: int) -> int:
    """The best target in reach of u's eyes: highest priority, then nearest; 0 = none."""
    p = int(s[u + U_OWNER]) - 1
    reach = int(t[int(s[u]), T.ACQUIRE])
    best = 0
    rank = -1
    nearest = 0
    for i in range(int(w[W_LIST_N + p])):
        v = int(w[W_LIST + p * SLOTS + i])
        if int(s[v]) == 0 or abs(int(s[v + U_X]) - int(s[u + U_X])) > reach + 16384:
            continue
        far = gap(s, t, u, v)
        priority = int(t[int(s[v]), T.PRIORITY])
        if far <= reach and (priority > rank or (priority == rank and far < nearest)):
            best = v
            rank = priority
            nearest = far
    return best


@jit
def fight(s: Row, t: Table, g: Table, w: Row, u: int, v: int) -> None:
    """One loop of a unit against its target: shoot when it can, else go nearer."""
    kind = int(s[u])
    if gap(s, t, u, v) > int(t[kind, T.RANGE]):
        if int(s[u + U_COOLDOWN]) < int(t[kind, T.PERIOD]) - 2 * LOOP:
            walk(s, t, g, w, u, int(s[v + U_X]), int(s[v + U_Y]), 3 if int(t[int(s[v]), T.WIDTH]) > 0 else 0)
        return
    s[u + U_SPEED] = 0
    s[u + U_STUCK] = 0
    dx = int(s[v + U_X]) - int(s[u + U_X])
    dy = int(s[v + U_Y]) - int(s[u + U_Y])
    if dx != 0 or dy != 0:
        s[u + U_FACING] = facing(dx, dy)
    if int(s[u + U_COOLDOWN]) <= 0:
        w[W_DAMAGE + (v - UNIT0) // U_SIZE] += max(int(t[kind, T.DAMAGE]) - int(t[int(s[v]), T.ARMOUR]), LEAST)
        s[v + U_HIT] = s[H_LOOP]
        s[u + U_COOLDOWN] = int(t[kind, T.PERIOD]) - LOOP + draw(s, 3 * LOOP)


@jit
def engage(s: Row, t: Table, g: Table, w: Row, u: int) -> bool:
    """Look for an enemy (every 4 loops, or when the last one is gone) and fight it; False if there is none."""
    v = find(s, int(s[u + U_TARGET]))
    p = int(s[u + U_OWNER]) - 1
    if v > 0 and not sees(s, t, p, int(s[v]), int(s[v + U_X]), int(s[v + U_Y])):
        v = 0
    if int(s[H_LOOP]) % 4 == 0 and (v == 0 or gap(s, t, u, v) > int(t[int(s[u]), T.RANGE]) or is_harmless(s, t, v)):
        v = acquire(s, t, w, u)
    s[u + U_TARGET] = tag_of(s, v) if v > 0 else 0
    if v == 0:
        return False
    fight(s, t, g, w, u, v)
    return True


@jit
def is_harmless(s: Row, t: Table, v: int) -> bool:
    """Whether a unit has no weapon: worth looking for a better target."""
    return int(t[int(s[v]), T.DAMAGE]) == 0


@jit
def bury(s: Row, t: Table, e: Table, w: Row) -> None:
    """All damage of this loop at once, then take the dead away."""
    lost = False
    for slot in range(int(s[H_SLOTS])):
        damage = int(w[W_DAMAGE + slot])
        if damage == 0:
            continue
        w[W_DAMAGE + slot] = 0
        u = UNIT0 + slot * U_SIZE
        s[u + U_HP] -= damage
        if int(s[u + U_HP]) <= 0:
            s[player(2 - int(s[u + U_OWNER])) + P_KILLED] += t[int(s[u]), T.MINERALS]
            remove(s, t, u)
            lost = True
    if lost:
        count_food(s, t, e)
