"""Production: a structure's queue of five, one unit at a time.

Formula  supply is taken when a unit is begun and waits while there is none; the price was paid when it was queued
Flow     step.think -> [PRODUCE]
Shapes   see layout
"""

from skyloom.arena.engine.geometry import Row, Table
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    H_HEIGHT,
    H_WIDTH,
    P_FOOD_CAP,
    P_FOOD_USED,
    QUEUE,
    U_MAKING,
    U_OWNER,
    U_QUEUE,
    U_QUEUE_N,
    U_RALLY_TAG,
    U_RALLY_X,
    U_RALLY_Y,
    U_X,
    U_Y,
)
from skyloom.arena.engine.orders import push, row_of
from skyloom.arena.engine.rules import Op, Role, T, Target
from skyloom.arena.engine.units import find, free_cell, player, spawn


@jit
def produce(s: Row, t: Table, a: Table, g: Table, u: int) -> None:
    """One loop of a finished structure."""
    if int(s[u + U_QUEUE_N]) == 0:
        return
    kind = int(s[u + U_QUEUE])
    b = player(int(s[u + U_OWNER]) - 1)
    if int(s[u + U_MAKING]) == 0:
        if int(s[b + P_FOOD_USED]) + int(t[kind, T.FOOD]) > int(s[b + P_FOOD_CAP]):
            return
        s[b + P_FOOD_USED] += t[kind, T.FOOD]
    s[u + U_MAKING] += 1
    if int(s[u + U_MAKING]) >= int(t[kind, T.BUILD]):
        deliver(s, t, a, g, u, kind)


@jit
def deliver(s: Row, t: Table, a: Table, g: Table, u: int, kind: int) -> None:
    """Set a finished unit down beside the structure, on the side of its rally point, and send it there."""
    patch = find(s, int(s[u + U_RALLY_TAG]))
    to_x = int(s[u + U_RALLY_X])
    to_y = int(s[u + U_RALLY_Y])
    if patch > 0:
        to_x = int(s[patch + U_X])
        to_y = int(s[patch + U_Y])
    elif to_x == 0 and to_y == 0:
        to_x = int(s[H_WIDTH]) * 2048
        to_y = int(s[H_HEIGHT]) * 2048
    c = free_cell(s, g, int(s[u + U_X]), int(s[u + U_Y]), to_x, to_y)
    if c < 0:
        return
    v = spawn(
        s, t, kind, int(s[u + U_OWNER]), (c & 65535) * 4096 + 2048, (c >> 16) * 4096 + 2048, int(t[kind, T.BUILD])
    )
    if v == 0:
        return
    s[u + U_MAKING] = 0
    for i in range(QUEUE - 1):
        s[u + U_QUEUE + i] = s[u + U_QUEUE + i + 1]
    s[u + U_QUEUE + QUEUE - 1] = 0
    s[u + U_QUEUE_N] -= 1
    if patch > 0 and int(t[kind, T.ROLE]) == Role.WORKER:
        push(s, v, row_of(a, Op.HARVEST, Target.UNIT), -1, -1, int(s[u + U_RALLY_TAG]), 0)
    elif int(s[u + U_RALLY_X]) > 0 or int(s[u + U_RALLY_Y]) > 0:
        push(s, v, row_of(a, Op.MOVE, Target.POSITION), to_x, to_y, 0, 0)
