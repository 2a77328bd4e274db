"""One game loop, and games from decision to decision.

Flow    kernels.advance -> [STEP] -> orders of every unit, then pushing, damage, fog, the end of the game
Shapes  see layout; N games, N_S states, N_W scratch
"""

from skyloom.arena.engine.fight import bury, engage, fight, list_targets
from skyloom.arena.engine.fog import look
from skyloom.arena.engine.geometry import Row, Table
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    DRAW,
    H_LOOP,
    H_MAX,
    H_RESULT,
    H_SLOTS,
    NEUTRAL,
    O_ROW,
    O_TAG,
    O_X,
    O_Y,
    P_NEXT,
    P_STRUCTURES,
    U_BUILT,
    U_COOLDOWN,
    U_ORDER,
    U_ORDERS,
    U_OWNER,
    U_PATCH,
    U_PHASE,
    U_SIZE,
    U_SPEED,
    U_X,
    U_Y,
    UNIT0,
)
from skyloom.arena.engine.move import has_arrived, separate, settle, walk
from skyloom.arena.engine.orders import pop, row_of
from skyloom.arena.engine.produce import produce
from skyloom.arena.engine.rules import A, Op, Role, T, Target
from skyloom.arena.engine.units import find, player, sees
from skyloom.arena.engine.work import build_order, harvest, resume_order

FOG_EVERY: int = 4


@jit
def advance(s: Row, w: Row, t: Table, a: Table, e: Table, g: Table) -> None:
    """Run one game until a player must decide or the game is over."""
    while int(s[H_RESULT]) == 0:
        if min(int(s[player(0) + P_NEXT]), int(s[player(1) + P_NEXT])) <= int(s[H_LOOP]):
            return
        tick(s, w, t, a, e, g)


@jit
def tick(s: Row, w: Row, t: Table, a: Table, e: Table, g: Table) -> None:
    """One game loop."""
    s[H_LOOP] += 1
    if int(s[H_LOOP]) % FOG_EVERY == 0:
        look(s, t)
        list_targets(s, t, w)
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        kind = int(s[u])
        if kind == 0 or int(s[u + U_OWNER]) == NEUTRAL or int(s[u + U_BUILT]) < int(t[kind, T.BUILD]):
            continue
        if int(t[kind, T.SPEED]) > 0:
            think(s, t, a, e, g, w, u)
        else:
            produce(s, t, a, g, u)
    separate(s, t, w)
    settle(s, g, w)
    bury(s, t, e, w)
    judge(s)


@jit
def judge(s: Row) -> None:
    """A player without structures has lost; at the last loop the game is a draw."""
    first = int(s[player(0) + P_STRUCTURES]) == 0
    second = int(s[player(1) + P_STRUCTURES]) == 0
    if first or second:
        s[H_RESULT] = DRAW if first and second else 2 if first else 1
    elif int(s[H_LOOP]) >= int(s[H_MAX]):
        s[H_RESULT] = DRAW


@jit
def think(s: Row, t: Table, a: Table, e: Table, g: Table, w: Row, u: int) -> None:
    """One loop of a unit that moves: its current order."""
    s[u + U_COOLDOWN] = max(int(s[u + U_COOLDOWN]) - 256, 0)
    if int(s[u + U_ORDERS]) == 0:
        s[u + U_SPEED] = 0
        if int(t[int(s[u]), T.ROLE]) == Role.ARMY:
            engage(s, t, g, w, u)
        return
    q = u + U_ORDER
    row = int(s[q + O_ROW])
    op = int(a[row, A.OP])
    if op == Op.HARVEST:
        harvest(s, t, e, g, w, u)
    elif op == Op.RETURN:
        turn_home(s, a, u)
    elif op == Op.BUILD:
        build_order(s, t, a, e, g, w, u)
    elif op == Op.RESUME:
        resume_order(s, t, e, g, w, u)
    elif int(a[row, A.TARGET]) == Target.UNIT:
        hunt(s, t, g, w, u, find(s, int(s[q + O_TAG])))
    elif op == Op.MOVE or not engage(s, t, g, w, u):
        walk(s, t, g, w, u, int(s[q + O_X]), int(s[q + O_Y]), 0)
        if has_arrived(s, u, int(s[q + O_X]), int(s[q + O_Y])):
            pop(s, u)


@jit
def hunt(s: Row, t: Table, g: Table, w: Row, u: int, v: int) -> None:
    """Attack one unit until it is dead or out of sight."""
    if v == 0 or not sees(s, t, int(s[u + U_OWNER]) - 1, int(s[v]), int(s[v + U_X]), int(s[v + U_Y])):
        pop(s, u)
    else:
        fight(s, t, g, w, u, v)


@jit
def turn_home(s: Row, a: Table, u: int) -> None:
    """Bring the load home and go on mining where it came from."""
    row = row_of(a, Op.HARVEST, Target.UNIT)
    s[u + U_ORDER + O_ROW] = row
    s[u + U_ORDER + O_TAG] = s[u + U_PATCH]
    s[u + U_PHASE] = 0
