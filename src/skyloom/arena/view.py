"""A player's fogged view, and what it may do in it: masks as a pure function of the observation and the tables.

A view holds what StarCraft II's API would show the player: own units; others where the player sees now; remembered
structures and resources as snapshots. Everything that a player learns of the game passes through here.

Flow    engine.observe -> [VIEW] -> bots, networks; `masks` and `position_mask` -> legal actions
Shapes  B batch (absent in a single view), S scalars, P planes, M minimap side, U units of a set, C columns, A actions,
        X target rows
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyloom.arena import spec
from skyloom.arena.engine.rules import A, By, E, Op, Role, T, Target
from skyloom.arena.engine.state import Engine


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One look, or a batch of them with a leading axis B on every array. Unused unit rows are all zero."""

    scalars: NDArray[np.int32]
    """(..., S); see spec.SCALARS."""
    minimap: NDArray[np.uint8]
    """(..., P, M, M), [plane, y, x]; see spec.PLANES."""
    my: NDArray[np.int32]
    """(..., MY_UNITS, C); see spec.COLUMNS."""
    enemy: NDArray[np.int32]
    """(..., ENEMY_UNITS, C)."""
    neutral: NDArray[np.int32]
    """(..., NEUTRAL_UNITS, C)."""
    counts: NDArray[np.int32]
    """(..., 3): rows in use in my, enemy, neutral; used rows come first, in slot order."""

    def __len__(self) -> int:
        """Views in a batch."""
        return len(self.scalars)

    def __getitem__(self, index: int) -> "View":
        """One view of a batch: slices, no copies."""
        return View(
            scalars=self.scalars[index],
            minimap=self.minimap[index],
            my=self.my[index],
            enemy=self.enemy[index],
            neutral=self.neutral[index],
            counts=self.counts[index],
        )

    def copy(self) -> "View":
        """A view with arrays of its own."""
        return View(
            scalars=self.scalars.copy(),
            minimap=self.minimap.copy(),
            my=self.my.copy(),
            enemy=self.enemy.copy(),
            neutral=self.neutral.copy(),
            counts=self.counts.copy(),
        )

    def scalar(self, name: str) -> int:
        """One scalar of a single view by its name in spec.SCALARS."""
        return int(self.scalars[spec.S_[name]])

    def targets(self) -> NDArray[np.int32]:
        """(..., X, C): the three sets in a row, as the target head counts them."""
        return np.concatenate((self.my, self.enemy, self.neutral), axis=-2)


def empty(batch: int) -> View:
    """Arrays for `batch` views, all zero: what `engine.observe` fills."""
    units = {
        name: np.zeros((batch, size, len(spec.COLUMNS)), dtype=spec.UNIT_DTYPE) for name, size in spec.CAPACITY.items()
    }
    return View(
        scalars=np.zeros((batch, len(spec.SCALARS)), dtype=spec.SCALAR_DTYPE),
        minimap=np.zeros((batch, len(spec.PLANES), spec.MINIMAP, spec.MINIMAP), dtype=spec.PLANE_DTYPE),
        counts=np.zeros((batch, 3), dtype=np.int32),
        **units,
    )


class Window:
    """Re-used arrays for up to `size` views: what `observe` returns is valid until it is called again (else `copy()`)."""

    def __init__(self, size: int) -> None:
        self._scalars = np.zeros((size, len(spec.SCALARS)), dtype=spec.SCALAR_DTYPE)
        self._planes = np.zeros((size, len(spec.PLANES), spec.MINIMAP, spec.MINIMAP), dtype=spec.PLANE_DTYPE)
        self._rows = np.zeros((size, spec.TARGETS, len(spec.COLUMNS)), dtype=spec.UNIT_DTYPE)
        self._counts = np.zeros((size, 3), dtype=np.int32)

    def observe(self, engine: Engine, who_K2: NDArray[np.int32]) -> View:
        """The views of K (game, player id) pairs, K at most `size`."""
        k = len(who_K2)
        arrays = (self._scalars[:k], self._planes[:k], self._rows[:k], self._counts[:k])
        engine.observe(who_K2, *arrays)
        scalars, planes, rows, counts = arrays
        return View(
            scalars=scalars,
            minimap=planes,
            my=rows[:, : spec.ENEMY_START],
            enemy=rows[:, spec.ENEMY_START : spec.NEUTRAL_START],
            neutral=rows[:, spec.NEUTRAL_START :],
            counts=counts,
        )


class Masks(NamedTuple):
    """What is legal. An action kind is legal only if some unit (and target) is legal for it too."""

    kinds: NDArray[np.bool_]
    """(..., A)."""
    units: NDArray[np.bool_]
    """(..., A, MY_UNITS): who may be selected for each kind."""
    targets: NDArray[np.bool_]
    """(..., A, X): which target rows fit each kind."""


_U = spec.RULES.units_TC
_ABILITIES = spec.RULES.abilities_AC
_WORKER_TYPES: NDArray[np.bool_] = _U[:, T.ROLE] == Role.WORKER
_MOBILE_TYPES: NDArray[np.bool_] = _U[:, T.SPEED] > 0
_STRUCTURE_TYPES: NDArray[np.bool_] = _U[:, T.ROLE] == Role.STRUCTURE
_MINERAL_TYPES: NDArray[np.bool_] = _U[:, T.ROLE] == Role.MINERALS
_PRODUCER_TYPES: NDArray[np.bool_] = np.isin(np.arange(len(_U)), [a[A.BY] - By.TYPE for a in _ABILITIES])
QUEUE_SIZE: int = 5


