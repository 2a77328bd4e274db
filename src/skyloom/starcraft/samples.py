"""Decisions of recorded games as samples on disk: re-simulated once, compressed one by one, read back in any order.

Layout   GAME.bin   zlib blobs, one a decision: counts, label, scalars, what was legal, unit rows, minimap, legal places
         GAME.npz   where each blob starts, its action kind, the count left out; written last: it vouches for the .bin
Flow     curated games -> [samples] -> imitate
Limits   A decision whose kind the masks call illegal teaches nothing that the agent could do; it is counted and left
         out.
Shapes   N samples, B batch, A action kinds, C unit columns, U own rows, X target rows of all sets after the cut
"""

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from skyloom.arena import recording, spec
from skyloom.arena.view import View, masks, position_mask
from skyloom.core import rng, store
from skyloom.starcraft.agent.features import Observed, cut_target, cut_targets, observe, set_sizes
from skyloom.starcraft.policies import NEEDS

_HEAD: int = 9  # three counts, kind, skip class, queued, target, position, selected
_CHUNK: int = 64
_PLANES: int = len(spec.PLANES) * spec.POSITIONS


class Labels(NamedTuple):
    """What the teacher did, and what it could have done given its action kind."""

    kind_B: Int[Tensor, " B"]
    skip_B: Int[Tensor, " B"]
    queued_B: Bool[Tensor, " B"]
    selected_BU: Bool[Tensor, "B U"]
    unit_legal_BU: Bool[Tensor, "B U"]
    target_B: Int[Tensor, " B"]
    """Row of the cut sets; 0 where the kind has no target unit."""
    target_legal_BX: Bool[Tensor, "B X"]
    position_B: Int[Tensor, " B"]
    """Minimap cell; 0 where the kind has no place."""
    position_legal_BN: Bool[Tensor, "B N"]


class Batch(NamedTuple):
    """Samples as the network and the losses take them."""

    seen: Observed
    labels: Labels
    weight_B: Tensor
    """Importance of each sample, mean about 1."""


class Counts(NamedTuple):
    """What one recording gave."""

    samples: int
    illegal: int


class SampleStore:
    """Random access to the samples of several games."""

    def __init__(self, paths: Sequence[Path]) -> None:
        tables = [_read_table(path) for path in paths]
        self._blobs = [np.memmap(path.with_suffix(".bin"), dtype=np.uint8, mode="r") for path in paths]
        self._starts = [np.append(each.starts, len(blob)) for each, blob in zip(tables, self._blobs, strict=True)]
        sizes = [len(each.kinds) for each in tables]
        self._game_N = np.repeat(np.arange(len(paths)), sizes)
        self._within_N = np.concatenate([np.arange(size) for size in sizes])
        self.kind_N: NDArray[np.int64] = np.concatenate([each.kinds for each in tables])
        """Action kind of every sample."""

    def __len__(self) -> int:
        return len(self.kind_N)

    def batch(self, rows: NDArray[np.int64], weight_A: NDArray[np.float64]) -> Batch:
        """Samples by number, each weighted by its action kind."""
        decoded = [_unpack(self._blob(int(row))) for row in rows]
        weights = weight_A[self.kind_N[rows]].astype(np.float32)
        return _assemble(decoded, torch.from_numpy(weights))

    def _blob(self, row: int) -> bytes:
        game, within = self._game_N[row], self._within_N[row]
        start, end = self._starts[game][within : within + 2]
        return zlib.decompress(self._blobs[game][start:end].tobytes())


@dataclass(slots=True)
class _Writer:
    """Collects decisions of one game; masks are computed for a chunk at a time."""

    blobs: list[bytes]
    kinds: list[int]
    waiting: list[tuple[View, spec.Action]]
    illegal: int = 0

    def add(self, view: View, action: spec.Action) -> None:
        self.waiting.append((view.copy(), action))
        if len(self.waiting) >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        if not self.waiting:
            return
        legal = masks(_stack([view for view, _ in self.waiting]))
        for b, (view, action) in enumerate(self.waiting):
            kind = action.kind
            if not legal.kinds[b, kind]:
                self.illegal += 1
                continue
            self.blobs.append(_pack(view, action, legal.kinds[b], legal.units[b, kind], legal.targets[b, kind]))
            self.kinds.append(kind)
        self.waiting.clear()


