"""The lab's page: which condition beats its reference, which source moved which subset, and what the test pairs could have shown.

Formula  accuracy = share of (test pair, seed) with the chosen side strictly above; interval: prompts and seeds are both drawn anew, each
         n - 1 of n with replacement, and a row of the product counts (draws of its prompt) x (draws of its seed); a difference is
         taken draw by draw, so it is paired
         p: sign flips of the difference, prompt by prompt, mean over seeds; Holm over the conditions of a kind, or the cells of a table
         least difference = (1.96 + 0.84) x the standard deviation of the drawn differences: what 80 % of such tests would find
         ranking: Kendall's tau-b and Spearman's rho of lab and full accuracy; conditions are resampled, percentiles
Source   two-way resampling: Owen 2007 (pigeonhole bootstrap; a little wide); n - 1 of n: McCarthy & Snowden 1985; power: Cohen 1988
Flow     lab_heads.py -> [lab_page] -> core.report
Limits   Seeds share their test prompts and most of their training prompts (lab_heads.py), so an interval is about these pairs.
Shapes   C conditions, S seeds, T test rows, U prompts, R resamples, N conditions of a ranking
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.random import Generator
from numpy.typing import ArrayLike

from skyloom.core import stats, store
from skyloom.core.errors import BadInput
from skyloom.core.metrics import Cell, Estimate, Evaluation, Plot, Series, Table
from skyloom.core.records import Raw
from skyloom.core.stats import Interval
from skyloom.reward.evals._report import flip_test
from skyloom.reward.lab import Data, LabConfig
from skyloom.reward.lab_heads import ALL, CURATED, Findings

RESAMPLES: int = 2000
CHUNK: int = 4_000_000  # counts held in memory at once: 32 MB
POWER: float = 1.959964 + 0.841621
"""Standard errors of a difference that a two-sided test at 5 % finds with probability 0.8."""
ALPHA: float = 0.05
METHOD: str = "prompts and seeds resampled"
UNMEASURED: str = "not measured on this data"
LEAST_RANKED: int = 3


class Report(NamedTuple):
    """What the lab's step writes."""

    evaluation: Evaluation
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]


class Ranking(NamedTuple):
    """How well the lab ranks full fine-tuning."""

    kendall: Interval
    spearman: Interval
    n: int
    """Conditions that both have."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Accuracies of all conditions on some test pairs, as seen and as resampled."""

    right_CT: Float[np.ndarray, "C T"]
    """Mean over seeds."""
    units: list[str]
    """Prompt of each test pair."""
    draws_RC: Float[np.ndarray, "R C"]

    @property
    def prompts(self) -> int:
        """Independent test units."""
        return len(set(self.units))

    def accuracy(self, c: int) -> Interval:
        """Of one condition; Wilson's of the prompts where no resample differs, as for one without a mistake."""
        value = float(self.right_CT[c].mean())
        if np.ptp(self.draws_RC[:, c]) < 1e-12:
            return stats.wilson(value * self.prompts, self.prompts)
        return _interval(value, self.draws_RC[:, c], self.prompts)

    def difference(self, a: int, b: int) -> Interval:
        """Of a less b."""
        value = float((self.right_CT[a] - self.right_CT[b]).mean())
        return _interval(value, self.draws_RC[:, a] - self.draws_RC[:, b], self.prompts)

    def least(self, a: int, b: int) -> float:
        """The smallest difference that these test pairs show in four of five tests."""
        return POWER * float((self.draws_RC[:, a] - self.draws_RC[:, b]).std(ddof=1))

    def p(self, a: int, b: int, rng: Generator) -> float:
        """Two-sided, of no difference."""
        return flip_test(self.right_CT[a] - self.right_CT[b], self.units, rng)


def report(found: Findings, data: Data, config: LabConfig, full: Mapping[str, float] | None, rng: Generator) -> Report:
    """Evaluation, tables and plots; `full`: condition -> accuracy after full fine-tuning, None where nobody measured it."""
    raw_T = found.test["raw"].to_numpy()
    whole = drawn(found, raw_T, rng)
    views = {"all pairs": whole}
    subset_T = found.test["subset"].to_numpy()
    views |= {name: drawn(found, raw_T & (subset_T == name), rng) for name in found.subsets if len(found.subsets) > 1}
    if data.curated:
        views["as curated"] = drawn(found, found.test["kept"].to_numpy(), rng)
    ranked = None
    if full is not None:
        lab = {name: whole.accuracy(c).value for c, name in enumerate(found.names)}
        ranked = ranking(lab, full, rng)
    headline, against = (CURATED, f"random, as many as {CURATED}") if data.curated else (ALL, "")
    at = found.names.index
    others = [Estimate.of(f"{headline} - {against}", whole.difference(at(headline), at(against)))] if against else []
    others += [Estimate.of(f"{headline} - {ALL}", whole.difference(at(headline), at(ALL)))] if against else []
    if ranked is not None:
        others += [Estimate.of("Kendall's tau, lab against full", ranked.kendall)]
        others += [Estimate.of("Spearman's rho, lab against full", ranked.spearman)]
    evaluation = Evaluation(
        headline=Estimate.of(f"accuracy of a head on {headline} pairs, held-out prompts", whole.accuracy(at(headline))),
        baselines=_nulls(found, raw_T, rng),
        others=tuple(others),
    )
    tables = (
        *(_conditions(found, kind, whole, config, rng) for kind in dict.fromkeys(found.kinds)),
        *_moved(found, views, rng),
        _by_subset(found, views),
        _ranking_table(found, whole, full, ranked),
        _read_table(found, data),
    )
    return Report(evaluation, tables, _plots(found, whole))


