"""Units come and go: slots, tags, footprints, supply, who stands where.

Flow    start of a game, production, construction and fighting call [UNITS]
Shapes  see layout; u = offset of a unit in the row, p = player 0 or 1
"""

from skyloom.arena.engine.geometry import MASK, Row, Table, edge_x, get_bit, is_free, set_bits, signed
from skyloom.arena.engine.jit import jit
from skyloom.arena.engine.layout import (
    G_BLOCKED,
    G_VISIBLE,
    H_FOOT_HI,
    H_FOOT_LO,
    H_SLOTS,
    K_SIZE,
    K_TAG,
    K_TYPE,
    MEMORY0,
    NEUTRAL,
    P_FOOD_CAP,
    P_FOOD_USED,
    P_LOST,
    P_SIZE,
    P_STRUCTURES,
    PLAYER0,
    SLOTS,
    TAG_SHIFT,
    U_BUILT,
    U_CONTENTS,
    U_FACING,
    U_GENERATION,
    U_HIT,
    U_HP,
    U_MAKING,
    U_OWNER,
    U_QUEUE,
    U_QUEUE_N,
    U_SIZE,
    U_X,
    U_Y,
    UNIT0,
)
from skyloom.arena.engine.rules import E, Role, T


@jit
def player(p: int) -> int:
    """Offset of a player's block."""
    return PLAYER0 + p * P_SIZE


