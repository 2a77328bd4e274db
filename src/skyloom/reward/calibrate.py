"""Calibration: what turns a raw score into a probability and into a number on a known scale; stored beside the model.

Formula  P(a beats b) = sigmoid((score_a - score_b) / T), T the minimum of  Σ w [-y log p - (1 - y) log(1 - p)] / Σ w
         normal(score) = (score - mean) / scale, over both sides of the same pairs
Source   temperature: Platt 1999 without offset, Guo et al. 2017, 3.2; mean and scale: OpenRLHF's normalize_reward
Flow     collect -> curate -> [train: CALIBRATE on the validation slice] -> evaluate -> report
Run      calibrate.fit(chosen_N, rejected_N).save(folder / calibrate.FILE)
Limits   The profile interval takes pairs as independent: pairs of one prompt make it too narrow, soft labels too wide.
         train.py fits on the slice that also chose the checkpoint, so `nll` is a little below what new pairs give.
Shapes   N validation pairs; any shape for what is applied
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite, log
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import chdtri, expit

from skyloom.core import store
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.metrics import read_objects
from skyloom.core.stats import CONFIDENCE, Interval

FILE: str = "calibration.json"
LIMIT: float = 100.0
"""T stays within the root mean square gap divided by and times this (ours): p saturates at one end, is 0.5025 at the other."""

Bound = Literal["", "separable", "no signal"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What the validation pairs say about a model's scores. Raises ValueError for values out of range."""

    temperature: float
    """Reward units of one natural-log odds, > 0."""
    low: float
    high: float
    """95% profile-likelihood interval of the temperature, cut at the bounds of the search."""
    bound: Bound
    """Empty where the likelihood has a minimum; else T stands at a bound of the search and only says: very small (the labels
    agree with every gap), or very large (the gaps say nothing, or the opposite)."""
    mean: float
    """Mean of all scores, both sides."""
    scale: float
    """Standard deviation of all scores, both sides, > 0."""
    n: int
    """Pairs of weight > 0."""
    nll: float
    """Nats a pair at this temperature; log 2 is a coin's."""
    nll_raw: float
    """Nats a pair at T = 1, the model as trained."""

    def __post_init__(self) -> None:
        numbers = (self.temperature, self.low, self.high, self.mean, self.scale, self.nll, self.nll_raw)
        if not all(isfinite(number) for number in numbers):
            raise ValueError("calibration: every number must be finite")
        if not 0 < self.low <= self.temperature <= self.high:
            raise ValueError(f"0 < low <= temperature <= high fails: {self.low}, {self.temperature}, {self.high}")
        if not self.scale > 0 or self.n < 2 or min(self.nll, self.nll_raw) < 0:
            raise ValueError(f"scale > 0, n >= 2, nll >= 0 fails: {self.scale}, {self.n}, {self.nll}, {self.nll_raw}")

    @property
    def interval(self) -> Interval:
        """The temperature as other results are reported."""
        return Interval(self.temperature, self.low, self.high, self.n, "profile likelihood")

    def p_win(self, gap: ArrayLike) -> Float[np.ndarray, "..."]:
        """Probability, 0 to 1, that the first of two replies is the better one, from score(first) - score(second)."""
        return np.asarray(expit(np.asarray(gap, dtype=np.float64) / self.temperature))

    def normal(self, score: ArrayLike) -> Float[np.ndarray, "..."]:
        """Scores with mean 0 and standard deviation 1 over the validation replies; order and ties stay."""
        return np.asarray((np.asarray(score, dtype=np.float64) - self.mean) / self.scale)

    def to_json(self) -> dict[str, str | float | int]:
        """The object that calibration.json holds."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Calibration":  # Any: JSON, checked field by field
        """Read one back; raises BadRow naming the field."""
        names = ("temperature", "low", "high", "mean", "scale", "nll", "nll_raw")
        numbers = {name: store.number_field(raw, name) for name in names}
        n, bound = store.number_field(raw, "n"), store.text_field(raw, "bound", empty=True)
        if bound not in get_args(Bound):
            raise BadRow("bound", f"is empty, 'separable' or 'no signal', got {bound!r}")
        try:
            return cls(**numbers, n=int(n), bound=cast(Bound, bound))
        except ValueError as error:
            raise BadRow("calibration", str(error)) from error

    def save(self, path: Path) -> None:
        """Write calibration.json, atomically."""
        store.write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "Calibration":
        """Read what `save` wrote; BadInput names file and field."""
        found = read_objects(path, cls.from_json)
        if len(found) != 1:
            raise BadInput(f"{path}: holds {len(found)} objects, expected one; calibrate again")
        return found[0]


def fit(
    chosen_N: ArrayLike, rejected_N: ArrayLike, label_N: ArrayLike | None = None, weight_N: ArrayLike | None = None
) -> Calibration:
    """Calibrate on pairs that the model was not trained on; both scores in reward units.

    `label_N` is P(chosen is better), 0 to 1, by default 1; `weight_N` >= 0 counts a pair that often, by default once. Raises
    BadInput for fewer than two pairs, lengths that differ, values out of range, or scores that are all equal.
    """
    chosen = np.asarray(chosen_N, dtype=np.float64)
    label = np.ones(len(chosen)) if label_N is None else np.asarray(label_N, dtype=np.float64)
    weight = np.ones(len(chosen)) if weight_N is None else np.asarray(weight_N, dtype=np.float64)
    pairs = _checked(chosen, np.asarray(rejected_N, dtype=np.float64), label, weight)
    both_2N = np.stack([pairs.chosen_N, pairs.rejected_N])
    share_2N = np.stack([pairs.weight_N, pairs.weight_N]) / 2
    mean = float((share_2N * both_2N).sum())
    scale = float(np.sqrt((share_2N * (both_2N - mean) ** 2).sum()))
    if np.ptp(both_2N) == 0 or scale == 0:
        raise BadInput(f"calibration: all scores equal {mean:g}, so no scale fits; the model does not read its input")
    gap_N = pairs.chosen_N - pairs.rejected_N
    likelihood = _Likelihood(gap_N, pairs.label_N, pairs.weight_N)
    # Where every pair ties, any temperature fits; the scores' own spread stands in for the gaps'.
    spread = float(np.sqrt((pairs.weight_N * gap_N**2).sum())) or scale
    log_t, bound = _minimum(likelihood, log(spread / LIMIT), log(spread * LIMIT))
    low, high = _profile(likelihood, log_t, log(spread / LIMIT), log(spread * LIMIT))
    return Calibration(
        temperature=float(np.exp(log_t)),
        low=float(np.exp(low)),
        high=float(np.exp(high)),
        bound=bound,
        mean=mean,
        scale=scale,
        n=len(gap_N),
        nll=likelihood.nll(log_t),
        nll_raw=likelihood.nll(0.0),
    )


class _Pairs(NamedTuple):
    """Checked pairs of weight > 0; the weights add up to 1."""

    chosen_N: Float[np.ndarray, " N"]
    rejected_N: Float[np.ndarray, " N"]
    label_N: Float[np.ndarray, " N"]
    weight_N: Float[np.ndarray, " N"]


class _Likelihood(NamedTuple):
    """The mean negative log-likelihood of the labels as a function of log T; convex in 1/T, so one minimum at most."""

    gap_N: Float[np.ndarray, " N"]
    label_N: Float[np.ndarray, " N"]
    weight_N: Float[np.ndarray, " N"]

    def nll(self, log_t: float) -> float:
        """Nats a pair; logaddexp does not overflow."""
        logit_N = self.gap_N * np.exp(-log_t)
        right_N, wrong_N = np.logaddexp(0, -logit_N), np.logaddexp(0, logit_N)
        return float(self.weight_N @ (self.label_N * right_N + (1 - self.label_N) * wrong_N))

    def slope(self, log_t: float) -> float:
        """Derivative by 1/T, times 1/T: changes sign only at the minimum, and does not vanish where p rounds to 1."""
        logit_N = self.gap_N * np.exp(-log_t)
        return float(self.weight_N @ (logit_N * ((1 - self.label_N) * expit(logit_N) - self.label_N * expit(-logit_N))))


def _checked(*columns: Float[np.ndarray, "..."]) -> _Pairs:
    """The four columns of the pairs of weight > 0; BadInput names the first bad row, counted from 0."""
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        shapes = ", ".join(str(column.shape) for column in columns)
        raise BadInput(f"calibration: scores, labels and weights need one length, got {shapes}")
    pairs = _Pairs(*columns)
    bad_N = ~np.isfinite(np.stack(columns)).all(axis=0)
    bad_N |= (pairs.label_N < 0) | (pairs.label_N > 1) | (pairs.weight_N < 0)
    if bad_N.any():
        row = int(bad_N.argmax())
        values = ", ".join(f"{name[:-2]} {column[row]:g}" for name, column in pairs._asdict().items())
        raise BadInput(f"calibration: pair {row}: {values}: needs finite scores, a label of 0 to 1, a weight >= 0")
    kept = _Pairs(*(column[pairs.weight_N > 0] for column in columns))
    if len(kept.weight_N) < 2:
        raise BadInput(f"calibration: needs at least two pairs of weight > 0, got {len(kept.weight_N)}")
    return kept._replace(weight_N=kept.weight_N / kept.weight_N.sum())


def _minimum(likelihood: _Likelihood, low: float, high: float) -> tuple[float, Bound]:
    """log T where the slope crosses zero; the bound it runs into where it does not."""
    if likelihood.slope(high) >= 0:
        return high, "no signal"
    if likelihood.slope(low) <= 0:
        return low, "separable"
    return float(cast(float, brentq(likelihood.slope, low, high, xtol=1e-12))), ""


def _profile(likelihood: _Likelihood, log_t: float, low: float, high: float) -> tuple[float, float]:
    """Where twice the log-likelihood has fallen by chi-square's 95% point; Kish 1965: (Σw)²/Σw² pairs count."""
    effective = 1 / float((likelihood.weight_N**2).sum())
    allowed = likelihood.nll(log_t) + float(chdtri(1, 1 - CONFIDENCE)) / (2 * effective)

    def excess(at: float) -> float:
        return likelihood.nll(at) - allowed

    below = low if excess(low) <= 0 else float(cast(float, brentq(excess, low, log_t)))
    above = high if excess(high) <= 0 else float(cast(float, brentq(excess, log_t, high)))
    return below, above
