"""The page of any benchmark: its own rule beside null baselines, and what else the same scores tell.

Formula  length-matched accuracy: comparisons fall into five classes of equal count by |log length ratio|; within a class, accuracy where
         the right response is the longer one and where it is the shorter one count the same; classes weigh as many comparisons as
         they have; one of equal lengths counts as it is; a class without both directions is left out and counted. So a scorer
         that reads length alone gets 1/2.
         confidence = sigmoid(|gap| / T), right 1, 0, or 1/2 for a tie; ECE and Brier score in core/stats.py
         best of n: share of right responses among the top-scored of n, against KL = log n - (n - 1) / n
Source   classes: subclassification, Cochran 1968 (five remove 90 % of a bias); reliability: Guo et al. 2017 (arXiv 1706.04599);
         best of n: Stiennon et al. 2020 (arXiv 2009.01325), Gao et al. 2023 (arXiv 2210.10760), whose KL is the bound for distinct draws;
         flipping the signs of paired differences: Fisher 1935, by unit
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward eval MODEL --bench FILE.jsonl
Shapes   N items, R responses of an item, P comparisons (pairs of responses), K draws of best of n, U units
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.random import Generator
from scipy.special import expit

from skyloom.core import stats
from skyloom.core.errors import BadInput
from skyloom.core.metrics import Cell, Estimate, Evaluation, Plot, Series, Table
from skyloom.core.stats import Interval, wilson
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals._items import Item, Scores
from skyloom.reward.evals._scoring import Measured, Rule

LENGTH_CLASSES: int = 5
RELIABILITY_BINS: int = 10
FLIPS: int = 9999
"""Sign flips of a paired test, so that no p-value falls below 1e-4 (ours)."""
NOT_REAL: str = "not run on the real set"
PART: str = "part of the real set"


class Report(NamedTuple):
    """What a benchmark makes of scores."""

    evaluation: Evaluation
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]


class Comparison(NamedTuple):
    """Two models on the same items."""

    estimates: tuple[Estimate, ...]
    """The headline of each, and the difference in mean credit over all items."""
    table: Table


class Compared(NamedTuple):
    """Every pair of responses that a benchmark compares, the better one first."""

    item_P: Int[np.ndarray, " P"]
    """Place of its item."""
    gap_P: Float[np.ndarray, " P"]
    """Score of the better less that of the worse; 0 where they are equal, NaN where one is missing."""
    length_P: Float[np.ndarray, " P"]
    """log(1 + characters) of the better less that of the worse."""

    @property
    def right_P(self) -> Float[np.ndarray, " P"]:
        """1 where the better one is strictly above."""
        return (self.gap_P > 0).astype(np.float64)

    @property
    def scored_P(self) -> Bool[np.ndarray, " P"]:
        """Where both have a score."""
        return ~np.isnan(self.gap_P)


def report(
    module: ModuleType,
    items: Sequence[Item],
    scores: Scores,
    rng: Generator,
    *,
    touched: Collection[str] | None = None,
    temperature: float = 1.0,
    std: Scores | None = None,
) -> Report:
    """The evaluation, tables and plots of a benchmark `module` (reward/evals/x.py).

    `touched`: names of items whose text was found in training data; None where nobody looked. `temperature`: T of P(win) =
    sigmoid(gap / T), above 0. `std`: standard deviation of each score, for best of n by lower bound. Raises BadInput for scores that
    do not fit the items, and for a temperature that is not above 0.
    """
    if not temperature > 0:
        raise BadInput(f"evaluation: temperature {temperature}; it must be above 0")
    measured: Measured = module.measure(items, scores, rng)
    null_scores = {name: scoring.null_scores(items, null) for name, null in scoring.NULLS.items()}
    nulls: dict[str, Measured] = {name: module.measure(items, each, rng) for name, each in null_scores.items()}
    found = compared(items, scores)
    told = provenance(module, items)
    matched, length_table = _length_table(items, {"model": scores, **null_scores}, rng)
    sure, reliability = calibration(items, found, temperature, rng)
    credit_N = np.asarray(module.credits(items, scores), dtype=np.float64)
    sides, sides_table = _touched(items, credit_N, touched, rng)
    missing = Estimate.of("items not scored whole", wilson(int((~scoring.scored(scores)).sum()), len(items)))
    tied = Estimate.of("comparisons tied", wilson(int((found.gap_P == 0).sum()), len(found.gap_P)))
    headline = measured.headline
    if told:
        headline = Estimate.of(f"{headline.name} ({told.partition(':')[0]})", headline.interval)
    evaluation = Evaluation(
        headline=headline,
        baselines=tuple(Estimate.of(name, each.headline.interval) for name, each in nulls.items()),
        others=(*measured.others, *matched, *sides, *sure, tied, missing),
    )
    tables = (_rows_table(measured, nulls, told), length_table, *sides_table, _counts(items, scores, found))
    return Report(evaluation, tables, (*reliability, *best_of(items, scores, rng, std)))


def compare(
    module: ModuleType,
    items: Sequence[Item],
    scores_a: Scores,
    scores_b: Scores,
    rng: Generator,
    names: tuple[str, str] = ("A", "B"),
) -> Comparison:
    """Are two models equally good on the same items? Differences of mean credit, over all items and by subset.

    p: McNemar's mid-p where credits are 0 or 1 and no two items share a unit, else by flipping signs unit by unit; Holm's correction
    over the subsets. Intervals resample units.
    """
    credit_N2 = np.column_stack([module.credits(items, each) for each in (scores_a, scores_b)]).astype(np.float64)
    subsets = scoring.names([item.subset for item in items])
    scopes = {"all items": list(range(len(items)))}
    if len(subsets) > 1:
        scopes |= {name: [k for k, item in enumerate(items) if item.subset == name] for name in subsets}
    tests = {name: _paired([items[k] for k in ks], credit_N2[ks], rng) for name, ks in scopes.items()}
    adjusted = stats.holm([test.p for name, test in tests.items() if name != "all items"])
    held = dict(zip([name for name in tests if name != "all items"], adjusted.tolist(), strict=True))
    rows = tuple((name, *test.cells, held.get(name)) for name, test in tests.items())
    first, second = names
    columns = (
        "items",
        "n",
        first,
        second,
        f"{first} - {second}",
        f"only {first}",
        f"only {second}",
        "test",
        "p",
        "p, Holm",
    )
    note = "mean credit by the benchmark's own rule; brackets: 95 %, units resampled; Holm over the subsets, not over all items"
    headlines = [
        Estimate.of(f"{name}: {measured.headline.name}", measured.headline.interval)
        for name, each in zip(names, (scores_a, scores_b), strict=True)
        for measured in [module.measure(items, each, rng)]
    ]
    whole = tests["all items"].difference
    gap = (Estimate.of(f"{first} - {second}, mean credit", whole),) if whole is not None else ()
    return Comparison(
        (*headlines, *gap), Table(title=f"{first} against {second}", note=note, columns=columns, rows=rows)
    )


def provenance(module: ModuleType, items: Sequence[Item]) -> str:
    """Why these items are not the published set, or which part of it; empty where nothing says so, as for a benchmark without counts.

    The kind of set stands before the colon. `PUBLISHED` counts rows by subset; `scoring.ALL` there counts all of them.
    """
    if any(item.name.startswith(scoring.GENERATED_NAME) for item in items):
        return f"{NOT_REAL}: its items were generated"
    published: Mapping[str, int] = getattr(module, "PUBLISHED", {})
    here = Counter(item.subset for item in items) | Counter({scoring.ALL: len(items)})
    other = [f"{name} {here[name]:,} of {n:,}" for name, n in published.items() if here[name] != n]
    if not other:
        return ""
    absent = [name for name in published if not here[name]]
    shown = absent if len(absent) == len(other) < len(published) else other
    more = f" and {len(shown) - 3} more subsets" if len(shown) > 3 else ""
    if shown is absent:
        return f"{PART}: without {', '.join(absent[:3])}{more}"
    return f"{NOT_REAL}: rows differ from the published ones ({', '.join(other[:3])}{more})"


def compared(items: Sequence[Item], scores: Scores) -> Compared:
    """All comparisons in item order."""
    places: list[int] = []
    gaps: list[float] = []
    lengths: list[float] = []
    for k, (item, score_R) in enumerate(zip(items, scoring.checked(items, scores), strict=True)):
        long_R = np.log1p([len(text) for text in item.responses])
        for better, worse in item.compared:
            high, low = float(score_R[better]), float(score_R[worse])
            places.append(k)
            gaps.append(0.0 if high == low else high - low)  # infinity less infinity is no number, but a tie
            lengths.append(float(long_R[better] - long_R[worse]))
    return Compared(np.asarray(places, dtype=np.int64), np.asarray(gaps), np.asarray(lengths))


def length_matched(items: Sequence[Item], found: Compared, rng: Generator) -> Interval | None:
    """Accuracy that length alone cannot win, n in units; None where no class has both directions and no lengths are equal."""
    size_P = np.abs(found.length_P)
    edges = np.quantile(size_P[size_P > 0], np.arange(1, LENGTH_CLASSES) / LENGTH_CLASSES) if size_P.any() else []
    class_P = np.where(size_P > 0, np.searchsorted(edges, size_P, side="right"), LENGTH_CLASSES)
    groups = [f"{c}{'+' if longer else '-'}" for c, longer in zip(class_P.tolist(), found.length_P > 0, strict=True)]
    sizes = Counter(groups)
    weights: dict[tuple[str, ...], int] = {}
    for c in range(LENGTH_CLASSES):
        both = (f"{c}+", f"{c}-")
        if all(sizes[each] for each in both):
            weights[both] = sum(sizes[each] for each in both)
    equal = (f"{LENGTH_CLASSES}-",)
    if sizes[equal[0]]:
        weights[equal] = sizes[equal[0]]
    if not weights:
        return None
    total = sum(weights.values())
    rule: Rule = lambda means: np.stack(  # noqa: E731
        [n / total * np.mean([means[each][:, 0] for each in parts], axis=0) for parts, n in weights.items()]
    ).sum(axis=0)
    kept = [p for p, group in enumerate(groups) if any(group in parts for parts in weights)]
    own = [items[found.item_P[p]] for p in kept]
    right_P, units, strata = found.right_P[kept], [item.unit for item in own], [item.subset for item in own]
    return scoring.resampled_rows(units, strata, [groups[p] for p in kept], right_P, {"": rule}, rng)[""]


def calibration(
    items: Sequence[Item], found: Compared, temperature: float, rng: Generator
) -> tuple[tuple[Estimate, ...], tuple[Plot, ...]]:
    """ECE, what a calibrated model would read, Brier score, and the reliability plot; empty below two scored units."""
    ps = np.flatnonzero(found.scored_P)
    units = [items[k].unit for k in found.item_P[ps].tolist()]
    if len(set(units)) < 2:
        return (), ()
    gap_P = found.gap_P[ps]
    sure_P = np.asarray(expit(np.abs(gap_P) / temperature))
    right_P = np.where(gap_P == 0, 0.5, gap_P > 0)
    estimates = (
        Estimate.of("ECE", stats.ece(sure_P, right_P, rng, cluster_N=units)),
        Estimate.of("ECE if calibrated", stats.ece_floor(sure_P, rng)),
        Estimate.of("Brier score", stats.brier(sure_P, right_P, rng, cluster_N=units)),
    )
    bins = [part for part in np.array_split(np.argsort(sure_P, kind="stable"), RELIABILITY_BINS) if len(part)]
    share = [wilson(float(right_P[part].sum()), len(part)) for part in bins]
    seen = Series(
        name="share right, 95 % Wilson",
        x=tuple(float(sure_P[part].mean()) for part in bins),
        y=tuple(each.value for each in share),
        low=tuple(each.low for each in share),
        high=tuple(each.high for each in share),
    )
    ideal = Series(name="calibrated", x=(0.5, 1.0), y=(0.5, 1.0))
    x = f"sigmoid(|gap| / {temperature:g})"
    return estimates, (Plot(title="Confidence against accuracy", x=x, y="share right", series=(seen, ideal)),)


def best_of(items: Sequence[Item], scores: Scores, rng: Generator, std: Scores | None = None) -> tuple[Plot, ...]:
    """Share right of the top-scored of n against n's KL; of the items with at least the commonest number of responses above two."""
    sizes = Counter(len(item.responses) for item in items if len(item.responses) > 2)
    if not sizes:
        return ()
    most = max(sizes, key=lambda size: (sizes[size], size))
    kept = [k for k, item in enumerate(items) if len(item.responses) >= most]
    own = [items[k] for k in kept]
    golds = [np.arange(len(item.responses)) < item.right for item in own]
    lines = {"model": [scores[k] for k in kept]}
    if std is not None:
        lines["model, score - std"] = [scores[k] - std[k] for k in kept]
    lines["right answers known"] = [gold_R.astype(np.float64) for gold_R in golds]
    number_K = np.arange(1, most + 1)
    kl = tuple(float(x) for x in np.log(number_K) - (number_K - 1) / number_K)
    rules: dict[str, Rule] = {str(n): _nth(n) for n in range(most)}
    series: list[Series] = []
    for name, each in lines.items():
        # A response without a score is taken last: it never wins against a scored one.
        curve_NK = np.stack([_curve(score_R, gold_R, most) for score_R, gold_R in zip(each, golds, strict=True)])
        at = list(scoring.resampled(own, curve_NK, rules, rng, groups=[""] * len(own)).values())
        y, low, high = (tuple(column) for column in zip(*((i.value, i.low, i.high) for i in at), strict=True))
        series.append(Series(name=name, x=kl, y=y, low=low, high=high))
    title = f"Best of n, up to {most} responses, {len(own):,} items"
    return (Plot(title=title, x="KL = log n - (n - 1) / n", y="share right", series=tuple(series)),)


