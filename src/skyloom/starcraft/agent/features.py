"""From a player's integer view to the tensors that the network reads; the only place where integers become floats.

Formula  value / scale of arena.spec for every number; types and orders stay indices for embeddings; the scalar vector
         also carries which action kinds are legal and log(1 + n) of counts: units of each type in each set; of own ones
         the unfinished, the idle and the queued of each type, and the units under each order
Source   SCC (arXiv 2012.13169) prints six scalars and an ellipsis; the counts are ours: attention pools averages, and an
         average does not count
Flow     arena.view -> [features] -> network
Shapes   B views, S scalars, A actions, T unit types, P planes, M minimap side, U rows of a set (cut to the fullest
         view of the batch), F numbers of a unit, X target rows of all three sets after the cut
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from skyloom.arena import spec
from skyloom.arena.view import View

_INDICES: tuple[str, ...] = ("tag", "type", "order", "goal_tag")
NUMBERS: tuple[int, ...] = tuple(i for i, column in enumerate(spec.COLUMNS) if column.name not in _INDICES)
"""Columns that go in as numbers; tags are names and carry no meaning."""
N_NUMBERS: int = len(NUMBERS)
N_SCALARS: int = len(spec.SCALARS) + 2 * spec.N_ACTIONS + (len(spec.SETS) + 3) * spec.N_TYPES
GRID: int = 16
"""Side of the coarse map on which the minimap encoder works and onto which units are scattered."""

_SCALAR_SCALE: NDArray[np.float32] = np.array([field.scale for field in spec.SCALARS], dtype=np.float32)
_PLANE_SCALE: NDArray[np.float32] = np.array([field.scale for field in spec.PLANES], dtype=np.float32)
_NUMBER_SCALE: NDArray[np.float32] = np.array([spec.COLUMNS[i].scale for i in NUMBERS], dtype=np.float32)
_COARSE: int = spec.MINIMAP * spec.CELL // GRID


class UnitSet(NamedTuple):
    """One of the three sets; unused rows are zero and not `used`."""

    types_BU: Int[Tensor, "B U"]
    orders_BU: Int[Tensor, "B U"]
    numbers_BUF: Float[Tensor, "B U F"]
    cells_BU: Int[Tensor, "B U"]
    """Cell of the coarse map, y * GRID + x."""
    used_BU: Bool[Tensor, "B U"]


class Observed(NamedTuple):
    """What the network reads of a batch of views."""

    scalars_BS: Float[Tensor, "B S"]
    legal_BA: Bool[Tensor, "B A"]
    planes_BPMM: Float[Tensor, "B P M M"]
    my: UnitSet
    enemy: UnitSet
    neutral: UnitSet

    @property
    def sets(self) -> tuple[UnitSet, UnitSet, UnitSet]:
        """The three sets in the order of the target rows."""
        return self.my, self.enemy, self.neutral


def observe(view: View, legal_BA: NDArray[np.bool_]) -> Observed:
    """Tensors of a batch of views with the legal kinds of each; sets are cut to the fullest view, at least one row."""
    sizes = [max(1, int(view.counts[:, k].max(initial=0))) for k in range(len(spec.SETS))]
    sets = [rows[:, :size] for rows, size in zip((view.my, view.enemy, view.neutral), sizes, strict=True)]
    scalars = view.scalars.astype(np.float32) / _SCALAR_SCALE
    counted = [_counts(rows[..., spec.C_["type"]], rows[..., spec.C_["type"]] > 0, spec.N_TYPES) for rows in sets]
    counted += _own_counts(sets[0])
    my, enemy, neutral = (_unit_set(rows) for rows in sets)
    return Observed(
        scalars_BS=torch.from_numpy(np.concatenate([scalars, legal_BA.astype(np.float32), *counted], axis=1)),
        legal_BA=torch.from_numpy(legal_BA),
        planes_BPMM=torch.from_numpy(view.minimap.astype(np.float32) / _PLANE_SCALE[:, None, None]),
        my=my,
        enemy=enemy,
        neutral=neutral,
    )


def set_sizes(seen: Observed) -> tuple[int, int, int]:
    """Rows of each set after the cut."""
    my, enemy, neutral = (part.used_BU.shape[1] for part in seen.sets)
    return my, enemy, neutral


def cut_target(target: int, sizes: tuple[int, int, int]) -> int:
    """Where a target row of arena.spec stands once the sets are cut to `sizes`; -1 stays -1."""
    if target < 0:
        return -1
    if target < spec.ENEMY_START:
        return target
    if target < spec.NEUTRAL_START:
        return target - spec.ENEMY_START + sizes[0]
    return target - spec.NEUTRAL_START + sizes[0] + sizes[1]


def full_target(cut: int, sizes: tuple[int, int, int]) -> int:
    """The inverse of `cut_target`."""
    if cut < sizes[0]:
        return cut
    if cut < sizes[0] + sizes[1]:
        return cut - sizes[0] + spec.ENEMY_START
    return cut - sizes[0] - sizes[1] + spec.NEUTRAL_START


def cut_targets(full_BX: NDArray[np.bool_], sizes: tuple[int, int, int]) -> NDArray[np.bool_]:
    """A mask over all target rows, cut like the sets."""
    my, enemy, neutral = sizes
    parts = (
        full_BX[:, :my],
        full_BX[:, spec.ENEMY_START : spec.ENEMY_START + enemy],
        full_BX[:, spec.NEUTRAL_START : spec.NEUTRAL_START + neutral],
    )
    return np.concatenate(parts, axis=1)


def _unit_set(rows_BUC: NDArray[np.int32]) -> UnitSet:
    x, y = (np.clip(rows_BUC[..., spec.C_[axis]] // _COARSE, 0, GRID - 1) for axis in ("x", "y"))
    types = rows_BUC[..., spec.C_["type"]]
    return UnitSet(
        types_BU=torch.from_numpy(types.astype(np.int64)),
        orders_BU=torch.from_numpy(rows_BUC[..., spec.C_["order"]].astype(np.int64)),
        numbers_BUF=torch.from_numpy(rows_BUC[..., NUMBERS].astype(np.float32) / _NUMBER_SCALE),
        cells_BU=torch.from_numpy((y * GRID + x).astype(np.int64)),
        used_BU=torch.from_numpy(types > 0),
    )


def _own_counts(rows_BUC: NDArray[np.int32]) -> list[NDArray[np.float32]]:
    """Of own units: unfinished, idle and queued per type; per order how many units carry it out."""
    types, orders = rows_BUC[..., spec.C_["type"]], rows_BUC[..., spec.C_["order"]]
    used = types > 0
    return [
        _counts(types, used & (rows_BUC[..., spec.C_["built"]] < spec.CELL), spec.N_TYPES),
        _counts(types, used & (orders == 0), spec.N_TYPES),
        _counts(types, rows_BUC[..., spec.C_["queue"]] * used, spec.N_TYPES),
        _counts(orders, used, spec.N_ACTIONS),
    ]


def _counts(
    index_BU: NDArray[np.int32], weight_BU: NDArray[np.int32] | NDArray[np.bool_], size: int
) -> NDArray[np.float32]:
    """(B, size): log(1 + summed weight of the rows with each index)."""
    batch = len(index_BU)
    places = index_BU.astype(np.int64) + size * np.arange(batch)[:, None]
    sums = np.bincount(places.ravel(), weights=weight_BU.ravel().astype(np.float64), minlength=batch * size)
    return np.log1p(sums.reshape(batch, size)).astype(np.float32)
