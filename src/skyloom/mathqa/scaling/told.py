"""What a person is told of a curve: five lines, the numbers with intervals, the tables and the plots.

Flow     scaling/fit.py -> [told] -> results.json, tables.json, plots.json, answer.json and the page
Limits   A plot's axis is linear, so it shows log2 of the rows; what lies beyond the largest size stands as a series of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from skyloom.core.metrics import Cell, Estimate, Evaluation, Plot, Series, Table
from skyloom.core.stats import Interval
from skyloom.mathqa.scaling.fit import Analysis, Reach

UNIT: dict[str, tuple[str, float]] = {"accuracy": ("points", 100.0), "nll": ("nats", 1.0)}
"""Measure -> what its differences are told in, and how many of them make 1."""


class Price(NamedTuple):
    """What a row costs."""

    money: float
    """0: not known, or nothing."""
    source: str
    """Where the price comes from."""


def lines(told: Analysis, price: Price | None = None) -> list[str]:
    """Slope, what twice the rows give, what it takes to reach a value, the limit, and the hold-out error."""
    unit, times = UNIT[told.points.measure]
    largest = told.points.sizes[-1]
    head = [f"{told.points.name or 'points'}, {told.points.measure}: {_about(told)}"]
    if len(told.points.settings) > 1:
        mixed = ", ".join(each or "none" for each in told.points.settings)
        head.append(
            f"WARNING: points of {len(told.points.settings)} evaluation settings ({mixed}) in one curve: the slope mixes them"
        )
    head.append(f"slope: {_signed(told.slope, times)} {unit} a doubling at {largest:,} rows")
    ahead = ", ".join(f"{_plain(each)} at {largest * k:,}{_beyond(told, each)}" for k, each in told.ahead.items())
    head.append(f"twice the rows: {_signed(told.gain, times)} {unit}; expected {ahead}")
    head += [reach_line(each, price) for each in told.reach]
    head.append(f"asymptote: {_asymptote(told)}")
    head += [_held_line(told, unit, times)]
    return head


def _about(told: Analysis) -> str:
    refused = "".join(f"; no {name} law: {why}" for name, why in told.refused.items())
    seeds = told.points.seeds
    sizes = f"{len(told.points.sizes)} sizes x {seeds} seed{'s' if seeds > 1 else ''}"
    return f"{told.chosen.name} law by AICc in {told.share:.0%} of the resamples; {sizes}; {told.method}{refused}"


def reach_line(reach: Reach, price: Price | None = None) -> str:
    """Rows and money to reach a value, or why that is not told."""
    if reach.rows is None:
        return f"to reach {reach.value:g}: not told: {reach.refusal}"
    high = f"{reach.rows.high:,.0f}" if math.isfinite(reach.rows.high) else "never"
    text = f"to reach {reach.value:g}: {reach.rows.value:,.0f} rows [{reach.rows.low:,.0f}, {high}]"
    if price is not None and price.money > 0:
        text += f", {reach.rows.value * price.money:,.2f} of money at {price.money:.4g} a row ({price.source})"
    return text + (f"; extrapolation: {reach.refusal}" if reach.refusal else "")


def _asymptote(told: Analysis) -> str:
    found = told.asymptote
    if found is None:
        return f"not told: {told.refused.get('saturating', 'the law was not asked for')}"
    interval = f"profile interval [{found.low:.3f}, {found.high:.3f}]".replace("-0.000", "0.000")
    if found.refusal:
        return f"not identifiable: {interval}: {found.refusal}"
    return f"{found.value:.3f}, {interval}"


def _held_line(told: Analysis, unit: str, times: float) -> str:
    if not told.held_out:
        return "hold-out: not told: needs three sizes"
    parts = [f"without the last {k.left_out}: {_signed(k.error, times)} {unit} at {k.rows:,}" for k in told.held_out]
    return f"hold-out, measured less predicted: {'; '.join(parts)}"


def _beyond(told: Analysis, each: Interval) -> str:
    """What to say of a prediction that the measure cannot take."""
    possible = told.points.sign * each.value <= told.points.ceiling
    return "" if possible else f" (which {told.points.measure} cannot be: the law breaks before)"


def _signed(each: Interval, times: float) -> str:
    digits = 1 if times > 1 else 4
    return f"{each.value * times:+.{digits}f} [{each.low * times:+.{digits}f}, {each.high * times:+.{digits}f}]"


def _plain(each: Interval) -> str:
    return f"{each.value:.3f} [{each.low:.3f}, {each.high:.3f}]"


def _scaled(each: Interval, times: float) -> Interval:
    return Interval(each.value * times, each.low * times, each.high * times, each.n, each.method)


def answer(told: Analysis, price: Price | None = None) -> dict[str, Any]:  # Any: JSON
    """Everything for scripts; a number that is refused is null beside its reason."""
    found = told.asymptote
    return {
        "name": told.points.name,
        "measure": told.points.measure,
        "settings": [*told.points.settings],
        "law": told.chosen.name,
        "laws": {
            each.name: {**each.parameters, "k": each.k, "r2": each.r2, "aicc": each.aicc, "slope": each.slope}
            for each in told.laws
        },
        "not_offered": dict(told.refused),
        "slope": told.slope._asdict(),
        "gain_of_twice": told.gain._asdict(),
        "ahead": {str(k): each._asdict() for k, each in told.ahead.items()},
        "asymptote": None if found is None else {**found._asdict(), "value": None if found.refusal else found.value},
        "reach": [_reach_json(each, price) for each in told.reach],
        "held_out": [{**each._asdict(), "error": each.error._asdict()} for each in told.held_out],
        "lines": lines(told, price),
    }


def _reach_json(reach: Reach, price: Price | None) -> dict[str, Any]:  # Any: JSON
    rows = reach.rows
    money = None if rows is None or price is None or price.money <= 0 else rows.value * price.money
    high = None if rows is None or not math.isfinite(rows.high) else rows.high
    told = None if rows is None else {"value": rows.value, "low": rows.low, "high": high}
    return {"value": reach.value, "rows": told, "money": money, "refusal": reach.refusal}


def evaluation(analyses: Sequence[Analysis]) -> Evaluation:
    """The first curve's slope against no gain at all; the other numbers behind it."""
    first = analyses[0]
    none = Interval(0.0, 0.0, 0.0, first.slope.n, "by definition")
    others = [each for told in analyses for each in _estimates(told)]
    return Evaluation(
        headline=others[0], baselines=(Estimate.of("more rows change nothing", none),), others=tuple(others[1:])
    )