def _nth(n: int) -> Rule:
    return lambda means: means[""][:, n]


def _curve(score_R: Float[np.ndarray, " R"], gold_R: Bool[np.ndarray, " R"], most: int) -> Float[np.ndarray, " K"]:
    _, rank_R = np.unique(np.where(np.isnan(score_R), -np.inf, score_R), return_inverse=True)
    return stats.best_of_n(rank_R, gold_R)[:most]


class _Test(NamedTuple):
    """One scope of a comparison."""

    cells: tuple[Cell, ...]
    difference: Interval | None
    p: float


def _paired(items: Sequence[Item], credit_N2: Float[np.ndarray, "N 2"], rng: Generator) -> _Test:
    difference_N = credit_N2[:, 0] - credit_N2[:, 1]
    units = [item.unit for item in items]
    binary = np.isin(credit_N2, (0.0, 1.0)).all()
    only_a, only_b = int((difference_N > 0).sum()), int((difference_N < 0).sum())
    if binary and len(set(units)) == len(units):
        test = stats.mcnemar(only_a, only_b)
        method, p = test.method, test.p
    else:
        method, p = "sign flips by unit", flip_test(difference_N, units, rng)
    difference = stats.cluster_bootstrap(difference_N, units, rng) if len(set(units)) > 1 else None
    means = [float(mean) for mean in credit_N2.mean(axis=0)]
    return _Test((len(items), *means, difference, only_a, only_b, method, p), difference, p)


