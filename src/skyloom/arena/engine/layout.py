"""Where everything stands in the flat int32 row that is a game, and in the scratch row beside it.

    header | 2 players | SLOTS units | 2 x SLOTS memories | bit grids: visible x 2, seen x 2, blocked

A unit is named by its offset in the row (`u`), so a field is `s[u + U_HP]`; by its slot; or by its tag, (slot << 18) +
generation, which a later unit in the same slot does not share. Load with int(): numpy's int32 wraps, numba's widens.
The scratch row holds nothing that must survive: flow fields keyed by their content, and sums of one loop.

Flow    [LAYOUT] -> every kernel; `FIELDS` names the offsets for tools
Shapes  s state row, w scratch row, t unit table, a ability table, e economy vector, g ground grid [y, x]
"""

STATE_VERSION: int = 1
SLOTS: int = 512
QUEUE: int = 5
ORDERS: int = 8
NEUTRAL: int = 16
TAG_SHIFT: int = 18
LARGEST_MAP: int = 64

# Header
(
    H_VERSION,
    H_SEED,
    H_RNG,
    H_LOOP,
    H_MAX,  # loops after which the game is a draw
    H_RESULT,  # 0 running, 1 or 2 the winner, DRAW
    H_SLOTS,  # slots below this one have been used
    H_FOOT_LO,  # hash of all footprints: keys the flow fields
    H_FOOT_HI,
    H_WIDTH,
    H_HEIGHT,
    H_WORDS,  # 32-bit words a row of a bit grid
    H_SIZE,
) = range(13)
DRAW: int = 3

# Player block p = 0, 1 (ids 1, 2)
(
    P_NEXT,  # loop of the next decision
    P_MINERALS,
    P_VESPENE,
    P_FOOD_CAP,
    P_FOOD_USED,
    P_STRUCTURES,
    P_MINED,
    P_SPENT,
    P_LOST,
    P_KILLED,
    P_START_X,
    P_START_Y,
    P_SIZE,
) = range(13)
PLAYER0: int = 16

# Unit
(
    U_TYPE,  # 0 = free slot
    U_OWNER,  # 1, 2 or NEUTRAL
    U_GENERATION,
    U_X,
    U_Y,
    U_FACING,  # 0..255
    U_HP,
    U_SPEED,  # of the last loop
    U_COOLDOWN,
    U_TARGET,  # tag that it fights
    U_HIT,  # loop of the last hit
    U_CARGO,
    U_PHASE,  # of harvesting, see work.py
    U_TIMER,
    U_PATCH,  # tag of the worker's patch
    U_SITE,  # worker: tag of its site; structure: tag of its builder; patch: tag of who mines it
    U_BUILT,  # loops of construction done
    U_CONTENTS,
    U_RALLY_X,
    U_RALLY_Y,
    U_RALLY_TAG,
    U_MAKING,  # loops of production done, 0 = not started
    U_QUEUE_N,
    U_QUEUE,  # QUEUE type indices
    *_queue_rest,
    U_WAY_X,  # where it walks now
    U_WAY_Y,
    U_PLAN,  # loop at which the way is planned anew
    U_DISTANCE,  # to the way point at the last loop
    U_STUCK,
    U_ORDERS,
    U_ORDER,  # ORDERS x ORDER_SIZE
) = range(30 + QUEUE)
(O_ROW, O_X, O_Y, O_TAG, ORDER_SIZE) = range(5)
U_SIZE: int = U_ORDER + ORDERS * ORDER_SIZE
UNIT0: int = PLAYER0 + 2 * P_SIZE

# Memory of player p about slot i: what it last saw of a structure or a resource
(K_TYPE, K_OWNER, K_TAG, K_X, K_Y, K_BUILT, K_SIZE) = range(7)
MEMORY0: int = UNIT0 + SLOTS * U_SIZE
GRID0: int = MEMORY0 + 2 * SLOTS * K_SIZE
(G_VISIBLE, G_SEEN, G_BLOCKED, GRIDS) = (0, 2, 4, 5)  # visible and seen: + p

# Scratch
FLOWS: int = 16
W_DX: int = 0
W_DY: int = W_DX + SLOTS
W_DAMAGE: int = W_DY + SLOTS
W_NEXT: int = W_DAMAGE + SLOTS  # linked lists of units by cell
W_LIST: int = W_NEXT + SLOTS  # who may be shot at, player by player
W_LIST_N: int = W_LIST + 2 * SLOTS
W_STAMP: int = W_LIST_N + 2
W_KEYS: int = W_STAMP + 1  # FLOWS x (goal + 1, lo, hi, last use)
W_HEADS: int = W_KEYS + 4 * FLOWS  # CELLS heads of the linked lists
BUCKETS: int = 8  # more than the longest step of a flow field


def state_size(width: int, height: int) -> int:
    """int32 entries of a game's row."""
    return GRID0 + GRIDS * height * words(width)


def scratch_size(width: int, height: int) -> int:
    """int32 entries of a scratch row: heads, bucket queues, flow fields."""
    return W_HEADS + width * height * (1 + BUCKETS + FLOWS)


def words(width: int) -> int:
    """32-bit words a row of a bit grid."""
    return (width + 31) // 32


def unit(slot: int) -> int:
    """Offset of a slot in the row."""
    return UNIT0 + slot * U_SIZE


FIELDS: dict[str, int] = {
    name: value
    for name, value in dict(globals()).items()
    if name[:2] in {"H_", "P_", "U_", "K_", "O_", "W_", "G_"} and isinstance(value, int)
}
"""Every named offset, for tools and for the layout's own test."""
