"""Held-out pairs: plain accuracy on the prompts that training set aside.

Formula  accuracy = share of pairs with chosen > rejected (a tie is wrong); Wilson's interval, and one that resamples prompts
Source   ours; the slice is carved by prompt in reward/train.py, so no prompt of it was trained or selected on
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward train --data pairs.jsonl
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy.random import Generator

from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadInput
from skyloom.core.metrics import Estimate, Evaluation
from skyloom.core.records import from_row
from skyloom.core.stats import wilson
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals._scoring import Item, Report
from skyloom.reward.records import Pair
from skyloom.reward.settings import EvalConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """Which pairs."""

    path: Path | None = field(default=None, metadata=NOT_KEYED)
    """held_out.parquet of a training step; the pipeline fills it in."""


def inputs(config: Config) -> tuple[Path, ...]:
    """The file, where one is named."""
    return (config.path,) if config.path is not None else ()


def items(config: Config) -> tuple[Item, ...]:
    """Every pair in file order; raises BadInput where training set nothing aside."""
    if config.path is None or not config.path.is_file():
        raise BadInput("held_out: training set no pair aside; set train.held_out_share above 0")
    rows = pl.read_parquet(config.path).iter_rows(named=True)
    return tuple(scoring.item_of(from_row(Pair, row), f"held-out:{k}") for k, row in enumerate(rows))


def report(items: Sequence[Item], scores_N2: Float[np.ndarray, "N 2"], rng: Generator) -> Report:
    """Accuracy, null baselines and intervals. `scores_N2`: chosen and rejected; NaN counts as wrong."""
    win_N = scoring.wins(items, scores_N2)
    columns = {"model": win_N}
    for name, null in scoring.NULLS.items():
        columns[name] = scoring.wins(items, scoring.null_scores(items, null))
    whole = {name: wilson(int(each.sum()), len(items)) for name, each in columns.items()}
    evaluation = Evaluation(
        headline=Estimate.of("held-out accuracy", whole["model"]),
        baselines=tuple(Estimate.of(name, part) for name, part in whole.items() if name != "model"),
        others=(scoring.clustered(items, win_N, rng),),
    )
    rows = {"all": list(whole.values())}
    subsets = {name: scoring.by_subset(items, each) for name, each in columns.items()}
    if len(subsets["model"]) > 1:
        rows |= {subset or "(none)": [subsets[name][subset] for name in columns] for subset in subsets["model"]}
    note = "share of pairs with chosen above rejected, ties wrong; brackets: 95 % Wilson intervals"
    table = scoring.subset_table(rows, tuple(columns), note)
    return Report(evaluation, (table,), (scoring.calibration(scores_N2, win_N),))