def flip_test(difference_N: Float[np.ndarray, " N"], units: Sequence[str], rng: Generator) -> float:
    """Two-sided p of a mean difference of 0: the share of sign flips, unit by unit, whose sum is as far from 0 as the one seen."""
    _, unit_N = np.unique(np.asarray(units, dtype=np.str_), return_inverse=True)
    sum_U = np.bincount(unit_N, weights=difference_N)
    sum_U = sum_U[sum_U != 0]
    if not len(sum_U):
        return 1.0
    seen, as_far = abs(float(sum_U.sum())) - 1e-9, 0
    rows = max(1, scoring.CHUNK // len(sum_U))
    for start in range(0, FLIPS, rows):
        sign_FU = 2.0 * rng.integers(0, 2, size=(min(rows, FLIPS - start), len(sum_U))) - 1
        as_far += int((np.abs(sign_FU @ sum_U) >= seen).sum())
    return (1 + as_far) / (1 + FLIPS)


def _rows_table(measured: Measured, nulls: Mapping[str, Measured], told: str) -> Table:
    rows = tuple(
        (name, interval, *(null.rows.get(name) for null in nulls.values())) for name, interval in measured.rows.items()
    )
    note = "credit by the benchmark's own rule; brackets: 95 % intervals" + (f"; {told}" if told else "")
    return Table(title="By subset", note=note, columns=("subset", "model", *nulls), rows=rows)


def _length_table(
    items: Sequence[Item], scores: Mapping[str, Scores], rng: Generator
) -> tuple[tuple[Estimate, ...], Table]:
    """Plain and length-matched accuracy of all comparisons, of the model and the null baselines."""
    rows: list[tuple[Cell, ...]] = []
    first: list[Estimate] = []
    longer = shorter = 0
    for name, each in scores.items():
        found = compared(items, each)
        matched = length_matched(items, found, rng)
        if matched is not None and name == "model":
            first.append(Estimate.of("length-matched accuracy", matched))
        halves = [found.right_P[where] for where in (found.length_P > 0, found.length_P < 0)]
        shares = [float(half.mean()) if len(half) else None for half in halves]
        rows.append((name, float(found.right_P.mean()), *shares, matched))
        longer, shorter = (int((found.length_P * sign > 0).sum()) for sign in (1, -1))  # the same for every scorer
    note = (
        f"share of comparisons with the right response strictly above; it is the longer one in {longer:,} and the shorter in "
        f"{shorter:,}; matched: both count the same within {LENGTH_CLASSES} classes of |log length ratio|"
    )
    columns = ("scorer", "comparisons right", "right is longer", "right is shorter", "length-matched")
    return tuple(first), Table(title="Length", note=note, columns=columns, rows=tuple(rows))


def _touched(
    items: Sequence[Item], credit_N: Float[np.ndarray, " N"], touched: Collection[str] | None, rng: Generator
) -> tuple[tuple[Estimate, ...], tuple[Table, ...]]:
    """Mean credit on items that training data touched and on the clean ones; empty where nobody looked."""
    if touched is None:
        return (), ()
    names = set(touched)
    hit_N = np.asarray([item.name in names for item in items])
    found = {
        side: scoring.accuracy([item for item, of in zip(items, of_N.tolist(), strict=True) if of], credit_N[of_N], rng)
        for side, of_N in (("clean", ~hit_N), ("touched", hit_N))
        if of_N.any()
    }
    note = f"mean credit; touched: its text was found in training data ({len(names):,} names given, {int(hit_N.sum()):,} are here)"
    rows = tuple((side, found[side].n if side in found else 0, found.get(side)) for side in ("clean", "touched"))
    table = Table(title="Clean and touched items", note=note, columns=("items", "units", "mean credit"), rows=rows)
    return tuple(Estimate.of(f"mean credit, {side} items", each) for side, each in found.items()), (table,)


def _counts(items: Sequence[Item], scores: Scores, found: Compared) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = (
        ("items", len(items)),
        ("units (items that share a problem count once)", len({item.unit for item in items})),
        ("responses", sum(len(item.responses) for item in items)),
        ("comparisons", len(found.gap_P)),
        ("comparisons tied", int((found.gap_P == 0).sum())),
        ("comparisons without a score", int((~found.scored_P).sum())),
        ("items with a response without a score", int((~scoring.scored(scores)).sum())),
    )
    note = "a response has no score where it is too long or holds a special token; it wins no comparison"
    return Table(title="What was scored", note=note, columns=("what", "count"), rows=rows)
