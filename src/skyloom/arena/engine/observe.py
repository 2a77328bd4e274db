"""What one player sees, written into the arrays of a view: the only door from the state to a player.

Flow    kernels.observe -> [OBSERVE] -> arena.view; the order of numbers is that of arena.spec (checked by a test)
Shapes  see layout; out_S scalars, map_PYX planes, rows_RC my, enemy and neutral units in a row, n_3 counts
"""

import numpy as np
from numpy.typing import NDArray

from skyloom.arena.engine.geometry import Row, Table, edge_x, get_bit
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    G_SEEN,
    G_VISIBLE,
    H_HEIGHT,
    H_LOOP,
    H_SLOTS,
    H_WIDTH,
    K_BUILT,
    K_OWNER,
    K_TAG,
    K_X,
    K_Y,
    NEUTRAL,
    O_ROW,
    O_TAG,
    O_X,
    O_Y,
    P_FOOD_CAP,
    P_FOOD_USED,
    P_KILLED,
    P_LOST,
    P_MINED,
    P_MINERALS,
    P_VESPENE,
    SLOTS,
    TAG_SHIFT,
    U_BUILT,
    U_CARGO,
    U_CONTENTS,
    U_COOLDOWN,
    U_FACING,
    U_HIT,
    U_HP,
    U_MAKING,
    U_ORDER,
    U_ORDERS,
    U_OWNER,
    U_PATCH,
    U_PHASE,
    U_QUEUE,
    U_QUEUE_N,
    U_SITE,
    U_SIZE,
    U_X,
    U_Y,
    UNIT0,
)
from skyloom.arena.engine.rules import Role, T
from skyloom.arena.engine.units import find, memory, player, sees, tag_of

Plane = NDArray[np.uint8]
MY: int = 256
ENEMY: int = 256
OTHERS: int = 64
HIT_FOR: int = 32
AROUND: int = 10 * 4096
"""Patches this near belong to a town hall."""
(C_TAG, C_TYPE, C_DISPLAY, C_X, C_Y, C_FACING, C_RADIUS, C_HP, C_HP_MAX, C_BUILT, C_COOLDOWN, C_CONTENTS) = range(12)
(C_CARGO, C_ORDER, C_ORDERS, C_GOAL_X, C_GOAL_Y, C_GOAL_TAG, C_QUEUE, C_PROGRESS) = range(12, 20)
(C_ASSIGNED, C_IDEAL, C_BUSY, C_HIT) = range(20, 24)


@jit
def observe(s: Row, t: Table, g: Table, p: int, out_S: Row, map_PYX: Plane, rows_RC: Row, n_3: Row) -> None:
    """Everything that player p sees now."""
    rows_RC[:] = 0
    n_3[:] = 0
    planes(s, g, p, map_PYX)
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        k = memory(p, u)
        kind = int(s[u])
        owner = int(s[u + U_OWNER])
        visible = kind > 0 and (owner == p + 1 or sees(s, t, p, kind, int(s[u + U_X]), int(s[u + U_Y])))
        if visible:
            show(s, t, p, u, map_PYX, rows_RC, n_3)
        if int(s[k]) > 0 and not (visible and int(s[k + K_TAG]) == tag_of(s, u)):
            show_memory(s, t, k, map_PYX, rows_RC, n_3)
    assign(s, t, p, rows_RC, n_3)
    scalars(s, t, p, out_S)


@jit
def planes(s: Row, g: Table, p: int, map_PYX: Plane) -> None:
    """Terrain and fog; structures and resources are stamped on by show."""
    map_PYX[:] = 0
    for y in range(int(s[H_HEIGHT])):
        for x in range(int(s[H_WIDTH])):
            map_PYX[0, y, x] = int(g[y, x]) >> 8
            map_PYX[1, y, x] = 2 * get_bit(s, G_VISIBLE + p, x, y) or get_bit(s, G_SEEN + p, x, y)
            map_PYX[4, y, x] = int(g[y, x]) & 1
            map_PYX[5, y, x] = (int(g[y, x]) >> 1) & 1


