"""Batches of ragged token rows: plans to a token budget, padding, and the index of the last token.

Formula  a micro-batch of rows R costs |R| * max length in R (its padded size), or the sum of its lengths where rows lie behind one
         another without padding (flat), never more than the budget; similar lengths share a batch, so that little of it is padding.
         The plan is a pure function of (lengths, budget, seed, epoch).
Source   length bucketing: Khomenko et al. 2016 (arXiv 1708.05604); padding loses 2-8x on long-tailed data, as in DART-Math
Flow     collect -> curate -> [train] -> [evaluate] -> report; Bradley-Terry, SFT and generation batch through here
Run      python benchmarks/batching.py --quick
Shapes   N rows of the data, B rows of a batch, T tokens of its longest row
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream

IntArray = NDArray[np.int64]
IGNORED: int = -100
"""Label of a position that carries no loss: what torch's cross_entropy skips by default."""
CPU_TOKENS: int = 1024
"""Tokens of a batch from which on a CPU's caches are full: on two cores 1,024 read a fifth more tokens a second than 8,192 (measured).
How rows fall into batches changes no gradient."""
WINDOW: int = 64
"""Batches' worth of shuffled rows that are sorted by length together (ours): large enough to fill batches, small enough to mix."""


class Padded(NamedTuple):
    """Rows of tokens as one rectangle."""

    ids_BT: Int[Tensor, "B T"]
    """int64 token ids; padding holds the pad id, which may also be a real token: only the mask tells."""
    mask_BT: Bool[Tensor, "B T"]
    """True where a real token stands."""
    labels_BT: Int[Tensor, "B T"]
    """int64: the id itself where the token carries loss, else -100; not shifted."""


class Flat(NamedTuple):
    """Rows of tokens one behind another in a single row, without padding."""

    ids_1T: Int[Tensor, "1 T"]
    """int64 token ids."""
    position_1T: Int[Tensor, "1 T"]
    """int64: each row counts from 0."""
    labels_1T: Int[Tensor, "1 T"]
    """int64: as in Padded; -100 where a row begins, since no token of its own stands before."""
    lengths: tuple[int, ...]
    """Tokens of each row, in order."""


def plan_batches(lengths: Sequence[int] | IntArray, budget: int, seed: int, epoch: int = 0) -> list[IntArray]:
    """One epoch as bucketed micro-batches: every row index once, none above the budget, in shuffled order.

    Rows are shuffled, sorted by length inside windows of about 64 batches, cut greedily, and the batches shuffled.

    Args:
        lengths: tokens of each row, each at least 1.
        budget: most tokens of a padded micro-batch.
        seed: with `epoch`, the only source of the order.
        epoch: pass number, from 0.

    Raises:
        BadInput: a row alone is above the budget, or empty.
    """
    lengths_N = _checked(lengths, budget)
    if lengths_N.size == 0:
        return []
    rng = stream(seed, "batches", str(epoch))
    order_N = rng.permutation(lengths_N.size)
    window = max(1, round(WINDOW * budget / float(lengths_N.mean())))
    batches = [
        batch_B
        for start in range(0, order_N.size, window)
        for batch_B in _cut(order_N[start : start + window], lengths_N, budget)
    ]
    return [batches[place] for place in rng.permutation(len(batches))]


def plan_steps(
    lengths: Sequence[int] | IntArray, rows: int, budget: int, seed: int, epoch: int = 0, *, flat: bool = False
) -> list[list[IntArray]]:
    """One epoch as optimiser steps of `rows` rows drawn uniformly, each cut into micro-batches under the budget.

    Every step is a uniform sample, so bucketing biases no gradient; the last step may be smaller. Arguments and errors
    are those of `plan_batches`; `rows` is at least 1; `flat` rows are not padded.
    """
    lengths_N = _checked(lengths, budget)
    if rows < 1:
        raise BadInput(f"batching: rows={rows} a step must be at least 1")
    order_N = stream(seed, "steps", str(epoch)).permutation(lengths_N.size)
    steps = [order_N[start : start + rows] for start in range(0, order_N.size, rows)]
    return [list(_cut(step_N, lengths_N, budget, flat=flat)) for step_N in steps]


def plan_sorted(lengths: Sequence[int] | IntArray, budget: int, *, flat: bool = False) -> list[IntArray]:
    """All rows in order of length, cut under the budget: for evaluation, where the order does not matter."""
    lengths_N = _checked(lengths, budget)
    return list(_cut(np.arange(lengths_N.size), lengths_N, budget, flat=flat))


