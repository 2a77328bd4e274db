"""Held-out pairs: plain accuracy on the prompts that training set aside.

Formula  accuracy = share of pairs with chosen > rejected (a tie is wrong); the prompts are resampled
Source   ours; the slice is carved by prompt in reward/train.py, so no prompt of it was trained or selected on
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward train --data pairs.jsonl
Shapes   N pairs
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy.random import Generator

from skyloom.core.errors import BadInput
from skyloom.core.records import from_row
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals import pairs
from skyloom.reward.evals._items import Item, Scores, item_of
from skyloom.reward.evals._scoring import Measured
from skyloom.reward.records import Pair
from skyloom.reward.settings import EvalFileConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalFileConfig):
    """Which pairs.

    held_out.parquet of a training step; the pipeline fills it in.
    """


inputs = scoring.file_inputs


def items(config: Config) -> tuple[Item, ...]:
    """Every pair in file order; raises BadInput where training set nothing aside."""
    if config.path is None or not config.path.is_file():
        raise BadInput("held_out: training set no pair aside; set train.held_out_share above 0")
    rows = pl.read_parquet(config.path).iter_rows(named=True)
    return tuple(item_of(from_row(Pair, row), f"held-out:{k}") for k, row in enumerate(rows))


def credits(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, " N"]:
    """1 where chosen is strictly above rejected, else 0."""
    return pairs.credits(items, scores)


def measure(items: Sequence[Item], scores: Scores, rng: Generator) -> Measured:
    """Accuracy over all pairs and by category."""
    return pairs.measure(items, scores, rng, "held-out accuracy")