def masks(view: View) -> Masks:
    """Legal kinds, units and targets of a view or a batch; kinds that need a place also need `position_mask` to be non-empty."""
    lead = view.scalars.shape[:-1]
    kinds = np.zeros((*lead, spec.N_ACTIONS), dtype=np.bool_)
    units = np.zeros((*lead, spec.N_ACTIONS, spec.MY_UNITS), dtype=np.bool_)
    targets = np.zeros((*lead, spec.N_ACTIONS, spec.TARGETS), dtype=np.bool_)
    by_class = _selectable(view)
    patches, enemies, sites = _targets(view)
    for index, ability in enumerate(_ABILITIES):
        who = by_class[int(ability[A.BY])]
        allowed = _affordable(view, int(ability[A.MAKES]))
        if ability[A.OP] == Op.RETURN:
            who = who & (view.my[..., spec.C_["cargo"]] > 0)
        if ability[A.OP] == Op.TRAIN:
            who = who & (view.my[..., spec.C_["queue"]] < QUEUE_SIZE)
        units[..., index, :] = who
        if ability[A.TARGET] == Target.UNIT:
            fitting = {Op.ATTACK: enemies, Op.RESUME: sites}.get(Op(int(ability[A.OP])), patches)
            targets[..., index, :] = fitting
            allowed = allowed & fitting.any(-1)
        kinds[..., index] = allowed & (who.any(-1) | (index == spec.NO_OP))
    return Masks(kinds, units, targets)


def position_mask(view: View, kind: int) -> NDArray[np.bool_]:
    """(M, M), [y, x]: cells that fit as the target position of a kind, for a single view.

    A structure's cell is the middle of its footprint (the lower left of the middle four for an even side).
    """
    made = int(_ABILITIES[kind, A.MAKES])
    known = view.minimap[spec.P_["height_map"]] > 0
    if _ABILITIES[kind, A.OP] != Op.BUILD:
        return known
    size = int(_U[made, T.WIDTH])
    free = view.minimap[spec.P_["buildable"]] > 0
    low = (size - 1) // 2
    padded = np.zeros((spec.MINIMAP + 2 * size, spec.MINIMAP + 2 * size), dtype=np.bool_)
    padded[size : size + spec.MINIMAP, size : size + spec.MINIMAP] = free
    fits = np.ones((spec.MINIMAP, spec.MINIMAP), dtype=np.bool_)
    for dy in range(size):
        for dx in range(size):
            y, x = size + dy - low, size + dx - low
            fits &= padded[y : y + spec.MINIMAP, x : x + spec.MINIMAP]
    return fits & ~_near_resources(view) if _U[made, T.TOWN_HALL] else fits


def _selectable(view: View) -> dict[int, NDArray[np.bool_]]:
    """Own units that each class of abilities may address; keys are values of the column A.BY."""
    kind = view.my[..., spec.C_["type"]]
    finished = view.my[..., spec.C_["built"]] >= spec.CELL
    free = finished & (view.my[..., spec.C_["busy"]] == 0)
    classes = {
        int(By.NOBODY): np.zeros(kind.shape, dtype=np.bool_),
        int(By.MOBILE): _MOBILE_TYPES[kind] & free,
        int(By.WORKER): _WORKER_TYPES[kind] & free,
        int(By.PRODUCER): _PRODUCER_TYPES[kind] & finished,
    }
    for code in np.unique(_ABILITIES[:, A.BY]):
        if code >= By.TYPE:
            classes[int(code)] = (kind == code - By.TYPE) & finished
    return classes


def _targets(view: View) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows of all three sets that are mineral patches, enemies, and own sites without a builder."""
    rows = view.targets()
    kind = rows[..., spec.C_["type"]]
    place = np.arange(spec.TARGETS)
    enemies = (place >= spec.ENEMY_START) & (place < spec.NEUTRAL_START) & (kind > 0)
    unfinished = _STRUCTURE_TYPES[kind] & (rows[..., spec.C_["built"]] < spec.CELL)
    sites = (place < spec.ENEMY_START) & unfinished & (rows[..., spec.C_["busy"]] == 0)
    return _MINERAL_TYPES[kind], enemies, sites


def _affordable(view: View, made: int) -> NDArray[np.bool_]:
    """Whether minerals, supply and technology allow one more of a unit type (0: always)."""
    scalars = view.scalars
    row = _U[made]
    enough = scalars[..., spec.S_["minerals"]] >= row[T.MINERALS]
    if row[T.FOOD]:
        enough &= scalars[..., spec.S_["food_used"]] + row[T.FOOD] <= scalars[..., spec.S_["food_cap"]]
    if row[T.NEEDS]:
        has = (view.my[..., spec.C_["type"]] == row[T.NEEDS]) & (view.my[..., spec.C_["built"]] >= spec.CELL)
        enough &= has.any(-1)
    return np.asarray(enough, dtype=np.bool_)


def _near_resources(view: View) -> NDArray[np.bool_]:
    """Cells whose centre is too close to a resource for a town hall's."""
    near = np.zeros((spec.MINIMAP, spec.MINIMAP), dtype=np.bool_)
    centre_M = np.arange(spec.MINIMAP, dtype=np.int64) * spec.CELL + spec.CELL // 2
    hall = int(_U[_U[:, T.TOWN_HALL] > 0, T.HEIGHT].max())
    for row in view.neutral[: view.counts[2]]:
        height = int(_U[row[spec.C_["type"]], T.HEIGHT])
        reach = int(spec.RULES.economy_E[E.TOWN_HALL_GAP]) * spec.CELL + (hall + height) * spec.CELL // 2
        dx_M, dy_M = centre_M - int(row[spec.C_["x"]]), centre_M - int(row[spec.C_["y"]])
        near |= dx_M**2 + dy_M[:, None] ** 2 < reach**2
    return near
