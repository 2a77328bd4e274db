"""What a benchmark is made of: items, each a prompt with responses of which some are right, and the scores they get.

Flow     benchmark file -> items -> reward/score.py -> scores -> the benchmark's own rule
Shapes   N items, R responses of an item
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from skyloom.core.records import Message
from skyloom.reward.records import Pair, prompt_text

Scores: TypeAlias = Sequence[Float[np.ndarray, " _"]]
"""One float64 array an item, in the order of its responses; NaN where a response could not be scored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One benchmark item."""

    name: str
    """Unique in its benchmark; contamination evidence and result files show it."""
    subset: str
    prompt: tuple[Message, ...]
    responses: tuple[str, ...]
    """At least two, the right ones first."""
    right: int = 1
    """How many of them are right, at least 1 and fewer than all."""
    pairs: tuple[tuple[int, int], ...] = ()
    """(better, worse) places of the responses that are compared; empty: every right one with every wrong one."""
    cluster: str = ""
    """Items of one cluster share a problem and are resampled together; empty: its prompt."""
    tag: str = ""
    """What the benchmark's own rule needs beside: a label, a kind, a side."""

    @property
    def compared(self) -> tuple[tuple[int, int], ...]:
        """The pairs that are compared, spelt out."""
        wrong = range(self.right, len(self.responses))
        return self.pairs or tuple((better, worse) for better in range(self.right) for worse in wrong)

    @property
    def unit(self) -> str:
        """What is resampled: the cluster, or a hash of the prompt."""
        return self.cluster or hashlib.blake2b(prompt_text(self.prompt).encode(), digest_size=8).hexdigest()


def item_of(pair: Pair, name: str) -> Item:
    """A pair of the ledger as a benchmark item."""
    return Item(name=name, subset=pair.category, prompt=pair.prompt, responses=(pair.chosen, pair.rejected))
