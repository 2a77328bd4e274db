"""What the points say: the law, what a doubling buys, what lies ahead, and what they cannot tell.

Formula  the law of least AICc is chosen anew in every resample, among those within 4 of the least on the points, so that the intervals
         hold the doubt about the law; slope = the chosen law's derivative in log2 N at the largest size; percentile intervals, widened
         by t / z for the few cells that noise is told from
         hold-out: the law of the sizes without the last one or two, against what these two measured, in the same resample
Flow     scaling/points.py -> [fit] -> scaling/told.py
Run      skyloom mathqa scaling --points FILE.csv --out DIR
Limits   Rows to reach a value beyond 8 times the largest size measured are extrapolation and stand without an interval. An asymptote is
         told only where its profile interval is bounded (scaling/asymptote.py). With one seed a size the noise between seeds is seen only
         through the law's residuals.
Shapes   C cells, R resamples, L laws, M sizes ahead
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import t as t_law

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.core.stats import Interval
from skyloom.mathqa.scaling.asymptote import Asymptote, profile
from skyloom.mathqa.scaling.laws import Array, Fit, aicc, choose, fit, offered
from skyloom.mathqa.scaling.points import Points, drawn_items, drawn_noise, weights

RESAMPLES: int = 2_000
AHEAD: tuple[int, ...] = (2, 4)
"""Times the largest size."""
FAR: float = 8.0
"""Times the largest size: beyond it a law is not asked."""
CONFIDENCE: float = 0.95
OPEN: float = 4.0
"""Most AICc above the least at which a law still has some support (Burnham & Anderson 2002, 2.6)."""


class LawTold(NamedTuple):
    """One law on all points."""

    name: str
    formula: str
    parameters: dict[str, float]
    k: int
    """Parameters with the noise variance."""
    r2: float
    aicc: float | None
    """None: n is too small for it; the law stands alone then."""
    slope: float
    """Gain of a doubling at the largest size."""
    fitted: Fit


class HeldOut(NamedTuple):
    """The largest sizes predicted from the smaller ones."""

    left_out: int
    """How many of the largest sizes the law did not see."""
    rows: int
    law: str
    predicted: float
    observed: float
    error: Interval
    """observed - predicted."""


class Reach(NamedTuple):
    """Rows that reach a value."""

    value: float
    rows: Interval | None
    """None: refused."""
    told: float
    """Rows by the law; infinite where it never gets there."""
    refusal: str


class Analysis(NamedTuple):
    """All that is said of one curve; everything in the measure's own direction but `slope` and `gain`, which are positive for better."""

    points: Points
    laws: tuple[LawTold, ...]
    refused: Mapping[str, str]
    """Law -> why it was not offered."""
    chosen: LawTold
    share: float
    """Share of the resamples that choose the same law."""
    slope: Interval
    """Gain of a doubling at the largest size."""
    gain: Interval
    """What twice the rows add."""
    ahead: Mapping[int, Interval]
    """Times the largest size -> what is expected there."""
    held_out: tuple[HeldOut, ...]
    asymptote: Asymptote | None
    """In the measure's own direction; None: too few sizes."""
    reach: tuple[Reach, ...]
    band_x: Array
    band: tuple[Interval, ...]
    """The chosen law with its interval at band_x (log2 rows), from the smallest size to four times the largest."""
    method: str


_Teller: TypeAlias = Callable[[float, Array, float], Interval]
"""Value, resamples, sign -> interval."""


class _Drawn(NamedTuple):
    """Laws fitted to every resample, and which one each chooses."""

    fits: tuple[Fit, ...]
    at_R: NDArray[np.int64]

    def pick(self, values: list[Array]) -> Array:
        """(R, ...) of each resample's own law."""
        stacked = np.stack(values)
        return stacked[self.at_R, np.arange(len(self.at_R))]

    def predict(self, x_M: Array) -> Array:
        return self.pick([each.predict(x_M) for each in self.fits])


