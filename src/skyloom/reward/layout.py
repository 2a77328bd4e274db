"""How conversations that share a prompt lie in memory: one row a reply, or the prompt once and its replies behind it.

Formula  padded: a row per reply, prompt repeated. shared: prompts are read first, in rows of their own; replies then read on from their
         prompt's keys and values, so each last hidden state is what it would be alone. flat: all replies in one row without
         padding, positions starting anew, which FlashAttention's varlen kernel reads. t tokens behind p others cost about
         t (1 + (p + t) / 6D)  in units of a layer's matrix products for one token.
Source   shared prefixes: li-plus/flash-preference, Preference Packing (arXiv 2602.24082); the cost: Kaplan et al. 2020, table 1
         (12 D² weights a layer, 2 T D of attention a token and layer)
Flow     reward/encoding.py -> [layout] -> reward/model.py, in training and in scoring
Run      python benchmarks/reward_train.py --quick
Shapes   G prompts, R replies of a prompt, B rows, T tokens, K replies of a batch, P tokens of a prompt, D hidden width
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from skyloom.core.errors import BadInput
from skyloom.core.llm.packing import pad

Layout = Literal["padded", "shared", "flat"]
WORTH: float = 0.05
"""Share of the cost that reading prompts once must save before it is switched on (ours): it takes two passes in place of one."""
FULL: float = 0.85
"""A batch is closed before its share of real tokens falls below this, once it is large enough to keep a machine busy (ours)."""
BUSY: int = 768
"""Tokens of a batch from which on a larger one is hardly faster, on two cores (measured); a GPU reads flat rows anyway."""


class Group(NamedTuple):
    """Token ids of one prompt and its replies."""

    prefix: list[int]
    """What all replies begin with; may be empty."""
    branches: list[list[int]]
    """The rest of each reply, at least one token each, R of them."""

    @property
    def reply(self) -> int:
        """Tokens of the longest reply, the prefix not counted."""
        return max(len(branch) for branch in self.branches)

    @property
    def longest(self) -> int:
        """Tokens of the longest conversation, the prefix counted."""
        return len(self.prefix) + self.reply

    @property
    def rows(self) -> list[list[int]]:
        """Each conversation by itself."""
        return [self.prefix + branch for branch in self.branches]


class Prefix(NamedTuple):
    """Prompts that are read before their replies."""

    ids_GP: Int[Tensor, "G P"]
    mask_GP: Bool[Tensor, "G P"]
    owner_B: Int[Tensor, " B"]
    """Which prompt each row of the batch goes on from."""


class Batch(NamedTuple):
    """K replies ready for a backbone, group after group."""

    ids_BT: Int[Tensor, "B T"]
    mask_BT: Bool[Tensor, "B T"] | None
    """Which tokens are real; None where positions tell (flat)."""
    position_BT: Int[Tensor, "B T"]
    row_K: Int[Tensor, " K"]
    """Row of each reply's last token."""
    column_K: Int[Tensor, " K"]
    """Column of the same token."""
    prefix: Prefix | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        prefix = None if self.prefix is None else Prefix(*(part.to(device) for part in self.prefix))
        mask_BT = None if self.mask_BT is None else self.mask_BT.to(device)
        ids_BT, position_BT, row_K, column_K = (
            part.to(device) for part in (self.ids_BT, self.position_BT, self.row_K, self.column_K)
        )
        return Batch(ids_BT, mask_BT, position_BT, row_K, column_K, prefix)


def group_of(rows: Sequence[Sequence[int]]) -> Group:
    """Conversations by what they have in common at the front; every branch keeps a token at least."""
    common = min(len(row) for row in rows) - 1
    first = np.asarray(rows[0][:common], dtype=np.int64)
    for row in rows[1:]:
        differs = np.flatnonzero(first[:common] != np.asarray(row[:common], dtype=np.int64))
        common = int(differs[0]) if differs.size else common
    return Group(list(rows[0][:common]), [list(row[common:]) for row in rows])


def arrange(groups: Sequence[Group], layout: Layout, pad_id: int) -> Batch:
    """Lay groups out; replies keep their order, group after group. `shared` needs prefixes that are not empty."""
    return {"padded": _padded, "shared": _shared, "flat": _flat}[layout](groups, pad_id)


def choose(groups: Sequence[Group], width: int) -> Layout:
    """`shared` where the length profile says that it saves more than WORTH and every group has a prefix, else `padded`."""
    return "shared" if all(group.prefix for group in groups) and saved(groups, width) > WORTH else "padded"


def saved(groups: Iterable[Group], width: int) -> float:
    """Share of the cost that reading each prompt once saves, padding aside."""
    apart = together = 0.0
    for group in groups:
        prompt = len(group.prefix)
        together += _cost(0, prompt, width)
        for branch in group.branches:
            apart += _cost(0, prompt + len(branch), width)
            together += _cost(prompt, len(branch), width)
    return 1 - together / apart if apart else 0.0


