"""Orders: a player's command becomes entries in the units' order queues.

Results are StarCraft II's ActionResult codes (SUCCESS 1, NotEnoughMinerals 9 ...). A training or building command addressed
to several units is carried out by one of them, as in the game.

Flow    match -> kernels.command -> [ORDERS] -> step.think
Shapes  see layout; q = offset of an order in the row; tags (n,) of the selected units
"""

from skyloom.arena.engine.geometry import Row, Table, edge_x, get_bit
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    G_BLOCKED,
    G_VISIBLE,
    H_HEIGHT,
    H_WIDTH,
    K_TYPE,
    K_X,
    K_Y,
    O_ROW,
    O_TAG,
    O_X,
    O_Y,
    ORDER_SIZE,
    ORDERS,
    P_FOOD_CAP,
    P_FOOD_USED,
    P_MINERALS,
    P_SPENT,
    QUEUE,
    SLOTS,
    U_BUILT,
    U_CARGO,
    U_ORDER,
    U_ORDERS,
    U_OWNER,
    U_PHASE,
    U_PLAN,
    U_QUEUE,
    U_QUEUE_N,
    U_RALLY_TAG,
    U_RALLY_X,
    U_RALLY_Y,
    U_SITE,
    U_SIZE,
    U_STUCK,
    U_TARGET,
    U_X,
    U_Y,
    UNIT0,
)
from skyloom.arena.engine.rules import A, By, E, Op, Role, T, Target
from skyloom.arena.engine.units import find, has, memory, player, remembers, sees

SUCCESS: int = 1
NOT_SUPPORTED: int = 2
QUEUE_FULL: int = 7
NO_MINERALS: int = 9
NO_FOOD: int = 13
BAD_TARGET: int = 36
NO_TECH: int = 40
BAD_PLACE: int = 44
NEAR_RESOURCE: int = 47


@jit
def row_of(a: Table, op: int, target: int) -> int:
    """Ability row for an operation on a kind of target; 0 if the ruleset has none."""
    for row in range(a.shape[0]):
        if int(a[row, A.OP]) == op and int(a[row, A.TARGET]) == target:
            return row
    return 0


@jit
def push(s: Row, u: int, row: int, x: int, y: int, tag: int, queued: int) -> bool:
    """Give a unit an order, behind the others or instead of them; False if its queue is full."""
    if queued == 0:
        clear(s, u)
    n = int(s[u + U_ORDERS])
    if n >= ORDERS:
        return False
    q = u + U_ORDER + n * ORDER_SIZE
    s[q + O_ROW] = row
    s[q + O_X] = x
    s[q + O_Y] = y
    s[q + O_TAG] = tag
    s[u + U_ORDERS] = n + 1
    return True


@jit
def clear(s: Row, u: int) -> None:
    """Drop all orders and what belongs to the current one."""
    for i in range(ORDERS * ORDER_SIZE):
        s[u + U_ORDER + i] = 0
    s[u + U_ORDERS] = 0
    begin(s, u)


@jit
def begin(s: Row, u: int) -> None:
    """Forget the way, the target and the harvest phase of the order before."""
    s[u + U_PLAN] = 0
    s[u + U_STUCK] = 0
    s[u + U_TARGET] = 0
    s[u + U_PHASE] = 0
    s[u + U_SITE] = 0


@jit
def pop(s: Row, u: int) -> None:
    """The current order is done: on to the next."""
    n = int(s[u + U_ORDERS])
    for i in range((ORDERS - 1) * ORDER_SIZE):
        s[u + U_ORDER + i] = s[u + U_ORDER + ORDER_SIZE + i]
    for i in range((ORDERS - 1) * ORDER_SIZE, ORDERS * ORDER_SIZE):
        s[u + U_ORDER + i] = 0
    s[u + U_ORDERS] = max(n - 1, 0)
    begin(s, u)


@jit
def may(s: Row, t: Table, a: Table, u: int, p: int, row: int) -> bool:
    """Whether a unit belongs to the player, is finished and free, and can do an ability."""
    kind = int(s[u])
    if kind == 0 or int(s[u + U_OWNER]) != p + 1 or int(s[u + U_BUILT]) < int(t[kind, T.BUILD]):
        return False
    by = int(a[row, A.BY])
    if by >= By.TYPE:
        return kind == by - By.TYPE
    if by == By.PRODUCER:
        made = 0
        for other in range(a.shape[0]):
            made += int(a[other, A.BY]) == By.TYPE + kind
        return made > 0
    worker = int(t[kind, T.ROLE]) == Role.WORKER
    return int(t[kind, T.SPEED]) > 0 and (by == By.MOBILE or (by == By.WORKER and worker))


@jit
def is_bound(s: Row, t: Table, u: int) -> bool:
    """Whether a worker builds something right now and must stay."""
    return int(t[int(s[u]), T.ROLE]) == Role.WORKER and find(s, int(s[u + U_SITE])) > 0