def batch_tokens(budget: int, device: torch.device) -> int:
    """Most tokens of a batch on a device: the budget, or what a CPU reads fastest."""
    return min(budget, CPU_TOKENS) if device.type == "cpu" else budget


def _checked(lengths: Sequence[int] | IntArray, budget: int) -> IntArray:
    lengths_N: IntArray = np.asarray(lengths, dtype=np.int64)
    if lengths_N.size and int(lengths_N.min()) < 1:
        raise BadInput(f"batching: row {int(lengths_N.argmin())} has no tokens; drop empty rows in curation")
    if lengths_N.size and int(lengths_N.max()) > budget:
        worst = int(lengths_N.argmax())
        raise BadInput(
            f"batching: row {worst} has {int(lengths_N[worst])} tokens, above the budget of {budget}; "
            "raise the budget or drop long rows in curation"
        )
    return lengths_N


def _cut(index_N: IntArray, lengths_N: IntArray, budget: int, *, flat: bool = False) -> Iterator[IntArray]:
    # Longest first: the first row of a padded batch sets its width, so one division tells how many rows fit.
    sorted_N = index_N[np.argsort(-lengths_N[index_N], kind="stable")]
    upto_N = np.cumsum(lengths_N[sorted_N])
    start = 0
    while start < sorted_N.size:
        before = int(upto_N[start - 1]) if start else 0
        padded_end = start + budget // int(lengths_N[sorted_N[start]])
        end = int(np.searchsorted(upto_N, before + budget, side="right")) if flat else padded_end
        yield sorted_N[start:end]
        start = end


def pad(
    rows: Sequence[Sequence[int]],
    pad_id: int,
    learn: Sequence[Sequence[bool]] | None = None,
    side: Literal["right", "left"] = "right",
) -> Padded:
    """Rows of token ids as one rectangle, on the CPU.

    Args:
        rows: B rows of at least one id each.
        pad_id: id that fills up; any id will do, since the mask alone marks what is real.
        learn: True where a token carries loss, as long as its row; None learns every real token.
        side: where the padding goes; generation wants it on the left.

    Raises:
        BadInput: no rows, an empty row, or a `learn` row of another length.
    """
    if not rows or not all(len(row) for row in rows):
        raise BadInput("padding: a batch needs rows, and each row tokens")
    if learn is not None and [len(flags) for flags in learn] != [len(row) for row in rows]:
        raise BadInput("padding: the flags of what to learn must be as long as their rows")
    width = max(len(row) for row in rows)
    ids_BT = torch.full((len(rows), width), pad_id, dtype=torch.int64)
    mask_BT = torch.zeros((len(rows), width), dtype=torch.bool)
    learn_BT = torch.zeros((len(rows), width), dtype=torch.bool)
    for place, row in enumerate(rows):
        span = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids_BT[place, span] = torch.tensor(row, dtype=torch.int64)
        mask_BT[place, span] = True
        learn_BT[place, span] = True if learn is None else torch.tensor(learn[place], dtype=torch.bool)
    return Padded(ids_BT, mask_BT, torch.where(learn_BT, ids_BT, IGNORED))


def flatten(rows: Sequence[Sequence[int]], learn: Sequence[Sequence[bool]] | None = None) -> Flat:
    """Rows of token ids one behind another, on the CPU; arguments and errors as in `pad`."""
    if not rows or not all(len(row) for row in rows):
        raise BadInput("flat rows: a batch needs rows, and each row tokens")
    if learn is not None and [len(flags) for flags in learn] != [len(row) for row in rows]:
        raise BadInput("flat rows: the flags of what to learn must be as long as their rows")
    ids_T = torch.from_numpy(np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]))
    position_T = torch.cat([torch.arange(len(row)) for row in rows])
    learn_T = position_T > 0
    if learn is not None:
        learn_T = learn_T & torch.from_numpy(np.concatenate([np.asarray(flags, dtype=np.bool_) for flags in learn]))
    labels_T = torch.where(learn_T, ids_T, IGNORED)
    return Flat(ids_T[None], position_T[None], labels_T[None], tuple(map(len, rows)))


def position_ids(mask_BT: Bool[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Position of each real token in its row, from 0; padding gets 0."""
    return (mask_BT.long().cumsum(dim=1) - 1).clamp_min(0)
