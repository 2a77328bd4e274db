"""Marginal value: which augmenter, stage or level buys the next point for the least money.

Formula  gain of a group = accuracy with all rows - accuracy without the group's (leave one out, same seeds, equal settings);
         value = 100 gain / money of the group; per 1,000 tokens of the teacher where the money is 0
         interval: items are drawn anew for both arms; the seeds' part is Student's t with the variance of all groups' seeds pooled
         money of an operator = what its pass's teacher.json books for it: a reply that serves two operators is booked with the first.
         Of a stage or level: that money shared out among the operator's rows by their own costs, kept or dropped alike. Passes that make
         seeds alone are a cost of all and are charged to none
Source   leave-one-out ablation; the paper's own ablation is one figure without numbers (Skywork-Math, arXiv 2407.08348, figure 7)
Flow     RUN -> study -> cells -> [value]
Run      skyloom mathqa value RUN --out DIR --by operator
Limits   Leaving a group out leaves fewer rows: its gain is that of its rows, not of its kind at equal rows. Groups that do the same work
         each look worthless while the other is there. An interval that holds 0 decides nothing, and is called undecided.
Shapes   S seeds, I items, R resamples, G groups
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.stats import t as t_law

from skyloom.core.errors import BadInput
from skyloom.core.ledger.rows import row_parts
from skyloom.core.metrics import Cell as TableCell
from skyloom.core.metrics import Estimate, Evaluation, Plot, Series, Table
from skyloom.core.rng import stream
from skyloom.core.stats import Interval
from skyloom.mathqa.scaling.cells import ALL, Cell, run_grid
from skyloom.mathqa.scaling.points import Array
from skyloom.mathqa.scaling.study import Study, teacher

BY: tuple[str, ...] = ("operator", "stage", "level")
RESAMPLES: int = 4_000


class Bill(NamedTuple):
    """What a group of rows cost."""

    money: float
    tokens: float
    """Of the teacher: prompts and replies."""


class Worth(NamedTuple):
    """One group."""

    name: str
    rows: int
    """Kept rows."""
    bill: Bill
    gain: Interval
    """Accuracy with all less accuracy without it, in points."""
    per: Interval | None
    """Points per unit of money, or per 1,000 tokens; None: it cost nothing at all."""

    @property
    def decided(self) -> bool:
        """Whether the interval of the gain leaves 0 out."""
        return self.gain.low > 0 or self.gain.high < 0


class Valued(NamedTuple):
    """All groups, the best bargain first."""

    by: str
    worth: tuple[Worth, ...]
    unit: str
    """`1 of money`, or `1,000 tokens`."""
    base: Interval
    """Accuracy with all rows."""
    overhead: Bill
    """Passes that make seeds alone."""


def value(told: Study, by: str, seeds: int, tell: Callable[[str], None], draws: int = RESAMPLES) -> Valued:
    """Train with all rows and without each group. Raises BadInput for an unknown grouping or a single group."""
    if by not in BY:
        raise BadInput(f"--by {by}: known: {', '.join(BY)}")
    if seeds < 2:
        raise BadInput(f"--seeds {seeds}: two or more, or the noise of training cannot be told from a gain")
    kept = told.grid.pool.group_by(pl.col(by).cast(pl.String).fill_null("none")).len().sort(by)
    groups: list[tuple[str, int]] = [(str(name), int(count)) for name, count in kept.iter_rows()]
    if len(groups) < 2:
        raise BadInput(f"--by {by}: all rows have {by} {groups[0][0]}; nothing can be left out")
    arms = [ALL, *(f"{by}!={name}" for name, _ in groups)]
    done = run_grid(told.grid, [Cell(arm, 0, seed) for seed in range(seeds) for arm in arms], tell)
    right = {arm: np.array([each.right for each in done if each.cell.arm == arm], dtype=np.float64) for arm in arms}
    gain_GSI = np.stack([right[ALL] - right[arm] for arm in arms[1:]])
    gains = paired(gain_GSI, stream(told.config.seed, "mathqa.scaling", "value", by), draws)
    base = paired(right[ALL][None], stream(told.config.seed, "mathqa.scaling", "value", "all"), draws)[0]
    bills = bills_of(told, by)
    paid = any(bill.money > 0 for bill in bills.values())
    worth = [
        _worth(name, rows, bills.get(name, Bill(0.0, 0.0)), gain, paid)
        for (name, rows), gain in zip(groups, gains, strict=True)
    ]
    worth.sort(key=lambda each: -(each.per.value if each.per else math.inf))
    return Valued(by, tuple(worth), "1 of money" if paid else "1,000 tokens", base, overhead(told))


def _worth(name: str, rows: int, bill: Bill, gain: Interval, paid: bool) -> Worth:
    points = _times(gain, 100)
    cost = bill.money if paid else bill.tokens / 1_000
    per = _times(points, 1 / cost) if cost > 0 else None
    return Worth(name, rows, bill, points, per)


def _times(each: Interval, factor: float) -> Interval:
    return Interval(each.value * factor, each.low * factor, each.high * factor, each.n, each.method)


def paired(value_GSI: Array, rng: np.random.Generator, draws: int = RESAMPLES) -> list[Interval]:
    """Mean of each group over seeds and items; items drawn anew, the seeds' part Student's t with pooled variance.

    The seed variance holds the chance of single items too, which errs to the wide side."""
    groups, seeds, items = value_GSI.shape
    free = groups * (seeds - 1)
    spread = math.sqrt(float(value_GSI.mean(axis=2).var(axis=1, ddof=1).mean()) / seeds)
    found: list[Interval] = []
    for value_SI in value_GSI:
        times_RI = rng.multinomial(items, np.full(items, 1 / items), size=draws)
        drawn_R = times_RI @ value_SI.mean(axis=0) / items + spread * t_law.rvs(free, size=draws, random_state=rng)
        low, high = np.quantile(drawn_R, (0.025, 0.975))
        mean = float(value_SI.mean())
        found.append(Interval(mean, min(float(low), mean), max(float(high), mean), items, f"items x {seeds} seeds"))
    return found


# --- the bill --------------------------------------------------------------------------------------------------------------


def bills_of(told: Study, by: str) -> dict[str, Bill]:
    """Group -> what it cost, over the passes that are trained on."""
    sums: dict[str, Bill] = {}
    for folder in told.folders:
        made = pl.concat([_costs(part) for part in row_parts([folder])])
        for label, spent in teacher(folder)["by"].items():
            operator = str(label).rpartition(".")[2]
            rows = made.filter(pl.col("operator") == operator)
            booked = Bill(float(spent["money"]), float(spent["prompt_tokens"] + spent["completion_tokens"]))
            for name, share in _shares(rows, by, operator).items():
                old = sums.get(name, Bill(0.0, 0.0))
                sums[name] = Bill(old.money + share * booked.money, old.tokens + share * booked.tokens)
    return sums


def _costs(part: Path) -> pl.DataFrame:
    return pl.read_parquet(part, columns=["operator", "stage", "level", "prompt_tokens", "completion_tokens"])


def _shares(rows: pl.DataFrame, by: str, operator: str) -> dict[str, float]:
    """Group -> its share of an operator's bill, by the tokens of its rows."""
    if by == "operator" or rows.is_empty():
        return {operator: 1.0} if by == "operator" else {}
    tokens = (pl.col("prompt_tokens") + pl.col("completion_tokens")).sum()
    summed = rows.group_by(pl.col(by).cast(pl.String).fill_null("none")).agg(tokens.alias("tokens")).sort(by)
    whole = float(summed["tokens"].sum())
    return {str(name): float(tokens) / whole for name, tokens in summed.iter_rows()} if whole else {}