@jit
def command(s: Row, t: Table, a: Table, e: Table, g: Table, p: int, c: Row) -> int:
    """Carry out c = (ability id, x, y, target tag, queued, tags...) for player p; an ActionResult code."""
    target = Target.UNIT if int(c[3]) > 0 else Target.POSITION if int(c[1]) >= 0 else Target.NONE
    row = 0
    for i in range(1, a.shape[0]):
        if int(a[i, A.ID]) == int(c[0]) and int(a[i, A.TARGET]) == target:
            row = i
    if row == 0:
        return NOT_SUPPORTED
    if target == Target.POSITION and (
        int(c[1]) >= int(s[H_WIDTH]) << 12 or not 0 <= int(c[2]) < int(s[H_HEIGHT]) << 12
    ):
        return BAD_TARGET
    op = int(a[row, A.OP])
    if op == Op.TRAIN:
        return train(s, t, a, p, row, c)
    if op == Op.BUILD:
        return build(s, t, a, e, g, p, row, c)
    if op == Op.RALLY:
        return rally(s, t, a, p, row, c)
    return simple(s, t, a, p, row, c)


@jit
def simple(s: Row, t: Table, a: Table, p: int, row: int, c: Row) -> int:
    """Orders that every selected unit takes alike: stop, move, attack, harvest, return, resume."""
    op = int(a[row, A.OP])
    x = int(c[1])
    y = int(c[2])
    tag = int(c[3])
    queued = int(c[4])
    if tag > 0:
        v = find(s, tag)
        k = remembers(s, p, tag)
        kind = int(s[k + K_TYPE]) if k > 0 else int(s[v]) if v > 0 else 0
        seen = v > 0 and sees(s, t, p, int(s[v]), int(s[v + U_X]), int(s[v + U_Y]))
        if kind == 0 or not (seen or k > 0):
            return BAD_TARGET
        role = int(t[kind, T.ROLE])
        if op == Op.HARVEST and role != Role.MINERALS:
            return BAD_TARGET
        if op == Op.ATTACK:
            if role > Role.STRUCTURE or (v > 0 and int(s[v + U_OWNER]) == p + 1):
                return BAD_TARGET
            if not seen:  # walk to where it was; the order must not tell whether it still lives
                row = row_of(a, Op.ATTACK, Target.POSITION)
                x = int(s[k + K_X])
                y = int(s[k + K_Y])
                tag = 0
        if op == Op.RESUME and (v == 0 or not is_open_site(s, t, v, p)):
            return BAD_TARGET
    count = 0
    for i in range(5, c.shape[0]):
        u = find(s, int(c[i]))
        if u == 0 or not may(s, t, a, u, p, row) or ((queued == 0 or op == Op.STOP) and is_bound(s, t, u)):
            continue
        if op == Op.RETURN and int(s[u + U_CARGO]) == 0:
            continue
        if op == Op.STOP:
            clear(s, u)
            count += 1
        elif push(s, u, row, x, y, tag, queued):
            count += 1
        if op == Op.RESUME and count > 0:
            break
    return SUCCESS if count > 0 else NOT_SUPPORTED


@jit
def is_open_site(s: Row, t: Table, v: int, p: int) -> bool:
    """Whether v is an unfinished structure of player p without a builder."""
    mine = int(s[v + U_OWNER]) == p + 1
    return mine and int(s[v + U_BUILT]) < int(t[int(s[v]), T.BUILD]) and find(s, int(s[v + U_SITE])) == 0


@jit
def train(s: Row, t: Table, a: Table, p: int, row: int, c: Row) -> int:
    """Queue a unit in the selected producer with the shortest queue and pay for it."""
    kind = int(a[row, A.MAKES])
    b = player(p)
    best = 0
    for i in range(5, c.shape[0]):
        u = find(s, int(c[i]))
        if u > 0 and may(s, t, a, u, p, row) and (best == 0 or int(s[u + U_QUEUE_N]) < int(s[best + U_QUEUE_N])):
            best = u
    if best == 0:
        return NOT_SUPPORTED
    if int(s[best + U_QUEUE_N]) >= QUEUE:
        return QUEUE_FULL
    if int(s[b + P_MINERALS]) < int(t[kind, T.MINERALS]):
        return NO_MINERALS
    if int(s[b + P_FOOD_USED]) + int(t[kind, T.FOOD]) > int(s[b + P_FOOD_CAP]):
        return NO_FOOD
    if int(t[kind, T.NEEDS]) > 0 and not has(s, t, p, int(t[kind, T.NEEDS])):
        return NO_TECH
    s[b + P_MINERALS] -= t[kind, T.MINERALS]
    s[b + P_SPENT] += t[kind, T.MINERALS]
    s[best + U_QUEUE + int(s[best + U_QUEUE_N])] = kind
    s[best + U_QUEUE_N] += 1
    return SUCCESS


