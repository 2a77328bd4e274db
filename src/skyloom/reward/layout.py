"""How conversations that share a prompt lie in memory: a row each, or all in one row without padding.

Formula  padded: a row per conversation, filled up to the longest. flat: conversations one after another in one row, each with positions
         from 0 and attention to itself alone. shared: flat with each prompt once, its replies going on from it
         (core/llm/attention.py). So every last hidden state is what it would be alone. t tokens that see p others before them cost about
         t (1 + (p + t) / 6D)  in units of a layer's matrix products for one token.
Source   varlen rows: FlashAttention-2 (Dao 2023), OpenRLHF's packing; shared prefixes: li-plus/flash-preference, Preference Packing
         (arXiv 2602.24082); the cost: Kaplan et al. 2020, table 1 (12 D² weights a layer, 2 T D of attention a token and layer)
Flow     reward/encoding.py -> [layout] -> reward/model.py, in training and in scoring
Run      python benchmarks/reward_train.py --quick
Shapes   R replies of a prompt, B rows, T tokens, K replies of a batch, D hidden width
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from skyloom.core.errors import BadInput
from skyloom.core.llm.attention import Piece
from skyloom.core.llm.packing import pad

Layout = Literal["padded", "flat", "shared"]
WORTH: float = 0.05
"""Share of the cost that reading prompts once must save before it is switched on (ours): a reply's attention is then no plain causal
one, and runs a little slower."""


class Group(NamedTuple):
    """Token ids of one prompt and its replies."""

    prefix: list[int]
    """What all replies begin with; may be empty."""
    branches: list[list[int]]
    """The rest of each reply, at least one token each, R of them."""

    @property
    def longest(self) -> int:
        """Tokens of the longest conversation, the prefix counted."""
        return len(self.prefix) + max(len(branch) for branch in self.branches)

    @property
    def rows(self) -> list[list[int]]:
        """Each conversation by itself."""
        return [self.prefix + branch for branch in self.branches]


class Batch(NamedTuple):
    """K replies ready for a backbone, group after group."""

    ids_BT: Int[Tensor, "B T"]
    mask_BT: Bool[Tensor, "B T"] | None
    """Which tokens are real; None where all are (flat, shared)."""
    position_BT: Int[Tensor, "B T"]
    row_K: Int[Tensor, " K"]
    """Row of each reply's last token."""
    column_K: Int[Tensor, " K"]
    """Column of the same token."""
    pieces: tuple[Piece, ...] = ()
    """What attends to what in a row without padding."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        mask_BT = None if self.mask_BT is None else self.mask_BT.to(device)
        ids_BT, position_BT, row_K, column_K = (
            part.to(device) for part in (self.ids_BT, self.position_BT, self.row_K, self.column_K)
        )
        return Batch(ids_BT, mask_BT, position_BT, row_K, column_K, self.pieces)


def group_of(rows: Sequence[Sequence[int]]) -> Group:
    """Conversations by what they have in common at the front; every branch keeps a token at least."""
    common = min(len(row) for row in rows) - 1
    first = np.asarray(rows[0][:common], dtype=np.int64)
    for row in rows[1:]:
        differs = np.flatnonzero(first[:common] != np.asarray(row[:common], dtype=np.int64))
        common = int(differs[0]) if differs.size else common
    return Group(list(rows[0][:common]), [list(row[common:]) for row in rows])


def arrange(groups: Sequence[Group], layout: Layout, pad_id: int) -> Batch:
    """Lay groups out; replies keep their order, group after group."""
    if layout == "padded":
        rows = [row for group in groups for row in group.rows]
        batch = pad(rows, pad_id)
        position_BT = torch.arange(batch.ids_BT.shape[1]).expand(len(rows), -1)
        return Batch(batch.ids_BT, batch.mask_BT, position_BT, torch.arange(len(rows)), _lengths(rows) - 1)
    if layout == "flat":
        groups = [Group([], [row]) for group in groups for row in group.rows]
    pieces = tuple(Piece(len(group.prefix), tuple(map(len, group.branches))) for group in groups)
    parts = [part for group in groups for part in (group.prefix, *group.branches)]
    starts = [start for piece in pieces for start in (0, *([piece.prompt] * len(piece.replies)))]
    position_1T = torch.cat([start + torch.arange(len(part)) for start, part in zip(starts, parts, strict=True)])[None]
    ends = torch.cumsum(_lengths(parts), 0) - 1
    is_reply = torch.tensor([reply for piece in pieces for reply in (False, *([True] * len(piece.replies)))])
    column_K = ends[is_reply]
    ids_1T = torch.tensor([token for part in parts for token in part])[None]
    return Batch(ids_1T, None, position_1T, torch.zeros_like(column_K), column_K, pieces)


def choose(groups: Sequence[Group], width: int, layouts: Sequence[Layout]) -> Layout:
    """Of the layouts that a backbone takes, the cheapest: shared where the length profile says that it pays, else without padding."""
    if "shared" in layouts and saved(groups, width) > WORTH:
        return "shared"
    return "flat" if "flat" in layouts else "padded"


def saved(groups: Iterable[Group], width: int) -> float:
    """Share of the cost that reading each prompt once saves in a row without padding."""
    apart = together = 0.0
    for group in groups:
        prompt = len(group.prefix)
        together += _cost(0, prompt, width)
        for branch in group.branches:
            apart += _cost(0, prompt + len(branch), width)
            together += _cost(prompt, len(branch), width)
    return 1 - together / apart if apart else 0.0


def plan(groups: Sequence[Group], index_N: NDArray[np.int64], layout: Layout, budget: int) -> list[NDArray[np.int64]]:
    """Cut groups into batches of like lengths whose size is within the budget; each index once, in a fixed order.

    Raises BadInput where a group alone is above the budget.
    """
    order = sorted((int(k) for k in index_N), key=lambda k: (groups[k].longest, k), reverse=True)
    batches: list[NDArray[np.int64]] = []
    taken: list[int] = []
    held = 0
    for k in order:
        # The longest comes first, so a padded batch is as wide as its first group.
        width = groups[taken[0] if taken else k].longest
        own = width * len(groups[k].branches) if layout == "padded" else size([groups[k]], layout)
        if taken and held + own > budget:
            batches.append(np.asarray(taken))
            taken, held, own = [], 0, size([groups[k]], layout)
        if own > budget:
            raise BadInput(f"batching: a group of {own} tokens is above the budget of {budget}; raise the budget")
        taken.append(k)
        held += own
    return [*batches, np.asarray(taken)] if taken else batches


def size(groups: Sequence[Group], layout: Layout) -> int:
    """Tokens that the machine reads for a batch of these groups, padding included."""
    replies = [len(branch) for group in groups for branch in group.branches]
    if layout == "padded":
        return max((group.longest for group in groups), default=0) * len(replies)
    copies = (1 if layout == "shared" else len(group.branches) for group in groups)
    return sum(replies) + sum(len(group.prefix) * times for group, times in zip(groups, copies, strict=True))


def split(group: Group, budget: int) -> list[Group]:
    """Cut a group's replies so that each part is within the budget in the shared layout, or holds one reply."""
    parts: list[Group] = []
    taken: list[list[int]] = []
    for branch in group.branches:
        if taken and size([Group(group.prefix, [*taken, branch])], "shared") > budget:
            parts.append(Group(group.prefix, taken))
            taken = []
        taken.append(branch)
    return [*parts, Group(group.prefix, taken)]


def _cost(behind: int, tokens: int, width: int) -> float:
    return tokens * (1 + (behind + tokens) / (6 * width))


def _lengths(rows: Sequence[Sequence[int]]) -> Int[Tensor, " K"]:
    return torch.tensor([len(row) for row in rows])