def _estimates(told: Analysis) -> list[Estimate]:
    unit, times = UNIT[told.points.measure]
    lead = f"{told.points.name}: " if told.points.name else ""
    largest = told.points.sizes[-1]
    found = [
        Estimate.of(f"{lead}{told.points.measure}: {unit} a doubling at {largest:,} rows", _scaled(told.slope, times)),
        Estimate.of(f"{lead}{told.points.measure}: {unit} that twice the rows add", _scaled(told.gain, times)),
    ]
    found += [
        Estimate.of(f"{lead}{told.points.measure} at {k * largest:,} rows", each) for k, each in told.ahead.items()
    ]
    found += [
        Estimate.of(
            f"{lead}{told.points.measure}: hold-out error at {k.rows:,} rows without the last {k.left_out}, {unit}",
            _scaled(k.error, times),
        )
        for k in told.held_out
    ]
    limit = told.asymptote
    if limit is not None and not limit.refusal:
        interval = Interval(limit.value, limit.low, limit.high, told.slope.n, "profile likelihood")
        found.append(Estimate.of(f"{lead}{told.points.measure}: asymptote", interval))
    return found


def tables(told: Analysis, price: Price | None = None) -> tuple[Table, ...]:
    """The points, the laws, the hold-outs, and what was asked and perhaps refused."""
    lead = f"{told.points.name or 'Points'}, {told.points.measure}"
    points = told.points
    seen: list[tuple[Cell, ...]] = [
        (int(rows), float(value), int(n) or None)
        for rows, value, n in zip(points.rows_C.tolist(), points.value_C.tolist(), points.n_C.tolist(), strict=True)
    ]
    laws: list[tuple[Cell, ...]] = [
        (each.name, each.formula, ", ".join(f"{k} {v:.4g}" for k, v in each.parameters.items()), each.k, each.r2, each.aicc, each.slope)
        for each in told.laws
    ]  # fmt: skip
    laws += [(name, why, "", None, None, None, None) for name, why in told.refused.items()]
    held: list[tuple[Cell, ...]] = [
        (k.left_out, k.rows, k.law, k.predicted, k.observed, k.error) for k in told.held_out
    ]
    asked: list[tuple[Cell, ...]] = [
        (line.partition(": ")[0], line.partition(": ")[2]) for line in lines(told, price)[1:]
    ]
    return (
        Table(title=f"{lead}: what twice the data buys", note=_about(told), columns=("question", "answer"), rows=tuple(asked)),
        Table(title=f"{lead}: points", note="a row a training", columns=("rows", points.measure, "items"), rows=tuple(seen)),
        Table(
            title=f"{lead}: laws",
            note="k counts the noise variance; slope: gain of a doubling at the largest size; a law that is not offered says why",
            columns=("law", "formula", "parameters", "k", "R2", "AICc", "slope"),
            rows=tuple(laws),
        ),
        Table(
            title=f"{lead}: hold-out",
            note="the largest sizes told from the smaller ones; error: measured less predicted",
            columns=("sizes left out", "rows", "law", "predicted", "measured", "error"),
            rows=tuple(held),
        ),
    )  # fmt: skip