@jit
def build(s: Row, t: Table, a: Table, e: Table, g: Table, p: int, row: int, c: Row) -> int:
    """Send the nearest free selected worker to build; the price is paid when it begins."""
    kind = int(a[row, A.MAKES])
    x = centre(int(c[1]), int(t[kind, T.WIDTH]))
    y = centre(int(c[2]), int(t[kind, T.HEIGHT]))
    best = 0
    least = 1 << 60
    for i in range(5, c.shape[0]):
        u = find(s, int(c[i]))
        full = int(c[4]) > 0 and int(s[u + U_ORDERS]) >= ORDERS
        if u == 0 or full or not may(s, t, a, u, p, row) or is_bound(s, t, u):
            continue
        far = abs(int(s[u + U_X]) - x) + abs(int(s[u + U_Y]) - y) + (int(s[u + U_CARGO]) > 0) * 4096
        if far < least:
            least = far
            best = u
    if best == 0:
        return NOT_SUPPORTED
    if int(s[player(p) + P_MINERALS]) < int(t[kind, T.MINERALS]):
        return NO_MINERALS
    if int(t[kind, T.NEEDS]) > 0 and not has(s, t, p, int(t[kind, T.NEEDS])):
        return NO_TECH
    result = place_known(s, t, e, g, p, kind, x, y)
    if result == SUCCESS:
        push(s, best, row, x, y, 0, int(c[4]))
    return result


@jit
def centre(x: int, width: int) -> int:
    """The middle of a footprint whose cell (the lower left of its middle) holds x."""
    return (((x >> 12) - ((width - 1) >> 1)) * 2 + width) * 2048


@jit
def place_known(s: Row, t: Table, e: Table, g: Table, p: int, kind: int, x: int, y: int) -> int:
    """Whether a structure fits, as far as player p can know: ground, what is in sight, what is remembered."""
    width = int(t[kind, T.WIDTH])
    height = int(t[kind, T.HEIGHT])
    left = edge_x(x, width)
    low = edge_x(y, height)
    if left < 0 or low < 0 or left + width > int(s[H_WIDTH]) or low + height > int(s[H_HEIGHT]):
        return BAD_PLACE
    for cy in range(low, low + height):
        for cx in range(left, left + width):
            seen = get_bit(s, G_VISIBLE + p, cx, cy) == 1
            if (int(g[cy, cx]) & 2) == 0 or (seen and get_bit(s, G_BLOCKED, cx, cy) == 1):
                return BAD_PLACE
    for slot in range(SLOTS):
        k = memory(p, UNIT0 + slot * U_SIZE)
        other = int(s[k])
        if other == 0:
            continue
        if overlap(t, other, int(s[k + K_X]), int(s[k + K_Y]), left, low, width, height):
            return BAD_PLACE
        if is_too_near(t, e, kind, x, y, other, int(s[k + K_X]), int(s[k + K_Y])):
            return NEAR_RESOURCE
    return SUCCESS


@jit
def overlap(t: Table, kind: int, x: int, y: int, left: int, low: int, width: int, height: int) -> bool:
    """Whether the footprint of a kind at (x, y) meets a rectangle of cells."""
    a0 = edge_x(x, int(t[kind, T.WIDTH]))
    b0 = edge_x(y, int(t[kind, T.HEIGHT]))
    return (
        left < a0 + int(t[kind, T.WIDTH])
        and a0 < left + width
        and low < b0 + int(t[kind, T.HEIGHT])
        and b0 < low + height
    )


@jit
def is_too_near(t: Table, e: Table, kind: int, x: int, y: int, other: int, ox: int, oy: int) -> bool:
    """Whether a town hall at (x, y) stands too near a resource: centres closer than the gap and both half heights."""
    if int(t[kind, T.TOWN_HALL]) == 0 or int(t[other, T.ROLE]) <= Role.STRUCTURE:
        return False
    reach = int(e[E.TOWN_HALL_GAP]) * 4096 + (int(t[kind, T.HEIGHT]) + int(t[other, T.HEIGHT])) * 2048
    return (x - ox) * (x - ox) + (y - oy) * (y - oy) < reach * reach


@jit
def rally(s: Row, t: Table, a: Table, p: int, row: int, c: Row) -> int:
    """Where the selected producers send what they make: a place, or a patch for workers."""
    if int(c[3]) > 0:
        v = find(s, int(c[3]))
        k = remembers(s, p, int(c[3]))
        kind = int(s[k]) if k > 0 else int(s[v]) if v > 0 else 0
        if int(t[kind, T.ROLE]) != Role.MINERALS:
            return BAD_TARGET
    count = 0
    for i in range(5, c.shape[0]):
        u = find(s, int(c[i]))
        if u > 0 and may(s, t, a, u, p, row):
            s[u + U_RALLY_X] = max(int(c[1]), 0)
            s[u + U_RALLY_Y] = max(int(c[2]), 0)
            s[u + U_RALLY_TAG] = c[3]
            count += 1
    return SUCCESS if count > 0 else NOT_SUPPORTED