@jit
def stamp(s: Row, t: Table, kind: int, x: int, y: int, relative: int, map_PYX: Plane) -> None:
    """Mark a unit's cells on the planes."""
    width = max(int(t[kind, T.WIDTH]), 1)
    height = max(int(t[kind, T.HEIGHT]), 1)
    left = edge_x(x, width) if int(t[kind, T.WIDTH]) > 0 else x >> 12
    low = edge_x(y, height) if int(t[kind, T.WIDTH]) > 0 else y >> 12
    for cy in range(max(low, 0), min(low + height, int(s[H_HEIGHT]))):
        for cx in range(max(left, 0), min(left + width, int(s[H_WIDTH]))):
            map_PYX[2, cy, cx] = relative
            if int(t[kind, T.WIDTH]) > 0:
                map_PYX[4, cy, cx] = 0
                map_PYX[5, cy, cx] = 0


@jit
def new_row(t: Table, kind: int, owner: int, p: int, rows_RC: Row, n_3: Row) -> int:
    """The row for one more unit of its set, with what every unit has; -1 if the set is full."""
    which = 0 if owner == p + 1 else 2 if owner == NEUTRAL else 1
    limit = MY if which == 0 else ENEMY if which == 1 else OTHERS
    if int(n_3[which]) >= limit:
        return -1
    r = int(n_3[which]) + (0 if which == 0 else MY if which == 1 else MY + ENEMY)
    n_3[which] += 1
    rows_RC[r, C_TYPE] = kind
    rows_RC[r, C_RADIUS] = t[kind, T.RADIUS]
    rows_RC[r, C_HP_MAX] = t[kind, T.HP]
    return r


@jit
def share(done: int, total: int) -> int:
    """done / total in 1/4096; all where there is nothing to do."""
    return done * 4096 // total if total > 0 else 4096


@jit
def show(s: Row, t: Table, p: int, u: int, map_PYX: Plane, rows_RC: Row, n_3: Row) -> None:
    """A unit in sight."""
    kind = int(s[u])
    owner = int(s[u + U_OWNER])
    stamp(s, t, kind, int(s[u + U_X]), int(s[u + U_Y]), 1 if owner == p + 1 else 3 if owner == NEUTRAL else 4, map_PYX)
    r = new_row(t, kind, owner, p, rows_RC, n_3)
    if r < 0:
        return
    rows_RC[r, C_TAG] = tag_of(s, u)
    rows_RC[r, C_DISPLAY] = 1
    rows_RC[r, C_X] = s[u + U_X]
    rows_RC[r, C_Y] = s[u + U_Y]
    rows_RC[r, C_FACING] = s[u + U_FACING]
    rows_RC[r, C_HP] = s[u + U_HP]
    rows_RC[r, C_BUILT] = share(int(s[u + U_BUILT]), int(t[kind, T.BUILD]))
    rows_RC[r, C_CONTENTS] = s[u + U_CONTENTS]
    rows_RC[r, C_CARGO] = s[u + U_CARGO]
    if owner != p + 1:
        return
    rows_RC[r, C_COOLDOWN] = s[u + U_COOLDOWN]
    rows_RC[r, C_ORDERS] = s[u + U_ORDERS]
    if int(s[u + U_ORDERS]) > 0:
        rows_RC[r, C_ORDER] = s[u + U_ORDER + O_ROW]
        rows_RC[r, C_GOAL_X] = max(int(s[u + U_ORDER + O_X]), 0)
        rows_RC[r, C_GOAL_Y] = max(int(s[u + U_ORDER + O_Y]), 0)
        rows_RC[r, C_GOAL_TAG] = s[u + U_PATCH] if int(s[u + U_PHASE]) > 0 else s[u + U_ORDER + O_TAG]
    rows_RC[r, C_QUEUE] = s[u + U_QUEUE_N]
    if int(s[u + U_QUEUE_N]) > 0:
        rows_RC[r, C_PROGRESS] = share(int(s[u + U_MAKING]), int(t[int(s[u + U_QUEUE]), T.BUILD]))
    rows_RC[r, C_BUSY] = 1 if find(s, int(s[u + U_SITE])) > 0 else 0
    if int(s[H_LOOP]) - int(s[u + U_HIT]) <= HIT_FOR:
        rows_RC[r, C_HIT] = 1
        map_PYX[3, int(s[u + U_Y]) >> 12, int(s[u + U_X]) >> 12] = 1


