"""Workers: mining and building.

Harvesting goes through phases: to the patch, wait for it, mine, carry home, unload. One worker mines a patch at a time; who
finds it busy looks once for a free one nearby. A builder stays bound to its site until the structure stands.

Flow    step.think -> [WORK]
Shapes  see layout; u = worker, v = patch, town hall or site, q = offset of the current order
"""

from skyloom.arena.engine.geometry import Row, Table, edge_x, gap, gap_to, get_bit
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    G_BLOCKED,
    H_SLOTS,
    O_ROW,
    O_TAG,
    O_X,
    O_Y,
    P_MINED,
    P_MINERALS,
    P_SPENT,
    U_BUILT,
    U_CARGO,
    U_CONTENTS,
    U_HP,
    U_ORDER,
    U_ORDERS,
    U_OWNER,
    U_PATCH,
    U_PHASE,
    U_PLAN,
    U_SITE,
    U_SIZE,
    U_SPEED,
    U_TIMER,
    U_X,
    U_Y,
    UNIT0,
)
from skyloom.arena.engine.move import walk
from skyloom.arena.engine.orders import is_too_near, pop
from skyloom.arena.engine.rules import A, E, Role, T
from skyloom.arena.engine.units import count_food, find, free_cell, has, player, remove, spawn, tag_of

TO_PATCH: int = 1
WAIT: int = 2
MINE: int = 3
HOME: int = 4
UNLOAD: int = 5
REACH: int = 614
"""0.15 cells: near enough to mine, unload or build."""
SEARCH: int = 12 * 4096
"""How far a worker looks for another patch when its own is gone."""
NEARBY: int = 5 * 4096
"""How far it looks for a free one when its own is busy."""


@jit
def harvest(s: Row, t: Table, e: Table, g: Table, w: Row, u: int) -> None:
    """One loop of a harvesting worker."""
    q = u + U_ORDER
    phase = int(s[u + U_PHASE])
    if phase == 0:
        s[u + U_PATCH] = s[q + O_TAG]
        set_phase(s, u, HOME if int(s[u + U_CARGO]) > 0 else TO_PATCH)
    elif phase == HOME:
        carry_home(s, t, e, g, w, u)
    elif phase == UNLOAD:
        s[u + U_TIMER] -= 1
        if int(s[u + U_TIMER]) <= 0:
            if int(s[u + U_ORDERS]) > 1:
                pop(s, u)
            else:
                set_phase(s, u, TO_PATCH)
    else:
        at_patch(s, t, e, g, w, u, phase)


@jit
def set_phase(s: Row, u: int, phase: int) -> None:
    """Enter a phase: stand still, plan the way anew."""
    s[u + U_PHASE] = phase
    s[u + U_PLAN] = 0
    s[u + U_SPEED] = 0


@jit
def at_patch(s: Row, t: Table, e: Table, g: Table, w: Row, u: int, phase: int) -> None:
    """On the way to the patch, waiting for it, or mining."""
    v = find(s, int(s[u + U_PATCH]))
    if v == 0:
        v = other_patch(s, t, u, SEARCH, False)
        if v == 0:
            pop(s, u)
            return
        s[u + U_PATCH] = tag_of(s, v)
        set_phase(s, u, TO_PATCH)
    elif phase == MINE:
        s[u + U_TIMER] -= 1
        if int(s[u + U_TIMER]) <= 0:
            load(s, t, e, u, v)
    elif gap(s, t, u, v) > REACH:
        walk(s, t, g, w, u, int(s[v + U_X]), int(s[v + U_Y]), 1)
    elif not is_busy(s, v, u):
        set_phase(s, u, MINE)
        s[u + U_TIMER] = e[E.HARVEST]
        s[v + U_SITE] = tag_of(s, u)
    elif phase == TO_PATCH:
        other = other_patch(s, t, u, NEARBY, True)
        if other > 0:
            s[u + U_PATCH] = tag_of(s, other)
            s[u + U_PLAN] = 0
        else:
            s[u + U_PHASE] = WAIT