def analyse(
    points: Points, reach: tuple[float, ...] = (), seed: int = 0, resamples: int = RESAMPLES, law: str = ""
) -> Analysis:
    """Fit the laws to one curve; `law`: only this one, instead of the choice by AICc.

    Raises BadInput where there are fewer than two sizes, or nothing tells the noise."""
    sizes = points.sizes
    if len(sizes) < 2:
        raise BadInput(
            f"scaling: {points.name or 'the points'}: one size, {max(sizes):,} rows; a law needs two or more"
        )
    laws, refused = _fitted(points, law)
    chosen = _best(laws)
    rng = stream(seed, "mathqa.scaling", points.name, points.measure)
    y_RC, spread, method = _drawn(points, chosen, rng, resamples)
    live = _open(laws, chosen)
    drawn = _refit(points, [each.fitted for each in live], y_RC)
    x, sign = math.log2(sizes[-1]), points.sign
    n = int(points.n_C.min()) or len(points.value_C)

    def interval(value: float, drawn_R: Array, flip: float = 1.0) -> Interval:
        return _interval(flip * value, flip * drawn_R, spread, n, method)

    ahead_M = x + np.log2(np.array([1, *AHEAD], dtype=np.float64))
    point_M, told_RM = chosen.fitted.predict(ahead_M)[0], drawn.predict(ahead_M)
    band_x = np.unique(np.concatenate([np.linspace(points.x_C.min(), x, 41), np.linspace(x, x + 2, 21)]))
    band_point, band_R = chosen.fitted.predict(band_x)[0], drawn.predict(band_x)
    slope_R = drawn.pick([each.slope(x) for each in drawn.fits])
    return Analysis(
        points=points,
        laws=laws,
        refused=refused,
        chosen=chosen,
share=float(np.mean(drawn.at_R == live.index(chosen))),
        slope=interval(chosen.slope, slope_R),
        gain=interval(float(point_M[1] - point_M[0]), told_RM[:, 1] - told_RM[:, 0]),
        ahead={
            times: interval(float(point_M[k]), told_RM[:, k], sign) for k, times in enumerate(AHEAD, 1)
        },
        held_out=tuple(
            each for k in (1, 2) if len(sizes) - k >= 2 for each in _hold_out(points, k, y_RC, interval, law)
        ),
        asymptote=_asymptote(points, laws),
        reach=tuple(_reach(points, each, chosen, drawn, spread, n, method) for each in reach),
        band_x=band_x,
        band=tuple(interval(float(band_point[m]), band_R[:, m], sign) for m in range(len(band_x))),
        method=method,
    )  # fmt: skip


def _fitted(points: Points, only: str = "") -> tuple[tuple[LawTold, ...], dict[str, str]]:
    """The laws on the points themselves."""
    weight_C, y_C, n = weights(points), points.rising_C, len(points.value_C)
    laws, refused = offered(points.x_C)
    if only:
        if only not in {each.name for each in laws}:
            raise BadInput(f"scaling: law {only!r} cannot be fitted here: {refused.get(only, 'there is no such law')}")
        laws = tuple(each for each in laws if each.name == only)
    whole = float(weight_C @ (y_C - np.average(y_C, weights=weight_C)) ** 2)
    told: list[LawTold] = []
    for each in laws:
        found = fit(each, points.x_C, weight_C, y_C[None], points.ceiling)
        sse = float(found.sse_R[0])
        told.append(
            LawTold(
                name=each.name,
                formula=each.formula,
                parameters=found.one(),
                k=each.k,
                r2=1 - sse / whole if whole > 0 else 1.0,
                aicc=float(aicc(found.sse_R, n, each.k)[0]) if n >= each.k + 2 else None,
                slope=float(found.slope(math.log2(points.sizes[-1]))[0]),
                fitted=found,
            )
        )
    return tuple(told), refused


def _drawn(
    points: Points, chosen: LawTold, rng: np.random.Generator, resamples: int
) -> tuple[Array, float, str]:  # fmt: skip
    """Resampled cells of the rising measure, how much wider than normal their intervals are, and the method's name."""
    if points.crossed:
        free = len(points.value_C) - len(points.sizes)
        spread = float(t_law.ppf(0.5 + CONFIDENCE / 2, free) / ndtri(0.5 + CONFIDENCE / 2))
        return drawn_items(points, rng, resamples), spread, "items x seeds resampled"
    weight_C = weights(points)
    free = len(points.value_C) - (chosen.k - 1)
    variance_C = float(chosen.fitted.sse_R[0]) / max(free, 1) / weight_C
    curve_C = chosen.fitted.predict(points.x_C)[0]
    return drawn_noise(points, curve_C, variance_C, free, rng, resamples), 1.0, "the law's residuals drawn anew"


def _refit(points: Points, fits: list[Fit], y_RC: Array) -> _Drawn:
    weight_C = weights(points)
    found = tuple(fit(each.law, points.x_C, weight_C, y_RC, points.ceiling) for each in fits)
    return _Drawn(found, choose(found, len(points.value_C)))