def plan(groups: Sequence[Group], index_N: NDArray[np.int64], layout: Layout, budget: int) -> list[NDArray[np.int64]]:
    """Cut groups into batches of like lengths whose padded size is within the budget; each index once, in a fixed order.

    Raises BadInput where a group alone is above the budget.
    """
    order = sorted((int(k) for k in index_N), key=lambda k: (*_likeness(groups[k], layout), k), reverse=True)
    batches: list[NDArray[np.int64]] = []
    taken: list[int] = []
    shape, real = _Shape(), 0
    for k in order:
        group = groups[k]
        wider, more = shape.plus(group, layout), real + _real(group, layout)
        loose = more < FULL * wider.tokens and shape.tokens >= BUSY and layout != "flat"
        if taken and (wider.tokens > budget or loose):
            batches.append(np.asarray(taken))
            taken = []
            wider, more = _Shape().plus(group, layout), _real(group, layout)
        if wider.tokens > budget:
            raise BadInput(
                f"batching: a group of {wider.tokens} tokens is above the budget of {budget}; raise the budget"
            )
        taken.append(k)
        shape, real = wider, more
    return [*batches, np.asarray(taken)] if taken else batches


def size(groups: Sequence[Group], layout: Layout) -> int:
    """Tokens that the machine reads for a batch of these groups, padding included."""
    shape = _Shape()
    for group in groups:
        shape = shape.plus(group, layout)
    return shape.tokens


def split(group: Group, budget: int) -> list[Group]:
    """Cut a group's replies so that each part is within the budget in the shared layout, or holds one reply."""
    parts: list[Group] = []
    taken: list[list[int]] = []
    for branch in group.branches:
        widest = max(len(branch), *(len(each) for each in taken)) if taken else len(branch)
        if taken and len(group.prefix) + (len(taken) + 1) * widest > budget:
            parts.append(Group(group.prefix, taken))
            taken = []
        taken.append(branch)
    return [*parts, Group(group.prefix, taken)]


class _Shape(NamedTuple):
    """The rectangles of a batch."""

    prompts: int = 0
    prompt: int = 0
    replies: int = 0
    reply: int = 0
    laid: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that the machine reads, padding included."""
        return self.laid or self.prompts * self.prompt + self.replies * self.reply

    def plus(self, group: Group, layout: Layout) -> "_Shape":
        """With one more group."""
        if layout == "flat":
            return self._replace(laid=self.laid + _real(group, layout))
        shared = layout == "shared"
        return _Shape(
            self.prompts + shared,
            max(self.prompt, len(group.prefix)) if shared else 0,
            self.replies + len(group.branches),
            max(self.reply, group.reply if shared else group.longest),
        )


def _likeness(group: Group, layout: Layout) -> tuple[float, int]:
    """What rows of one batch should have in common: in the shared layout prompts within a fifth, then replies."""
    return (round(4 * math.log2(len(group.prefix))), group.reply) if layout == "shared" else (0, group.longest)


def _real(group: Group, layout: Layout) -> int:
    replies = sum(map(len, group.branches))
    return replies + len(group.prefix) * (1 if layout == "shared" else len(group.branches))


def _cost(behind: int, tokens: int, width: int) -> float:
    return tokens * (1 + (behind + tokens) / (6 * width))


def _padded(groups: Sequence[Group], pad_id: int) -> Batch:
    rows = [row for group in groups for row in group.rows]
    batch = pad(rows, pad_id)
    position_BT = torch.arange(batch.ids_BT.shape[1]).expand(len(rows), -1)
    return Batch(batch.ids_BT, batch.mask_BT, position_BT, torch.arange(len(rows)), _lengths(rows) - 1)


def _shared(groups: Sequence[Group], pad_id: int) -> Batch:
    rows = [branch for group in groups for branch in group.branches]
    prompts, batch = pad([group.prefix for group in groups], pad_id), pad(rows, pad_id)
    owner_B = torch.repeat_interleave(torch.tensor([len(group.branches) for group in groups]))
    behind_B = prompts.mask_BT.sum(1)[owner_B]
    position_BT = behind_B[:, None] + torch.arange(batch.ids_BT.shape[1])
    prefix = Prefix(prompts.ids_BT, prompts.mask_BT, owner_B)
    return Batch(batch.ids_BT, batch.mask_BT, position_BT, torch.arange(len(rows)), _lengths(rows) - 1, prefix)


def _flat(groups: Sequence[Group], pad_id: int) -> Batch:
    del pad_id  # nothing is padded
    rows = [row for group in groups for row in group.rows]
    lengths = _lengths(rows)
    ids_BT = torch.tensor([token for row in rows for token in row])[None]
    position_BT = torch.cat([torch.arange(len(row)) for row in rows])[None]
    return Batch(ids_BT, None, position_BT, torch.zeros_like(lengths), torch.cumsum(lengths, 0) - 1)


def _lengths(rows: Sequence[Sequence[int]]) -> Int[Tensor, " K"]:
    return torch.tensor([len(row) for row in rows])
