"""What the benchmarks of pairs share: items, null baselines, intervals, tables, and the index that keeps them out of training.

Formula  a pair is right when score(chosen) > score(rejected): a tie is wrong. A weighted mean of proportions p_i (weights w_i, sum 1)
         gets the interval  p - sqrt(sum w_i^2 (p_i - l_i)^2)  to  p + sqrt(sum w_i^2 (u_i - p_i)^2), l and u Wilson's limits
Source   strict comparison: allenai/reward-bench; the interval: MOVER, Zou & Donner 2008 (Statistics in Medicine 27:1693)
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward eval --model runs/x/train/model --data filtered.parquet
Shapes   N pairs, S strata (subsets)
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.random import Generator

from skyloom.core.errors import BadInput
from skyloom.core.metrics import Estimate, Evaluation, Plot, Series, Table
from skyloom.core.records import Message
from skyloom.core.stats import Interval, cluster_bootstrap, wilson
from skyloom.reward.records import Pair, prompt_text

MARKDOWN: re.Pattern[str] = re.compile(
    r"^\s{0,3}(?:#{1,6} |[-*+] |\d+[.)] |> |```)|\*\*[^*\n]+\*\*|`[^`\n]+`", re.MULTILINE
)
"""Headings, bullets, numbered lines, quotes, fences, bold and code spans."""
LENGTH_BINS: int = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One benchmark pair."""

    name: str
    """Unique in its benchmark; contamination evidence shows it."""
    subset: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str

    @property
    def pair(self) -> Pair:
        """The item as a pair, for the scorer."""
        return Pair(prompt=self.prompt, chosen=self.chosen, rejected=self.rejected, category=self.subset)


class Report(NamedTuple):
    """What a benchmark makes of scores."""

    evaluation: Evaluation
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]


Null = Callable[[str], float]
NULLS: dict[str, Null] = {
    "longest": lambda text: float(len(text)),
    "shortest": lambda text: -float(len(text)),
    "most markdown": lambda text: float(len(MARKDOWN.findall(text))),
}
"""Scorers that read one response and no prompt: what a benchmark must not be won by."""


def item_of(pair: Pair, name: str) -> Item:
    """A pair of the ledger as a benchmark item."""
    return Item(name=name, subset=pair.category, prompt=pair.prompt, chosen=pair.chosen, rejected=pair.rejected)


def null_scores(items: Sequence[Item], null: Null) -> Float[np.ndarray, "N 2"]:
    """Scores of both sides by a null baseline."""
    return np.asarray([(null(item.chosen), null(item.rejected)) for item in items], dtype=np.float64).reshape(-1, 2)


def wins(items: Sequence[Item], scores_N2: Float[np.ndarray, "N 2"]) -> Bool[np.ndarray, " N"]:
    """Which pairs are right; NaN (an item that could not be scored) is wrong. Raises BadInput for another shape."""
    if scores_N2.shape != (len(items), 2) or not items:
        raise BadInput(f"evaluation: {len(items)} items need scores of shape ({len(items)}, 2), got {scores_N2.shape}")
    return scores_N2[:, 0] > scores_N2[:, 1]


def combine(parts: Iterable[tuple[float, Interval]], method: str) -> Interval:
    """Weighted mean of proportions with their Wilson intervals; the weights need not add up to 1. n adds up."""
    listed = list(parts)
    total = sum(weight for weight, _ in listed)
    value = sum(weight * part.value for weight, part in listed) / total
    below = sum((weight / total * (part.value - part.low)) ** 2 for weight, part in listed) ** 0.5
    above = sum((weight / total * (part.high - part.value)) ** 2 for weight, part in listed) ** 0.5
    return Interval(value, max(0.0, value - below), min(1.0, value + above), sum(part.n for _, part in listed), method)


def by_subset(items: Sequence[Item], win_N: Bool[np.ndarray, " N"]) -> dict[str, Interval]:
    """Accuracy of each subset with Wilson's interval, in order of first appearance."""
    places: dict[str, list[int]] = {}
    for k, item in enumerate(items):
        places.setdefault(item.subset, []).append(k)
    return {subset: wilson(int(win_N[ks].sum()), len(ks)) for subset, ks in places.items()}


def clustered(items: Sequence[Item], win_N: Bool[np.ndarray, " N"], rng: Generator) -> Estimate:
    """Plain accuracy over all pairs; prompts are resampled, not pairs, because pairs of one prompt fall together."""
    clusters = [prompt_text(item.prompt) for item in items]
    if len(set(clusters)) < 2:
        return Estimate.of("accuracy, all pairs", wilson(int(win_N.sum()), len(items)))
    return Estimate.of("accuracy, all pairs, by prompt", cluster_bootstrap(win_N.astype(np.float64), clusters, rng))


def calibration(scores_N2: Float[np.ndarray, "N 2"], win_N: Bool[np.ndarray, " N"]) -> Plot:
    """Share right against the model's own confidence sigmoid(|gap|), in ten bins of equal count."""
    gap_N = np.nan_to_num(np.abs(scores_N2[:, 0] - scores_N2[:, 1]))
    confidence_N = 1 / (1 + np.exp(-gap_N))
    bins = [part for part in np.array_split(np.argsort(confidence_N, kind="stable"), LENGTH_BINS) if len(part)]
    right = [wilson(int(win_N[part].sum()), len(part)) for part in bins]
    seen = Series(
        name="share right, 95 % Wilson",
        x=tuple(float(confidence_N[part].mean()) for part in bins),
        y=tuple(each.value for each in right),
        low=tuple(each.low for each in right),
        high=tuple(each.high for each in right),
    )
    ideal = Series(name="calibrated", x=(0.5, 1.0), y=(0.5, 1.0))
    return Plot(title="Confidence against accuracy", x="sigmoid(|gap|)", y="share right", series=(seen, ideal))


def subset_table(rows: Mapping[str, Sequence[Interval]], columns: Sequence[str], note: str) -> Table:
    """Accuracy by subset: the model's, then each null baseline's."""
    body = tuple((name, *cells) for name, cells in rows.items())
    return Table(title="Accuracy by subset", note=note, columns=("subset", *columns), rows=body)