@jit
def tag_of(s: Row, u: int) -> int:
    """The tag of a unit, never 0."""
    return ((u - UNIT0) // U_SIZE << TAG_SHIFT) + int(s[u + U_GENERATION])


@jit
def find(s: Row, tag: int) -> int:
    """Offset of the unit with a tag; 0 if there is none any more."""
    slot = tag >> TAG_SHIFT
    if tag <= 0 or slot >= int(s[H_SLOTS]):
        return 0
    u = UNIT0 + slot * U_SIZE
    return u if int(s[u]) > 0 and tag_of(s, u) == tag else 0


@jit
def is_vacant(s: Row, slot: int) -> bool:
    """Whether a slot holds no unit and nobody remembers one there."""
    first = int(s[MEMORY0 + slot * K_SIZE + K_TYPE])
    second = int(s[MEMORY0 + (SLOTS + slot) * K_SIZE + K_TYPE])
    return int(s[UNIT0 + slot * U_SIZE]) == 0 and first == 0 and second == 0


@jit
def spawn(s: Row, t: Table, kind: int, owner: int, x: int, y: int, built: int) -> int:
    """A new unit, standing or (built < its build time) as a site; 0 if every slot is taken."""
    slot = 0
    while slot < SLOTS and not is_vacant(s, slot):
        slot += 1
    if slot == SLOTS:
        return 0
    u = UNIT0 + slot * U_SIZE
    generation = int(s[u + U_GENERATION]) + 1
    for i in range(U_SIZE):
        s[u + i] = 0
    s[H_SLOTS] = max(int(s[H_SLOTS]), slot + 1)
    s[u] = kind
    s[u + U_OWNER] = owner
    s[u + U_GENERATION] = generation
    s[u + U_X] = x
    s[u + U_Y] = y
    s[u + U_FACING] = 192
    s[u + U_HP] = t[kind, T.HP]
    s[u + U_BUILT] = built
    s[u + U_CONTENTS] = t[kind, T.CONTENTS]
    s[u + U_HIT] = -1000
    if int(t[kind, T.WIDTH]) > 0:
        block(s, t, u, 1)
    if owner != NEUTRAL and int(t[kind, T.ROLE]) == Role.STRUCTURE:
        s[player(owner - 1) + P_STRUCTURES] += 1
    return u


@jit
def remove(s: Row, t: Table, u: int) -> None:
    """Take a unit off the map and release its supply; its slot may be used again."""
    kind = int(s[u])
    owner = int(s[u + U_OWNER])
    if int(t[kind, T.WIDTH]) > 0:
        block(s, t, u, 0)
    if owner != NEUTRAL:
        b = player(owner - 1)
        s[b + P_FOOD_USED] -= t[kind, T.FOOD]
        s[b + P_LOST] += t[kind, T.MINERALS]
        if int(s[u + U_MAKING]) > 0:
            s[b + P_FOOD_USED] -= t[int(s[u + U_QUEUE]), T.FOOD]
        for i in range(int(s[u + U_QUEUE_N])):
            s[b + P_LOST] += t[int(s[u + U_QUEUE + i]), T.MINERALS]
        if int(t[kind, T.ROLE]) == Role.STRUCTURE:
            s[b + P_STRUCTURES] -= 1
    s[u] = 0


@jit
def block(s: Row, t: Table, u: int, value: int) -> None:
    """Mark or clear a unit's footprint and fold it into the hash of all footprints."""
    width = int(t[int(s[u]), T.WIDTH])
    height = int(t[int(s[u]), T.HEIGHT])
    x = edge_x(int(s[u + U_X]), width)
    y = edge_x(int(s[u + U_Y]), height)
    for row in range(y, y + height):
        set_bits(s, G_BLOCKED, row, x, x + width - 1, value)
    # Adding and taking away the same value: the hash depends on the set of footprints alone.
    code = (((y * 256 + x) * 16 + height) * 16 + width) & MASK
    low = (code * 0x9E3779B1) & MASK
    low = ((low ^ (low >> 15)) * 0x5BD1E995) & MASK
    high = ((low ^ (low >> 13)) * 0x27D4EB2F) & MASK
    sign = 1 if value else -1
    s[H_FOOT_LO] = signed(int(s[H_FOOT_LO]) + sign * low)
    s[H_FOOT_HI] = signed(int(s[H_FOOT_HI]) + sign * high)


@jit
def count_food(s: Row, t: Table, e: Table) -> None:
    """Supply that finished structures give, at most the ruleset's maximum."""
    for p in range(2):
        s[player(p) + P_FOOD_CAP] = 0
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        kind = int(s[u])
        if kind > 0 and int(t[kind, T.PROVIDES]) > 0 and int(s[u + U_BUILT]) >= int(t[kind, T.BUILD]):
            s[player(int(s[u + U_OWNER]) - 1) + P_FOOD_CAP] += t[kind, T.PROVIDES]
    for p in range(2):
        s[player(p) + P_FOOD_CAP] = min(int(s[player(p) + P_FOOD_CAP]), int(e[E.FOOD_MAX]))


@jit
def has(s: Row, t: Table, p: int, kind: int) -> bool:
    """Whether a player has a finished structure of a kind."""
    for slot in range(int(s[H_SLOTS])):
        u = UNIT0 + slot * U_SIZE
        if int(s[u]) == kind and int(s[u + U_OWNER]) == p + 1 and int(s[u + U_BUILT]) >= int(t[kind, T.BUILD]):
            return True
    return False


@jit
def memory(p: int, u: int) -> int:
    """Offset of what player p remembers about a unit's slot."""
    return MEMORY0 + (p * SLOTS + (u - UNIT0) // U_SIZE) * K_SIZE


@jit
def remembers(s: Row, p: int, tag: int) -> int:
    """Offset of player p's memory of a tag; 0 if there is none."""
    slot = tag >> TAG_SHIFT
    if tag <= 0 or slot >= SLOTS:
        return 0
    k = MEMORY0 + (p * SLOTS + slot) * K_SIZE
    return k if int(s[k + K_TYPE]) > 0 and int(s[k + K_TAG]) == tag else 0


@jit
def sees(s: Row, t: Table, p: int, kind: int, x: int, y: int) -> bool:
    """Whether player p sees a cell of something that stands at (x, y)."""
    width = int(t[kind, T.WIDTH])
    if width == 0:
        return get_bit(s, G_VISIBLE + p, x >> 12, y >> 12) == 1
    left = edge_x(x, width)
    low = edge_x(y, int(t[kind, T.HEIGHT]))
    for cy in range(low, low + int(t[kind, T.HEIGHT])):
        for cx in range(left, left + width):
            if get_bit(s, G_VISIBLE + p, cx, cy) == 1:
                return True
    return False


@jit
def free_cell(s: Row, g: Table, x: int, y: int, to_x: int, to_y: int) -> int:
    """A free cell near (x, y): the nearest ring of cells that has one, in it the cell nearest to (to_x, to_y); -1 = none.

    All in fixed point but the answer, cy * 65536 + cx.
    """
    for ring in range(64):
        best = -1
        least = 1 << 60
        for cy in range((y >> 12) - ring, (y >> 12) + ring + 1):
            side = abs(cy - (y >> 12)) == ring
            for cx in range((x >> 12) - ring, (x >> 12) + ring + 1, 1 if side or ring == 0 else 2 * ring):
                dx = cx * 4096 + 2048 - to_x
                dy = cy * 4096 + 2048 - to_y
                if is_free(s, g, cx, cy) and dx * dx + dy * dy < least:
                    least = dx * dx + dy * dy
                    best = cy * 65536 + cx
        if best >= 0:
            return best
    return -1
