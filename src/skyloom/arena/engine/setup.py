"""The first loop of a game: what stands where, twelve workers on their way to the patches.

Flow    state.new -> kernels.setup -> [SETUP]
Shapes  see layout; d (n, 4) placements: type index, owner, x, y in fixed point, both town halls first
"""

from skyloom.arena.engine.fog import look
from skyloom.arena.engine.geometry import Row, Table, signed
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    H_HEIGHT,
    H_MAX,
    H_RNG,
    H_SEED,
    H_SIZE,
    H_VERSION,
    H_WIDTH,
    H_WORDS,
    K_BUILT,
    K_OWNER,
    K_TAG,
    K_X,
    K_Y,
    NEUTRAL,
    P_FOOD_USED,
    P_MINERALS,
    P_START_X,
    P_START_Y,
    STATE_VERSION,
    U_PATCH,
    U_PHASE,
    U_X,
    U_Y,
)
from skyloom.arena.engine.orders import push, row_of
from skyloom.arena.engine.rules import E, Op, Role, T, Target
from skyloom.arena.engine.units import count_food, free_cell, memory, player, spawn, tag_of
from skyloom.arena.engine.work import other_patch


@jit
def setup(s: Row, t: Table, a: Table, e: Table, g: Table, d: Table, seed: int, most: int) -> None:
    """Fill a row with the start of a game; `most` = loops after which it is a draw."""
    for i in range(s.shape[0]):
        s[i] = 0
    s[H_VERSION] = STATE_VERSION
    s[H_SIZE] = s.shape[0]
    s[H_SEED] = signed(seed)
    s[H_RNG] = signed(((seed ^ (seed >> 32)) * 0x9E3779B1 + 0x7F4A7C15) | 1)
    s[H_MAX] = most
    s[H_HEIGHT] = g.shape[0]
    s[H_WIDTH] = g.shape[1]
    s[H_WORDS] = (g.shape[1] + 31) // 32
    for i in range(d.shape[0]):
        kind = int(d[i, 0])
        u = spawn(s, t, kind, int(d[i, 1]), int(d[i, 2]), int(d[i, 3]), int(t[kind, T.BUILD]))
        if int(d[i, 1]) == NEUTRAL:
            recall(s, u)
        else:
            b = player(int(d[i, 1]) - 1)
            s[b + P_START_X] = d[i, 2]
            s[b + P_START_Y] = d[i, 3]
    for p in range(2):
        s[player(p) + P_MINERALS] = e[E.START_MINERALS]
        for _ in range(int(e[E.START_WORKERS])):
            recruit(s, t, a, g, p)
    count_food(s, t, e)
    look(s, t)


@jit
def recall(s: Row, u: int) -> None:
    """Both players know every resource from the start."""
    for p in range(2):
        k = memory(p, u)
        s[k] = s[u]
        s[k + K_OWNER] = NEUTRAL
        s[k + K_TAG] = tag_of(s, u)
        s[k + K_X] = s[u + U_X]
        s[k + K_Y] = s[u + U_Y]
        s[k + K_BUILT] = 0


@jit
def recruit(s: Row, t: Table, a: Table, g: Table, p: int) -> None:
    """A first worker, beside the town hall and on its way to the patch with the fewest miners."""
    kind = 0
    for i in range(t.shape[0]):
        if int(t[i, T.ROLE]) == Role.WORKER:
            kind = i
    b = player(p)
    x = int(s[b + P_START_X])
    y = int(s[b + P_START_Y])
    u = spawn(s, t, kind, p + 1, x, y, int(t[kind, T.BUILD]))
    s[b + P_FOOD_USED] += t[kind, T.FOOD]
    v = other_patch(s, t, u, 12 * 4096, False)
    c = free_cell(s, g, x, y, int(s[v + U_X]), int(s[v + U_Y]))
    s[u + U_X] = (c & 65535) * 4096 + 2048
    s[u + U_Y] = (c >> 16) * 4096 + 2048
    push(s, u, row_of(a, Op.HARVEST, Target.UNIT), -1, -1, tag_of(s, v), 0)
    s[u + U_PATCH] = tag_of(s, v)
    s[u + U_PHASE] = 1