def write_game(data: bytes, sides: Sequence[int], keep_no_ops: float, path: Path) -> Counts:
    """Re-simulate a recording and write the decisions of the given sides (1, 2) to path.bin and path.npz.

    Of the decisions to do nothing only the share `keep_no_ops` is written, drawn by the game's own seed.

    Raises arena.recording.BadRecording where the recording does not play again as it was recorded.
    """
    writer = _Writer([], [], [])
    found = recording.from_bytes(data)
    draw = rng.stream(found.seed, "no_ops")

    def visit(player: int, view: View, action: spec.Action) -> None:
        if player in sides and (action.kind != spec.NO_OP or draw.random() < keep_no_ops):
            writer.add(view, action)

    recording.replay(found, visit=visit)
    writer.flush()
    sizes = np.array([len(blob) for blob in writer.blobs], dtype=np.int64)
    store.write_bytes(path.with_suffix(".bin"), b"".join(writer.blobs))
    table = io.BytesIO()
    kinds = np.array(writer.kinds, dtype=np.int64)
    np.savez(table, starts=np.cumsum(sizes) - sizes, kinds=kinds, illegal=np.int64(writer.illegal))
    store.write_bytes(path.with_suffix(".npz"), table.getvalue())
    return Counts(len(writer.blobs), writer.illegal)


def read_counts(path: Path) -> Counts | None:
    """Counts of a game that is written whole, else None."""
    if not path.with_suffix(".npz").exists():
        return None
    table = _read_table(path)
    return Counts(len(table.kinds), table.illegal)


class _Table(NamedTuple):
    starts: NDArray[np.int64]
    kinds: NDArray[np.int64]
    illegal: int


def _read_table(path: Path) -> _Table:
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as found:
        return _Table(found["starts"], found["kinds"], int(found["illegal"]))


def _pack(
    view: View,
    action: spec.Action,
    legal_A: NDArray[np.bool_],
    units: NDArray[np.bool_],
    targets: NDArray[np.bool_],
) -> bytes:
    n_my, n_enemy, n_neutral = (int(count) for count in view.counts)
    kind = action.kind
    place = NEEDS.position_A[kind]
    fits = position_mask(view, kind).ravel() if place else np.zeros(0, dtype=np.bool_)
    head = [n_my, n_enemy, n_neutral, kind, spec.skip_class(action.skip), int(action.queued)]
    head += [action.target if NEEDS.target_A[kind] else -1, action.position if place else -1, len(action.units)]
    rows = np.concatenate([view.my[:n_my], view.enemy[:n_enemy], view.neutral[:n_neutral]])
    parts = [
        np.array([*head, *action.units], dtype=np.int32).tobytes(),
        view.scalars.astype(np.int32).tobytes(),
        legal_A.tobytes(),
        units[:n_my].tobytes(),
        targets.tobytes(),
        rows.astype(np.int32).tobytes(),
        view.minimap.tobytes(),
        np.packbits(fits).tobytes(),
    ]
    return zlib.compress(b"".join(parts), 1)


class _Decision(NamedTuple):
    """One unpacked sample."""

    head: NDArray[np.int32]
    selected: NDArray[np.int32]
    scalars: NDArray[np.int32]
    legal: NDArray[np.bool_]
    units: NDArray[np.bool_]
    targets: NDArray[np.bool_]
    rows: NDArray[np.int32]
    minimap: NDArray[np.uint8]
    fits: NDArray[np.bool_]


