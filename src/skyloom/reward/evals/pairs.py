"""Any file of pairs: plain accuracy over all of them and by subset.

Formula  a pair is right when chosen > rejected (a tie is wrong); accuracy = share of pairs that are right; beside it the plain mean of
         the subsets' accuracies. Pairs of one prompt are resampled together.
Source   ours, for benchmarks that are not built in. Rows: {id, subset, prompt, chosen, rejected}; `prompt` is text or turns, a side is
         text or a conversation that ends with the reply. No id: the row's number; no subset: "all"
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward eval MODEL --bench FILE.jsonl --json
Limits   Two equal sides stay in and tie, so that pair is wrong for every scorer; the report counts ties.
Shapes   N pairs
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from skyloom.core.errors import BadRow
from skyloom.core.metrics import Estimate
from skyloom.core.records import Raw
from skyloom.core.store import text_field
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals._items import Item, Scores
from skyloom.reward.evals._parts import weighted
from skyloom.reward.evals._scoring import Measured
from skyloom.reward.records import check_prompt
from skyloom.reward.settings import EvalFileConfig
from skyloom.reward.sources.pairs_file import parted

ALL: str = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalFileConfig):
    """Which file."""


inputs = scoring.file_inputs


def items(config: Config) -> tuple[Item, ...]:
    """Every pair in file order; raises BadInput naming file, row and field for a bad row."""
    return scoring.read_items(config.path, _item, "a file of pairs")


def credits(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, " N"]:
    """1 where chosen is strictly above rejected, else 0."""
    return scoring.wins(items, scores).astype(np.float64)


def measure(items: Sequence[Item], scores: Scores, rng: Generator, name: str = "accuracy, all pairs") -> Measured:
    """Accuracy over all pairs, named `name`, and by subset."""
    credit_N = credits(items, scores)
    headline = Estimate.of(name, scoring.accuracy(items, credit_N, rng))
    rows = scoring.by_subset(items, credit_N, rng)
    if len(rows) < 2:
        return Measured(headline, (), rows)
    mean = scoring.resampled(items, credit_N, {"mean of the subsets": weighted(dict.fromkeys(rows, 1.0))}, rng)
    return Measured(
        headline, tuple(Estimate.of(*each) for each in mean.items()), {"all pairs": headline.interval, **rows}
    )


def _item(raw: Raw) -> Item:
    name = raw.data.get("id")
    if name is None:
        name = raw.row
    elif isinstance(name, bool) or not isinstance(name, str | int):
        raise BadRow("id", f"expected text or a whole number, got {type(name).__name__}")
    subset = text_field(raw.data, "subset") if raw.data.get("subset") is not None else ALL
    prompt, chosen, rejected = parted(raw.data)
    check_prompt(prompt)
    return Item(name=f"{subset}:{name}", subset=subset, prompt=tuple(prompt), responses=(chosen, rejected))
