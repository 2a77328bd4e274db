"""What a player sees and may do: names, sizes, dtypes. The single source of truth for bots, networks and servers.

An observation is four groups of integer arrays (`arena.view.View`): scalars, a minimap of six planes, and unit rows in three
sets (mine, the enemy's, neutral). An action (`Action`) is structured: what, by whom, where or at which unit, queued or not,
and how many game loops until the next look. Capacity is fixed; `View.counts` says how many rows of a set are in use.

Flow    engine -> [SPEC, view] -> bots, networks, recordings
Shapes  S scalars, P planes, M minimap side (64), U rows of a set, C unit columns, A actions, X target rows (all sets in a row)
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skyloom.arena.engine.rules import FINE, ONE, A, Role, Rules, T, Target, load_rules
from skyloom.core.errors import BadInput

RULES: Rules = load_rules("terran_opening")
"""The ruleset that observations and actions are named after; `RULES.ruleset` is written into every recording."""

MINIMAP: int = 64
"""Side of the minimap; a plane's cell [y, x] is the map's cell (x, y). Smaller maps are padded with zeros."""
MY_UNITS: int = 256
ENEMY_UNITS: int = 256
NEUTRAL_UNITS: int = 64
TARGETS: int = MY_UNITS + ENEMY_UNITS + NEUTRAL_UNITS
"""A target unit is a row of the three sets in a row: mine, then enemy from ENEMY_START, then neutral from NEUTRAL_START."""
ENEMY_START: int = MY_UNITS
NEUTRAL_START: int = MY_UNITS + ENEMY_UNITS
POSITIONS: int = MINIMAP * MINIMAP
"""A target position is a minimap cell, y * MINIMAP + x."""
MAX_SELECTED: int = 128
"""Most units that one action addresses."""
MIN_SKIP: int = 2
MAX_SKIP: int = 128
"""An action names the loops until the next decision: 2 to 128 (SCC, section 1: 90 ms to 5.7 s)."""
SKIPS: tuple[int, ...] = (2, 4, 6, 8, 11, 16, 22, 32, 45, 64, 90, 128)
"""Classes for an agent's skip head; any integer from MIN_SKIP to MAX_SKIP is legal."""
CELL: int = ONE
"""Fixed-point units a map cell."""
LOOPS_PER_SECOND: float = 22.4


class Field(NamedTuple):
    """One integer of the observation: what it means and what to divide it by to get a number near one."""

    name: str
    scale: int
    meaning: str


SCALARS: tuple[Field, ...] = (
    Field("loop", 8192, "game loops since the start"),
    Field("minerals", 512, "in the bank"),
    Field("vespene", 512, "in the bank"),
    Field("food_cap", 64, "supply that finished depots and town halls give"),
    Field("food_used", 64, "supply of living units and of units in the making"),
    Field("food_army", 64, "supply of army units, alive or in the making"),
    Field("food_workers", 64, "supply of workers, alive or in the making"),
    Field("idle_workers", 16, "workers without an order"),
    Field("army", 64, "living army units"),
    Field("mined", 8192, "minerals delivered so far"),
    Field("lost", 8192, "minerals' worth of own units and structures lost"),
    Field("killed", 8192, "minerals' worth of enemy units and structures killed"),
)
PLANES: tuple[Field, ...] = (
    Field("height_map", 255, "terrain height, 0 to 255"),
    Field("visibility_map", 2, "0 never seen, 1 seen before, 2 visible now"),
    Field("player_relative", 4, "1 own, 3 neutral, 4 enemy unit in this cell, else 0"),
    Field("alerts", 1, "an own unit was hit here within the last 32 loops"),
    Field("pathable", 1, "no cliff, resource or known structure"),
    Field("buildable", 1, "ground for structures, no resource or known structure on it"),
)
COLUMNS: tuple[Field, ...] = (
    Field("tag", 1, "stable name of the unit, (slot << 18) + generation, like StarCraft II's; 0 in unused rows"),
    Field("type", 1, "index into TYPES (for an embedding); 0 in unused rows"),
    Field("display", 2, "1 visible, 2 snapshot (remembered)"),
    Field("x", 64 * ONE, "1/4096 cell from the left edge"),
    Field("y", 64 * ONE, "1/4096 cell from the lower edge"),
    Field("facing", 256, "0 to 255, counter-clockwise from +x"),
    Field("radius", 4 * ONE, "1/4096 cell"),
    Field("hp", 512 * FINE, "1/256 hit point; 0 in snapshots"),
    Field("hp_max", 512 * FINE, "1/256 hit point"),
    Field("built", 4096, "4096 = finished"),
    Field("cooldown", 32 * FINE, "1/256 loop until the weapon is ready; 0 for others' units"),
    Field("contents", 1800, "minerals or gas left in a resource; 0 in snapshots"),
    Field("cargo", 5, "minerals that a worker carries"),
    Field("order", 1, "action index of the current order, own units only; 0 = idle (for an embedding)"),
    Field("orders", 8, "orders in the queue, own units only"),
    Field("goal_x", 64 * ONE, "1/4096 cell: where the current order leads, own units only"),
    Field("goal_y", 64 * ONE, "1/4096 cell"),
    Field("goal_tag", 1, "tag of the current order's target unit, own units only; 0 = none"),
    Field("queue", 5, "units in the production queue, own structures only"),
    Field("progress", 4096, "of the unit in the making, 4096 = done; own structures only"),
    Field("assigned", 16, "workers that mine here (town hall: around it; patch: from it); own knowledge only"),
    Field("ideal", 16, "workers that pay here: 2 a patch near a finished own town hall"),
    Field("busy", 1, "a worker bound to a site, or a site that has its builder; own only"),
    Field("hit", 1, "hit within the last 32 loops; own only"),
)
SETS: tuple[str, ...] = ("my", "enemy", "neutral")
CAPACITY: dict[str, int] = {"my": MY_UNITS, "enemy": ENEMY_UNITS, "neutral": NEUTRAL_UNITS}