class _Reader:
    """Takes arrays off a byte string, front to back."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, kind: type[np.generic], count: int) -> NDArray[np.generic]:
        array = np.frombuffer(self._data, dtype=kind, count=count, offset=self._at)
        self._at += array.nbytes
        return array

    def ints(self, count: int) -> NDArray[np.int32]:
        return self.take(np.int32, count).view(np.int32)

    def flags(self, count: int) -> NDArray[np.bool_]:
        return self.take(np.bool_, count).view(np.bool_)

    def octets(self, count: int) -> NDArray[np.uint8]:
        return self.take(np.uint8, count).view(np.uint8)


def _unpack(data: bytes) -> _Decision:
    reader = _Reader(data)
    head = reader.ints(_HEAD)
    n_my, n_all = int(head[0]), int(head[:3].sum())
    selected, scalars = reader.ints(int(head[8])), reader.ints(len(spec.SCALARS))
    legal, units, targets = reader.flags(spec.N_ACTIONS), reader.flags(n_my), reader.flags(spec.TARGETS)
    rows = reader.ints(n_all * len(spec.COLUMNS)).reshape(n_all, len(spec.COLUMNS))
    minimap = reader.octets(_PLANES).reshape(len(spec.PLANES), spec.MINIMAP, spec.MINIMAP)
    place = NEEDS.position_A[int(head[3])]
    fits = np.unpackbits(reader.octets(spec.POSITIONS // 8)).astype(np.bool_) if place else np.zeros(0, dtype=np.bool_)
    return _Decision(head, selected, scalars, legal, units, targets, rows, minimap, fits)


def _assemble(decisions: Sequence[_Decision], weight_B: Tensor) -> Batch:
    head = np.stack([each.head for each in decisions]).astype(np.int64)
    counts = head[:, :3]
    sizes = [int(counts[:, k].max()) for k in range(3)]
    sets = [np.zeros((len(decisions), max(1, size), len(spec.COLUMNS)), dtype=np.int32) for size in sizes]
    for b, each in enumerate(decisions):
        for rows, part in zip(sets, np.split(each.rows, np.cumsum(counts[b])[:2]), strict=True):
            rows[b, : len(part)] = part
    view = View(
        scalars=np.stack([each.scalars for each in decisions]),
        minimap=np.stack([each.minimap for each in decisions]),
        my=sets[0],
        enemy=sets[1],
        neutral=sets[2],
        counts=counts.astype(np.int32),
    )
    seen = observe(view, np.stack([each.legal for each in decisions]))
    return Batch(seen, _labels(decisions, head, set_sizes(seen)), weight_B)


def _labels(decisions: Sequence[_Decision], head: NDArray[np.int64], sizes: tuple[int, int, int]) -> Labels:
    batch = len(decisions)
    selected = np.zeros((batch, sizes[0]), dtype=np.bool_)
    unit_legal = np.zeros((batch, sizes[0]), dtype=np.bool_)
    fits = np.zeros((batch, spec.POSITIONS), dtype=np.bool_)
    for b, each in enumerate(decisions):
        selected[b, each.selected] = True
        unit_legal[b, : len(each.units)] = each.units
        if len(each.fits):
            fits[b] = each.fits
    target = np.array([max(0, cut_target(int(row), sizes)) for row in head[:, 6]])
    position = head[:, 7].clip(min=0)
    target_legal = cut_targets(np.stack([each.targets for each in decisions]), sizes)
    # The teacher may know better than the mask (a unit that it ordered elsewhere in the same look): its label stays legal.
    target_legal[np.arange(batch), target] = True
    fits[np.arange(batch), position] = True
    return Labels(
        kind_B=torch.from_numpy(head[:, 3].copy()),
        skip_B=torch.from_numpy(head[:, 4].copy()),
        queued_B=torch.from_numpy(head[:, 5] > 0),
        selected_BU=torch.from_numpy(selected),
        unit_legal_BU=torch.from_numpy(unit_legal | selected),
        target_B=torch.from_numpy(target),
        target_legal_BX=torch.from_numpy(target_legal),
        position_B=torch.from_numpy(position.copy()),
        position_legal_BN=torch.from_numpy(fits),
    )


def _stack(views: Sequence[View]) -> View:
    return View(
        scalars=np.stack([view.scalars for view in views]),
        minimap=np.stack([view.minimap for view in views]),
        my=np.stack([view.my for view in views]),
        enemy=np.stack([view.enemy for view in views]),
        neutral=np.stack([view.neutral for view in views]),
        counts=np.stack([view.counts for view in views]),
    )
