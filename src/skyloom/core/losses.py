"""What every loss shares: the base of its config and the type of its result; torch-free names.

Flow     collect -> curate -> [train] -> evaluate -> report; a loss plug-in is one file `<system>/losses/x.py`
         that defines `Config(LossConfig)` and a pure `loss(inputs, config) -> LossOut`
Run      skyloom list
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from skyloom.core.config import PluginConfig

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig(PluginConfig):
    """Base of the config of every loss plug-in."""


class LossOut(NamedTuple):
    """A loss and what is worth plotting beside it.

    A loss plug-in returns means over its own micro-batch; `Trainer.step` wants sums, which `summed(count)` gives.
    """

    loss: Tensor
    """Scalar that carries the gradient."""
    metrics: Mapping[str, Tensor]
    """Detached scalars by name, reduced (mean or sum) exactly as `loss` is."""

    def summed(self, count: float) -> LossOut:
        """Means over `count` items (pairs, tokens, or their total weight) as sums over them."""
        return LossOut(self.loss * count, {name: value * count for name, value in self.metrics.items()})