def _interval(value: float, drawn_R: Array, spread: float, n: int, method: str) -> Interval:
    """Percentiles, `spread` times as far from the middle, and holding the value."""
    low, middle, high = np.quantile(drawn_R, [(1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2])
    low, high = middle - spread * (middle - low), middle + spread * (high - middle)
    return Interval(value, min(float(low), value), max(float(high), value), n, method)


def _hold_out(points: Points, left_out: int, y_RC: Array, interval: _Teller, law: str) -> Iterator[HeldOut]:
    """Each of the `left_out` largest sizes, told from the smaller ones."""
    sizes, sign = points.sizes, points.sign
    kept = points.up_to(sizes[-1 - left_out])
    laws, _ = _fitted(kept, law if law in {each.name for each in offered(kept.x_C)[0]} else "")
    chosen = _best(laws)
    drawn = _refit(kept, [each.fitted for each in _open(laws, chosen)], y_RC[:, points.rows_C <= kept.sizes[-1]])
    for size in sizes[-left_out:]:
        here_C, x_1 = points.rows_C == size, np.array([math.log2(size)])
        predicted = float(chosen.fitted.predict(x_1)[0, 0])
        observed = float(points.rising_C[here_C].mean())
        error_R = y_RC[:, here_C].mean(axis=1) - drawn.predict(x_1)[:, 0]
        if (
            not points.crossed
        ):  # noise was drawn around the law's curve, where the error is none: only its spread counts
            error_R = error_R - float(np.median(error_R)) + observed - predicted
        error = interval(observed - predicted, error_R, sign)
        yield HeldOut(left_out, size, chosen.name, sign * predicted, sign * observed, error)


def _best(laws: tuple[LawTold, ...]) -> LawTold:
    """The law of least AICc; the only one where there is one."""
    return min(laws, key=lambda each: 0.0 if each.aicc is None else each.aicc)


def _open(laws: tuple[LawTold, ...], chosen: LawTold) -> list[LawTold]:
    """The laws among which the resamples choose: those that the points themselves leave open."""
    best = 0.0 if chosen.aicc is None else chosen.aicc
    return [each for each in laws if each is chosen or (each.aicc is not None and each.aicc <= best + OPEN)]


def _asymptote(points: Points, laws: tuple[LawTold, ...]) -> Asymptote | None:
    """The limit in the measure's own direction, refused where a law without one is left open."""
    if "saturating" not in {each.name for each in laws}:
        return None
    found = profile(points.x_C, weights(points), points.rising_C, points.ceiling)
    rivals = [each.name for each in _open(laws, _best(laws)) if each.name != "saturating"]
    if not found.refusal and rivals:
        found = found._replace(refusal=f"AICc leaves the {' and the '.join(rivals)} law open, which has none")
    if points.sign > 0:
        return found
    return Asymptote(-found.value, -found.high, -found.low, found.refusal)


def _reach(
    points: Points, value: float, chosen: LawTold, drawn: _Drawn, spread: float, n: int, method: str
) -> Reach:  # fmt: skip
    """Rows that reach the value, in the measure's own direction; refused where the law is asked too far."""
    largest = points.sizes[-1]
    if points.measure == "accuracy" and not 0 < value <= 1:
        raise BadInput(f"--reach {value:g}: an accuracy lies above 0 and at most at 1")
    x = float(chosen.fitted.rows_to(points.sign * value)[0])
    rows = 2**x if x < 60 else math.inf
    if not math.isfinite(rows):
        limit = f", which levels off at {points.sign * _limit(chosen):.3f}" if chosen.name == "saturating" else ""
        return Reach(value, None, math.inf, f"the {chosen.name} law never gets there{limit}")
    if rows > FAR * largest:
        return Reach(
            value, None, rows, f"the law says {rows:,.0f} rows, more than {FAR:g} times the largest size measured"
        )
    x_R = drawn.pick([each.rows_to(points.sign * value) for each in drawn.fits])
    low, high = np.quantile(x_R, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="inverted_cdf")
    low, high = x - spread * max(0.0, x - float(low)), x + spread * max(0.0, float(high) - x)
    interval = Interval(rows, 2 ** max(low, 0.0), 2**high if high < 60 else math.inf, n, method)
    note = ""
    if interval.high > FAR * largest:
        note = f"its upper end lies beyond {FAR:g} times the largest size measured"
    return Reach(value, interval._replace(low=min(interval.low, rows)), rows, note)


def _limit(chosen: LawTold) -> float:
    return chosen.parameters["E"]