@jit
def load(s: Row, t: Table, e: Table, u: int, v: int) -> None:
    """Take a trip's worth out of a patch; an empty patch goes."""
    s[u + U_CARGO] = min(int(e[E.TRIP]), int(s[v + U_CONTENTS]))
    s[v + U_CONTENTS] -= s[u + U_CARGO]
    s[v + U_SITE] = 0
    if int(s[v + U_CONTENTS]) <= 0:
        remove(s, t, v)
    set_phase(s, u, HOME)


@jit
def carry_home(s: Row, t: Table, e: Table, g: Table, w: Row, u: int) -> None:
    """Bring the load to the nearest finished town hall; wait where there is none."""
    best = 0
    least = 1 << 60
    for slot in range(int(s[H_SLOTS])):
        v = UNIT0 + slot * U_SIZE
        kind = int(s[v])
        mine = int(t[kind, T.TOWN_HALL]) > 0 and int(s[v + U_OWNER]) == int(s[u + U_OWNER])
        if mine and int(s[v + U_BUILT]) >= int(t[kind, T.BUILD]) and gap(s, t, u, v) < least:
            least = gap(s, t, u, v)
            best = v
    if best == 0:
        return
    if least > REACH:
        walk(s, t, g, w, u, int(s[best + U_X]), int(s[best + U_Y]), 3)
        return
    b = player(int(s[u + U_OWNER]) - 1)
    s[b + P_MINERALS] += s[u + U_CARGO]
    s[b + P_MINED] += s[u + U_CARGO]
    s[u + U_CARGO] = 0
    set_phase(s, u, UNLOAD)
    s[u + U_TIMER] = e[E.UNLOAD]


@jit
def is_busy(s: Row, v: int, u: int) -> bool:
    """Whether another worker mines patch v right now."""
    m = find(s, int(s[v + U_SITE]))
    return m > 0 and m != u and int(s[m + U_PHASE]) == MINE and int(s[m + U_PATCH]) == tag_of(s, v)


@jit
def miners(s: Row, tag: int) -> int:
    """Workers that mine, or are on their way to or from, the patch with a tag."""
    count = 0
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        if int(s[u]) > 0 and int(s[u + U_PHASE]) > 0 and int(s[u + U_PATCH]) == tag:
            count += 1
    return count


@jit
def other_patch(s: Row, t: Table, u: int, radius: int, less: bool) -> int:
    """The patch near worker u with the fewest miners, then the nearest; 0 = none. `less`: two fewer than at its own."""
    best = 0
    least = miners(s, int(s[u + U_PATCH])) - 1 if less else 1 << 30
    nearest = 0
    for slot in range(int(s[H_SLOTS])):
        v = UNIT0 + slot * U_SIZE
        if int(t[int(s[v]), T.ROLE]) != Role.MINERALS:
            continue
        far = gap(s, t, u, v)
        if far > radius:
            continue
        count = miners(s, tag_of(s, v))
        if count < least or (count == least and best > 0 and far < nearest):
            best = v
            least = count
            nearest = far
    return best


@jit
def build_order(s: Row, t: Table, a: Table, e: Table, g: Table, w: Row, u: int) -> None:
    """One loop of a worker sent to build: walk, begin (and pay), then work until the structure stands."""
    q = u + U_ORDER
    if int(s[u + U_SITE]) > 0:
        construct(s, t, e, u, find(s, int(s[u + U_SITE])))
        return
    kind = int(a[int(s[q + O_ROW]), A.MAKES])
    x = int(s[q + O_X])
    y = int(s[q + O_Y])
    if gap_to(int(s[u + U_X]), int(s[u + U_Y]), int(t[int(s[u]), T.RADIUS]), t, kind, x, y) > REACH:
        walk(s, t, g, w, u, x, y, 0)
        return
    b = player(int(s[u + U_OWNER]) - 1)
    p = int(s[u + U_OWNER]) - 1
    cost = int(t[kind, T.MINERALS])
    needs = int(t[kind, T.NEEDS])
    if int(s[b + P_MINERALS]) < cost or (needs > 0 and not has(s, t, p, needs)) or not fits(s, t, e, g, kind, x, y):
        pop(s, u)
        return
    site = spawn(s, t, kind, p + 1, x, y, 0)
    if site == 0:
        pop(s, u)
        return
    s[b + P_MINERALS] -= cost
    s[b + P_SPENT] += cost
    s[site + U_HP] = int(t[kind, T.HP]) * int(e[E.REBUILD_HP]) // 100
    bind(s, u, site)
    make_room(s, t, g)