def overhead(told: Study) -> Bill:
    """What the passes cost whose rows are not trained on."""
    run = told.folders[0].parent
    folders = [run / each.folder for each in told.config.synthesize.passes if not each.train]
    paid = [teacher(folder) for folder in folders]
    return Bill(
        sum(each["money"] for each in paid),
        float(sum(each["prompt_tokens"] + each["completion_tokens"] for each in paid)),
    )


# --- telling it ------------------------------------------------------------------------------------------------------------


def lines(told: Valued) -> list[str]:
    """A line a group, the best bargain first."""
    found = [f"all rows: {told.base.value:.3f} [{told.base.low:.3f}, {told.base.high:.3f}] right"]
    for each in told.worth:
        gain = f"{each.gain.value:+.1f} points [{each.gain.low:+.1f}, {each.gain.high:+.1f}]"
        per = "cost nothing"
        if each.per is not None:
            per = f"{each.per.value:+.3g} [{each.per.low:+.3g}, {each.per.high:+.3g}] points per {told.unit}"
        doubt = "" if each.decided else "; undecided: the interval holds 0"
        found.append(f"{told.by} {each.name}: {each.rows:,} rows, {gain}; {per}{doubt}")
    cost = told.overhead.money or told.overhead.tokens
    if cost:
        unit = "of money" if told.overhead.money else "tokens"
        found.append(f"passes that make seeds alone: {cost:,.6g} {unit}, charged to no group")
    return found


def answer(told: Valued) -> list[dict[str, Any]]:  # Any: JSON
    """A JSON object a group."""
    return [
        {
            "name": each.name,
            "rows": each.rows,
            "bill": each.bill._asdict(),
            "gain": each.gain._asdict(),
            "per": each.per._asdict() if each.per is not None else None,
            "decided": each.decided,
        }
        for each in told.worth
    ]


def evaluation(told: Valued) -> Evaluation:
    """Accuracy with all rows, and every group's gain behind it."""
    base = Estimate.of("accuracy with all rows", told.base)
    others = [Estimate.of(f"points that {told.by} {each.name} adds", each.gain) for each in told.worth]
    others += [
        Estimate.of(f"points per {told.unit}: {told.by} {each.name}", each.per)
        for each in told.worth
        if each.per is not None
    ]
    return Evaluation(headline=base, baselines=(), others=tuple(others))


def table(told: Valued) -> Table:
    """A row a group."""
    rows: tuple[tuple[TableCell, ...], ...] = tuple(
        (each.name, each.rows, each.bill.money, int(each.bill.tokens), each.gain, each.per, "yes" if each.decided else "undecided")
        for each in told.worth
    )  # fmt: skip
    return Table(
        title=f"What each {told.by} buys",
        note="gain: accuracy with all rows less accuracy without the group's, in points; a reply that serves two operators is booked with "
        "the first; undecided: the interval of the gain holds 0",
        columns=(told.by, "kept rows", "money", "teacher tokens", "gain", f"points per {told.unit}", "decided"),
        rows=rows,
    )


def plot(told: Valued) -> Plot:
    """Gain over cost, a point a group."""
    shown: Sequence[Worth] = told.worth
    cost = [each.bill.money if told.unit == "1 of money" else each.bill.tokens / 1_000 for each in shown]
    series = tuple(
        Series(name=each.name, x=(x,), y=(each.gain.value,), low=(each.gain.low,), high=(each.gain.high,))
        for each, x in zip(shown, cost, strict=True)
    )
    unit = "money" if told.unit == "1 of money" else "1,000 teacher tokens"
    return Plot(title=f"Gain and cost of each {told.by}", x=unit, y="points that it adds", series=series)