def drawn(found: Findings, some_T: Bool[np.ndarray, " T"], rng: Generator) -> Drawn:
    """All conditions on the test rows `some_T`, resampled by prompt and seed with the same draws for all."""
    right_CST = found.right_CST[:, :, some_T].astype(np.float64)
    units = found.test["prompt"].to_numpy()[some_T].tolist()
    _, unit_T = np.unique(np.asarray(units, dtype=np.str_), return_inverse=True)
    count, (conditions, seeds, _) = int(unit_T.max()) + 1, right_CST.shape
    flat = right_CST.reshape(-1, len(unit_T))
    sum_UX = np.stack([np.bincount(unit_T, weights=row_T, minlength=count) for row_T in flat], axis=1)
    size_U = np.bincount(unit_T, minlength=count).astype(np.float64)
    parts: list[np.ndarray] = []
    rows = max(1, CHUNK // count)
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        times_RU, times_RS = _times(count, size, rng), _times(seeds, size, rng)
        sum_RCS = (times_RU @ sum_UX).reshape(size, conditions, seeds)
        total_R = (times_RU @ size_U) * times_RS.sum(axis=1)
        parts.append(np.einsum("rcs,rs->rc", sum_RCS, times_RS) / total_R[:, None])
    return Drawn(right_CST.mean(axis=1), units, np.concatenate(parts))


def ranking(lab: Mapping[str, float], full: Mapping[str, float], rng: Generator) -> Ranking:
    """Rank correlations over the conditions that both name, with percentiles over resampled conditions.

    A resample whose values are all equal has no rank and is left out. Raises BadInput below three shared conditions, or where all
    accuracies of one side are equal.
    """
    shared = [name for name in lab if name in full]
    if len(shared) < LEAST_RANKED:
        raise BadInput(f"lab: a ranking needs {LEAST_RANKED} conditions with both accuracies, got {len(shared)}")
    x_N, y_N = (np.asarray([each[name] for name in shared], dtype=np.float64) for each in (lab, full))
    if not (np.ptp(x_N) and np.ptp(y_N)):
        raise BadInput("lab: all accuracies of one side are equal, so there is nothing to rank")
    times_RN = np.stack([np.ones(len(shared)), *_bootstrap_counts(len(shared), rng)])
    kendall_R, spearman_R = _kendall(times_RN, x_N, y_N), _spearman(times_RN, x_N, y_N)
    kendall, spearman = (
        _interval(float(each_R[0]), each_R[1:][np.isfinite(each_R[1:])], len(shared), "conditions resampled")
        for each_R in (kendall_R, spearman_R)
    )
    return Ranking(kendall, spearman, len(shared))


def read_full(path: Path, names: Iterable[str]) -> dict[str, float]:
    """Condition -> accuracy of a JSON object; BadInput for a condition that the lab does not have, and for what is no accuracy."""
    rows = [raw.data for raw in store.read_json_rows(path) if isinstance(raw, Raw)]
    if len(rows) != 1:
        raise BadInput(f"{path}: expected one object, condition -> accuracy")
    known = set(names)
    for name, value in rows[0].items():
        if name not in known:
            raise BadInput(f"{path}: no condition {name!r}; known: {', '.join(sorted(known))}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise BadInput(f"{path}: {name}: expected an accuracy from 0 to 1, got {value!r}")
    return {name: float(value) for name, value in rows[0].items()}


def _interval(value: float, draws_R: ArrayLike, n: int, method: str = METHOD) -> Interval:
    low, high = (float(bound) for bound in np.quantile(np.asarray(draws_R), (0.025, 0.975)))
    return Interval(value, min(low, value), max(high, value), n, method)


def _times(units: int, resamples: int, rng: Generator) -> Float[np.ndarray, "R U"]:
    """How often each unit is drawn, n - 1 of n; one unit alone is drawn once."""
    taken = max(units - 1, 1)
    index = rng.integers(0, units, size=(resamples, taken)) + units * np.arange(resamples)[:, None]
    return np.bincount(index.ravel(), minlength=resamples * units).reshape(resamples, units).astype(np.float64)


def _bootstrap_counts(n: int, rng: Generator) -> Float[np.ndarray, "R N"]:
    return rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)


def _kendall(times_RN: Float[np.ndarray, "R N"], x_N: ArrayLike, y_N: ArrayLike) -> Float[np.ndarray, " R"]:
    """tau-b where condition n stands times_RN[:, n] times; NaN where one side is all ties."""
    signs = [np.sign(np.subtract.outer(np.asarray(each), np.asarray(each))) for each in (x_N, y_N)]
    top_R, own_R, other_R = (
        np.einsum("rn,nm,rm->r", times_RN, matrix_NN, times_RN, optimize=True)
        for matrix_NN in (signs[0] * signs[1], np.abs(signs[0]), np.abs(signs[1]))
    )
    return _over(top_R, np.sqrt(own_R * other_R))


def _spearman(times_RN: Float[np.ndarray, "R N"], x_N: ArrayLike, y_N: ArrayLike) -> Float[np.ndarray, " R"]:
    """Correlation of midranks, likewise."""
    ranks: list[np.ndarray] = []
    for each in (np.asarray(x_N), np.asarray(y_N)):
        before_NN = np.less.outer(each, each) + np.equal.outer(each, each) / 2
        rank_RN = times_RN @ before_NN
        ranks.append(rank_RN - (times_RN * rank_RN).sum(axis=1, keepdims=True) / times_RN.sum(axis=1, keepdims=True))
    top_R = (times_RN * ranks[0] * ranks[1]).sum(axis=1)
    return _over(top_R, np.sqrt(math.prod((times_RN * rank_RN**2).sum(axis=1) for rank_RN in ranks)))


def _over(top_R: Float[np.ndarray, " R"], bottom_R: Float[np.ndarray, " R"]) -> Float[np.ndarray, " R"]:
    found_R = np.full(len(top_R), np.nan)
    np.divide(top_R, bottom_R, out=found_R, where=bottom_R > 1e-9)
    return np.clip(found_R, -1.0, 1.0)


def _nulls(found: Findings, raw_T: Bool[np.ndarray, " T"], rng: Generator) -> tuple[Estimate, ...]:
    """Length alone, on the same test pairs."""
    longer_T = found.test["longer"].to_numpy()[raw_T]
    prompts = found.test["prompt"].to_numpy()[raw_T]
    if len(set(prompts.tolist())) < 2:
        return ()
    rules = {"longest": longer_T > 0, "shortest": longer_T < 0}
    return tuple(Estimate.of(name, stats.cluster_bootstrap(win_T, prompts, rng)) for name, win_T in rules.items())


TITLES: dict[str, str] = {
    "set": "Curated, random and all pairs",
    "size": "How much, and chosen how",
    "without": "One group left out",
    "loss": "Losses",
}


def _conditions(found: Findings, kind: str, whole: Drawn, config: LabConfig, rng: Generator) -> Table:
    """Conditions of one kind against their references."""
    own = [c for c, each in enumerate(found.kinds) if each == kind]
    at = {c: found.names.index(found.against[c]) for c in own if found.against[c] in found.names}
    tests = {c: whole.p(c, reference, rng) for c, reference in at.items()}
    held = dict(zip(tests, stats.holm(list(tests.values())).tolist(), strict=True))
    rows: list[tuple[Cell, ...]] = []
    for c in own:
        compared: tuple[Cell, ...] = ("", None, None, None, None)
        if c in at:
            least = whole.least(c, at[c])
            compared = (found.against[c], whole.difference(c, at[c]), tests[c], held[c], least)
        trained, penalty = float(found.trained_CS[c].mean()), float(np.median(found.l2_CS[c]))
        rows.append((found.names[c], found.losses[c], round(trained), penalty, whole.accuracy(c), *compared))
    seeds = found.right_CST.shape[1]
    n = f"{whole.right_CT.shape[1]:,} test pairs of {whole.prompts:,} prompts, {seeds} seeds"
    note = (
        f"{n}; n of an interval: prompts; trained: pairs, mean over seeds; penalty: median over seeds, of {len(config.l2)} from "
        f"{config.l2[-1]:g} to {config.l2[0]:g}; p: sign flips by prompt, Holm over this table; least shown: the difference that four "
        f"of five such tests would find, so a smaller one that is not significant says nothing"
    )
    columns = ("condition", "loss", "trained", "penalty", "accuracy", "against", "difference", "p", "p, Holm")
    return Table(title=TITLES[kind], note=note, columns=(*columns, "least shown"), rows=tuple(rows))


def _moved(found: Findings, views: Mapping[str, Drawn], rng: Generator) -> tuple[Table, ...]:
    """Which group moved which subset: accuracy with all pairs less accuracy without the group, and its sign after Holm."""
    own = [c for c, kind in enumerate(found.kinds) if kind == "without"]
    if not own:
        return ()
    base = found.names.index(ALL)
    cells = {(c, view): each for c in own for view, each in views.items()}
    ps = stats.holm([each.p(base, c, rng) for (c, _), each in cells.items()])
    held = dict(zip(cells, ps.tolist(), strict=True))
    effects = {(c, view): each.difference(base, c) for (c, view), each in cells.items()}
    name = {c: found.names[c].removeprefix("without ") for c in own}
    size = {c: found.groups[found.names[c]] for c in own}
    values = tuple((name[c], size[c], *(effects[c, view] for view in views)) for c in own)
    signs = tuple((name[c], size[c], *(_sign(effects[c, view], held[c, view]) for view in views)) for c in own)
    columns = ("group", "pairs", *views)
    told = "accuracy with all pairs less accuracy without the group: above 0, the group helped that subset"
    return (
        Table(
            title=f"Which {found.axes[0]} moved which {found.axes[1]}",
            note=f"{told}; what it brought and how much it brought are not told apart, the score-against-size curve shows the latter",
            columns=columns,
            rows=values,
        ),
        Table(
            title="The same as signs",
            note=f"+ helped, - hurt, both at {ALPHA:.0%} after Holm over the {len(cells)} cells; . not told from nothing",
            columns=columns,
            rows=signs,
        ),
    )


def _sign(effect: Interval, p: float) -> str:
    return "." if p > ALPHA else "+" if effect.value > 0 else "-"


def _by_subset(found: Findings, views: Mapping[str, Drawn]) -> Table:
    rows = tuple(
        (name, *(each.accuracy(c) for each in views.values()))
        for c, name in enumerate(found.names)
        if found.kinds[c] != "without"  # whose differences stand above
    )
    note = "as curated: the kept test pairs, flipped and repaired as curation has them; every other column as the sources label them"
    told = note if "as curated" in views else "labels of the sources"
    return Table(title="Accuracy by subset", note=told, columns=("condition", *views), rows=rows)


def _ranking_table(found: Findings, whole: Drawn, full: Mapping[str, float] | None, ranked: Ranking | None) -> Table:
    title = "How well the lab ranks full fine-tuning"
    if full is None or ranked is None:
        note = (
            "no accuracies after full fine-tuning were given (--full FILE): read this page as a proxy of unknown worth"
        )
        return Table(title=title, note=note, columns=("what", "value"), rows=(("Kendall's tau", UNMEASURED),))
    at = {name: c for c, name in enumerate(found.names)}
    rows = tuple((name, whole.accuracy(at[name]), value, None) for name, value in full.items())
    taus = (("Kendall's tau", None, None, ranked.kendall), ("Spearman's rho", None, None, ranked.spearman))
    note = f"{ranked.n} conditions, resampled for the intervals; 1 is the same order, 0 none, -1 the reverse"
    return Table(title=title, note=note, columns=("condition", "lab", "full", "rank correlation"), rows=(*rows, *taus))


def _read_table(found: Findings, data: Data) -> Table:
    rows: list[tuple[Cell, ...]] = [*data.counts.items(), *found.counts.items()]
    rows += [("feature width", data.chosen_ND.shape[1])]
    rows += [(f"features: {name}", str(value)) for name, value in data.protocol.items()]
    rows += [("not compared", told) for told in found.left_out]
    return Table(
        title="What was read", note="prompts stand in one split each", columns=("what", "value"), rows=tuple(rows)
    )


def _plots(found: Findings, whole: Drawn) -> tuple[Plot, ...]:
    """Accuracy against the number of pairs, by the way they were chosen."""
    lines: dict[str, list[int]] = {}
    for c, (name, kind) in enumerate(zip(found.names, found.kinds, strict=True)):
        if kind == "size":
            how, _, rest = name.partition(" ")
            lines.setdefault(how + rest.partition("%")[2], []).append(c)
    if not lines:
        return ()
    base = found.names.index(ALL)
    series = [_series(how, [*own, base], found, whole) for how, own in lines.items()]
    if CURATED in found.names:
        series.append(_series(CURATED, [found.names.index(CURATED)], found, whole))
    title = f"Accuracy against pairs, {whole.prompts:,} test prompts, {METHOD}"
    return (Plot(title=title, x="pairs to train on", y="accuracy", series=tuple(series)),)


def _series(name: str, own: Sequence[int], found: Findings, whole: Drawn) -> Series:
    at = [whole.accuracy(c) for c in own]
    return Series(
        name=name,
        x=tuple(float(found.trained_CS[c].mean()) for c in own),
        y=tuple(each.value for each in at),
        low=tuple(each.low for each in at),
        high=tuple(each.high for each in at),
    )