@jit
def bind(s: Row, u: int, site: int) -> None:
    """Tie a worker and its site to each other."""
    s[site + U_SITE] = tag_of(s, u)
    s[u + U_SITE] = tag_of(s, site)
    s[u + U_SPEED] = 0


@jit
def resume_order(s: Row, t: Table, e: Table, g: Table, w: Row, u: int) -> None:
    """Walk to an unfinished structure without a builder and go on with it."""
    if int(s[u + U_SITE]) > 0:
        construct(s, t, e, u, find(s, int(s[u + U_SITE])))
        return
    v = find(s, int(s[u + U_ORDER + O_TAG]))
    if v == 0 or int(s[v + U_BUILT]) >= int(t[int(s[v]), T.BUILD]) or find(s, int(s[v + U_SITE])) > 0:
        pop(s, u)
    elif gap(s, t, u, v) > REACH:
        walk(s, t, g, w, u, int(s[v + U_X]), int(s[v + U_Y]), 3)
    else:
        bind(s, u, v)


@jit
def construct(s: Row, t: Table, e: Table, u: int, site: int) -> None:
    """A loop's work on a site; hit points grow with it from REBUILD_HP per cent to all, less the damage taken.

    A site that was destroyed (0) ends the order.
    """
    if site == 0:
        pop(s, u)
        return
    kind = int(s[site])
    total = int(t[kind, T.BUILD])
    built = int(s[site + U_BUILT])
    grow = int(t[kind, T.HP]) * (100 - int(e[E.REBUILD_HP])) // 100
    s[site + U_HP] += grow * (built + 1) // total - grow * built // total
    s[site + U_BUILT] = built + 1
    if built + 1 >= total:
        s[site + U_HP] = min(int(s[site + U_HP]) + 1, int(t[kind, T.HP]))
        s[site + U_SITE] = 0
        count_food(s, t, e)
        pop(s, u)


@jit
def fits(s: Row, t: Table, e: Table, g: Table, kind: int, x: int, y: int) -> bool:
    """Whether a structure can stand here in truth, seen or not."""
    left = edge_x(x, int(t[kind, T.WIDTH]))
    low = edge_x(y, int(t[kind, T.HEIGHT]))
    for cy in range(low, low + int(t[kind, T.HEIGHT])):
        for cx in range(left, left + int(t[kind, T.WIDTH])):
            if (int(g[cy, cx]) & 2) == 0 or get_bit(s, G_BLOCKED, cx, cy) == 1:
                return False
    if int(t[kind, T.TOWN_HALL]) == 0:
        return True
    for slot in range(int(s[H_SLOTS])):
        v = UNIT0 + slot * U_SIZE
        if int(s[v]) > 0 and is_too_near(t, e, kind, x, y, int(s[v]), int(s[v + U_X]), int(s[v + U_Y])):
            return False
    return True


@jit
def make_room(s: Row, t: Table, g: Table) -> None:
    """Move every unit out of blocked cells to the nearest free one."""
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        x = int(s[u + U_X])
        y = int(s[u + U_Y])
        if int(t[int(s[u]), T.SPEED]) == 0 or get_bit(s, G_BLOCKED, x >> 12, y >> 12) == 0:
            continue
        c = free_cell(s, g, x, y, x, y)
        if c >= 0:
            s[u + U_X] = (c & 65535) * 4096 + 2048
            s[u + U_Y] = (c >> 16) * 4096 + 2048
            s[u + U_PLAN] = 0