S_: dict[str, int] = {field.name: index for index, field in enumerate(SCALARS)}
P_: dict[str, int] = {field.name: index for index, field in enumerate(PLANES)}
C_: dict[str, int] = {field.name: index for index, field in enumerate(COLUMNS)}
SCALAR_DTYPE = np.int32
PLANE_DTYPE = np.uint8
UNIT_DTYPE = np.int32


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitType:
    """A unit type: its index is the value of the column "type"."""

    index: int
    name: str
    unit_id: int
    role: Role
    minerals: int
    food: int
    size: int
    """Side of the footprint in cells; 0 for units that move."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionType:
    """An entry of the action head: its index is `Action.kind`."""

    index: int
    name: str
    ability_id: int
    target: Target
    selects: bool
    """Whether it addresses own units (all but no_op)."""
    makes: int
    """Type index of what it builds or trains; 0 = nothing."""


TYPES: tuple[UnitType, ...] = tuple(
    UnitType(
        index=index,
        name=name,
        unit_id=int(row[T.ID]),
        role=Role(row[T.ROLE]),
        minerals=int(row[T.MINERALS]),
        food=int(row[T.FOOD]),
        size=int(row[T.WIDTH]),
    )
    for index, (name, row) in enumerate(zip(RULES.unit_names, RULES.units_TC, strict=True))
)
ACTIONS: tuple[ActionType, ...] = tuple(
    ActionType(
        index=index,
        name=name,
        ability_id=int(row[A.ID]),
        target=Target(row[A.TARGET]),
        selects=index > 0,
        makes=int(row[A.MAKES]),
    )
    for index, (name, row) in enumerate(zip(RULES.ability_names, RULES.abilities_AC, strict=True))
)
N_TYPES: int = len(TYPES)
N_ACTIONS: int = len(ACTIONS)
NO_OP: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One decision. Rows count within the view that it answers; fields that the kind does not use are left as they are."""

    kind: int = NO_OP
    """Index into ACTIONS."""
    units: tuple[int, ...] = ()
    """Rows of the set "my", at most MAX_SELECTED, in any order."""
    position: int = -1
    """Minimap cell y * MINIMAP + x; -1 = none."""
    target: int = -1
    """Row of the three sets in a row (see TARGETS); -1 = none."""
    queued: bool = False
    """Append to the units' orders instead of replacing them."""
    skip: int = 8
    """Loops until the next decision, MIN_SKIP to MAX_SKIP."""


def type_index(name: str) -> int:
    """Index of a unit type by its StarCraft II name; raises BadInput naming the known ones."""
    return _find(RULES.unit_names, name, "unit type")


def action_index(name: str) -> int:
    """Index of an action by name; raises BadInput naming the known ones."""
    return _find(RULES.ability_names, name, "action")


def skip_class(skip: int) -> int:
    """The class of SKIPS nearest to a number of loops (the smaller one on a tie)."""
    return min(range(len(SKIPS)), key=lambda index: abs(SKIPS[index] - skip))


def _find(known: tuple[str, ...], name: str, what: str) -> int:
    if name not in known:
        raise BadInput(f"unknown {what} {name!r}; known: {', '.join(known)}")
    return known.index(name)