def plot(told: Analysis) -> Plot:
    """Points by size with intervals, every law over the measured range, the chosen one with its band and beyond."""
    points = told.points
    end = math.log2(points.sizes[-1])
    at = [k for k, x in enumerate(told.band_x.tolist()) if x <= end]
    beyond = [k for k, x in enumerate(told.band_x.tolist()) if x >= end]
    inside_x = told.band_x[at]
    series = [_points_series(told)]
    series += [_band(f"{told.chosen.name} law", told, at)]
    for each in told.laws:
        if each.name != told.chosen.name:
            curve = points.sign * each.fitted.predict(inside_x)[0]
            series.append(Series(name=f"{each.name} law", x=_tuple(inside_x), y=_tuple(curve)))
    series.append(replace(_band(f"{told.chosen.name}, beyond the data", told, beyond), dashed=True))
    title = f"{told.points.name or 'Scaling'}: {points.measure} by rows"
    return Plot(title=title, x="log2 of the training rows", y=points.measure, series=tuple(series))


def _points_series(told: Analysis) -> Series:
    points = told.points
    x: list[float] = []
    y: list[float] = []
    half: list[float] = []
    for size in points.sizes:
        here_C = points.rows_C == size
        values = points.value_C[here_C]
        share = float(values.mean())
        n = int(points.n_C[here_C].min())
        item = 0.0 if points.item_CI is None else float(points.item_CI[here_C].mean(axis=0).var()) / n
        if points.item_CI is None and n:
            item = share * (1 - share) / n
        seeds = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
        x, y, half = [*x, math.log2(size)], [*y, share], [*half, 1.96 * math.sqrt(item + seeds)]
    low, high = (tuple(a + sign * b for a, b in zip(y, half, strict=True)) for sign in (-1, 1))
    return Series(name="measured", x=tuple(x), y=tuple(y), low=low, high=high)


def _band(name: str, told: Analysis, at: Sequence[int]) -> Series:
    chosen = [told.band[k] for k in at]
    low, value, high = (tuple(float(getattr(each, key)) for each in chosen) for key in ("low", "value", "high"))
    return Series(name=name, x=_tuple(told.band_x[list(at)]), y=value, low=low, high=high)


def _tuple(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(each) for each in values)