@jit
def show_memory(s: Row, t: Table, k: int, map_PYX: Plane, rows_RC: Row, n_3: Row) -> None:
    """A snapshot: what stood there when it was last seen."""
    kind = int(s[k])
    owner = int(s[k + K_OWNER])
    stamp(s, t, kind, int(s[k + K_X]), int(s[k + K_Y]), 3 if owner == NEUTRAL else 4, map_PYX)
    r = new_row(t, kind, owner, 2 - owner, rows_RC, n_3)  # whoever remembers it is not its owner
    if r < 0:
        return
    rows_RC[r, C_TAG] = s[k + K_TAG]
    rows_RC[r, C_DISPLAY] = 2
    rows_RC[r, C_X] = s[k + K_X]
    rows_RC[r, C_Y] = s[k + K_Y]
    rows_RC[r, C_BUILT] = share(int(s[k + K_BUILT]), int(t[kind, T.BUILD]))


@jit
def assign(s: Row, t: Table, p: int, rows_RC: Row, n_3: Row) -> None:
    """Own workers at each patch, and around each own town hall."""
    near = [0 for _ in range(SLOTS)]
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        if int(s[u]) > 0 and int(s[u + U_OWNER]) == p + 1 and int(s[u + U_PHASE]) > 0:
            near[int(s[u + U_PATCH]) >> TAG_SHIFT] += 1
    first = MY + ENEMY
    for r in range(first, first + int(n_3[2])):
        if int(t[int(rows_RC[r, C_TYPE]), T.ROLE]) == Role.MINERALS:
            rows_RC[r, C_ASSIGNED] = near[int(rows_RC[r, C_TAG]) >> TAG_SHIFT]
    for r in range(int(n_3[0])):
        if int(t[int(rows_RC[r, C_TYPE]), T.TOWN_HALL]) == 0 or int(rows_RC[r, C_BUILT]) < 4096:
            continue
        for m in range(first, first + int(n_3[2])):
            dx = abs(int(rows_RC[m, C_X]) - int(rows_RC[r, C_X]))
            dy = abs(int(rows_RC[m, C_Y]) - int(rows_RC[r, C_Y]))
            if int(t[int(rows_RC[m, C_TYPE]), T.ROLE]) == Role.MINERALS and dx * dx + dy * dy <= AROUND * AROUND:
                rows_RC[r, C_ASSIGNED] += rows_RC[m, C_ASSIGNED]
                rows_RC[r, C_IDEAL] += 2


@jit
def scalars(s: Row, t: Table, p: int, out_S: Row) -> None:
    """The player's numbers, in the order of spec.SCALARS."""
    b = player(p)
    idle = 0
    army = 0
    army_food = 0
    worker_food = 0
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        kind = int(s[u])
        if kind == 0 or int(s[u + U_OWNER]) != p + 1:
            continue
        role = int(t[kind, T.ROLE])
        if role == Role.WORKER and int(s[u + U_ORDERS]) == 0:
            idle += 1
        if role == Role.ARMY:
            army += 1
        made = int(s[u + U_QUEUE]) if int(s[u + U_MAKING]) > 0 else 0
        for i in range(2):
            one = made if i else kind
            if int(t[one, T.ROLE]) == Role.WORKER:
                worker_food += int(t[one, T.FOOD])
            elif int(t[one, T.ROLE]) == Role.ARMY:
                army_food += int(t[one, T.FOOD])
    out_S[0] = s[H_LOOP]
    out_S[1] = s[b + P_MINERALS]
    out_S[2] = s[b + P_VESPENE]
    out_S[3] = s[b + P_FOOD_CAP]
    out_S[4] = s[b + P_FOOD_USED]
    out_S[5] = army_food
    out_S[6] = worker_food
    out_S[7] = idle
    out_S[8] = army
    out_S[9] = s[b + P_MINED]
    out_S[10] = s[b + P_LOST]
    out_S[11] = s[b + P_KILLED]
