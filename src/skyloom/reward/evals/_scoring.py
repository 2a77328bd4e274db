"""What the benchmarks share: reading, comparing, null baselines, and the intervals of any rule made of means.

A benchmark's rule is a function of the means of its groups (subsets, domains): sections of RewardBench, cells of RM-Bench, six domains of
RewardBench 2. So one bootstrap serves them all: it resamples whole units (items that share a problem), recomputes the groups' means and
hands them to the rule.

Formula  of each stratum with n units, n - 1 are drawn with replacement, which makes the variance of a mean unbiased however small n
         is; the interval is the 2.5 % and 97.5 % quantile of the rule. A unit's stratum is the set of subsets that its items stand in;
         strata of one unit are drawn together. A rule that never varies (all right, all wrong) gets Wilson's interval of its units.
Source   n - 1 units: McCarthy & Snowden 1985 (Vital and Health Statistics 2(95)), Rao & Wu 1988; clusters: Field & Welsh 2007
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward eval MODEL --bench FILE.jsonl
Limits   A subset that has one unit in all does not vary, so its part of an interval is missing; the counts stand beside.
Shapes   N items or rows, R responses of an item or resamples, K values of an item, G groups, U units
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.random import Generator

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.metrics import Estimate
from skyloom.core.records import Raw, Reject
from skyloom.core.stats import Interval, wilson
from skyloom.core.store import find_files, list_field, read_json_rows, text_field
from skyloom.reward.evals._items import Item, Scores
from skyloom.reward.settings import EvalFileConfig

MARKDOWN: re.Pattern[str] = re.compile(
    r"^\s{0,3}(?:#{1,6} |[-*+] |\d+[.)] |> |```)|\*\*[^*\n]+\*\*|`[^`\n]+`", re.MULTILINE
)
"""Headings, bullets, numbered lines, quotes, fences, bold and code spans."""
GENERATED: str = "GENERATED"
"""A file of this name in the benchmark's folder, or one or two above, says that its rows were generated."""
GENERATED_NAME: str = "generated:"
"""What the names of generated items begin with, so that no page takes them for the real ones."""
ALL: str = "all items"
"""In a benchmark's PUBLISHED: its count of all rows, where it does not say how they divide."""
RESAMPLES: int = 2000
CHUNK: int = 4_000_000  # draws held in memory at once: 32 MB of counts

Null: TypeAlias = Callable[[Item], Float[np.ndarray, " R"]]
Means: TypeAlias = Mapping[str, Float[np.ndarray, "R K"]]
"""Group -> its K means in each resample."""
Rule: TypeAlias = Callable[[Means], Float[np.ndarray, " R"]]


class Measured(NamedTuple):
    """What a benchmark's own rule makes of scores."""

    headline: Estimate
    others: tuple[Estimate, ...]
    rows: dict[str, Interval]
    """Sections first, then subsets: the rows of the report's table."""


def file_inputs(config: EvalFileConfig) -> tuple[Path, ...]:
    """The benchmark's file or folder, where one is named."""
    return (config.path,) if config.path is not None else ()


def read_items(path: Path | None, build: Callable[[Raw], Item], benchmark: str) -> tuple[Item, ...]:
    """Items of a file, or of all files below a folder in path order; `build` makes one of a row or raises BadRow.

    Raises BadInput naming file, row and field for a bad row, for a name that repeats and for no row at all: a benchmark is scored whole
    or not at all. Names begin with `generated:` where a file GENERATED stands beside.
    """
    if path is None:
        raise BadInput(f"{benchmark}: no file is named; --set evaluate.path=PATH, or --bench PATH, names it")
    found: dict[str, Item] = {}
    prefix = GENERATED_NAME if is_generated(path) else ""
    for file in find_files(path):
        for raw in read_json_rows(file):
            try:
                if isinstance(raw, Reject):
                    raise BadRow(raw.field, raw.reason)
                item = build(raw)
                item = replace(item, name=f"{prefix}{item.name}")
                if item.name in found:
                    raise BadRow("id", f"{item.name} repeats")
            except BadRow as error:
                raise BadInput(f"{file}: row {raw.row}: {error}; {benchmark} is scored whole or not at all") from error
            found[item.name] = item
    if not found:
        raise BadInput(f"{path}: holds no row, so there is nothing to score ({benchmark})")
    return tuple(found.values())


def texts_field(raw: Mapping[str, Any], name: str) -> tuple[str, ...]:  # Any: parsed JSON or Parquet values
    """A list of responses, any of which may be empty, as a model's may be; raises BadRow."""
    return tuple(text_field({name: value}, name, empty=True) for value in list_field(raw, name))


def is_generated(path: Path) -> bool:
    """Whether a benchmark's file or folder says that its rows were generated."""
    folders = (path, *path.absolute().parents[:2])
    return any((folder / GENERATED).is_file() for folder in folders)


def checked(items: Sequence[Item], scores: Scores) -> Scores:
    """The scores; raises BadInput unless there is one for each response of each item, and at least one item."""
    if not items or len(items) != len(scores):
        raise BadInput(f"evaluation: {len(items)} items need as many arrays of scores, got {len(scores)}")
    for item, score_R in zip(items, scores, strict=True):
        if np.shape(score_R) != (len(item.responses),):
            raise BadInput(
                f"evaluation: {item.name}: {len(item.responses)} responses need as many scores, got {np.shape(score_R)}"
            )
    return scores


def scored(scores: Scores) -> Bool[np.ndarray, " N"]:
    """Which items have a score for each response; a missing one wins no comparison, whatever the rule."""
    return np.asarray([not np.isnan(score_R).any() for score_R in scores], dtype=np.bool_)


def wins(items: Sequence[Item], scores: Scores) -> Bool[np.ndarray, " N"]:
    """Which items have every compared pair strictly right (a tie is wrong) and every response scored."""
    return np.asarray(
        [
            bool(
                not np.isnan(score_R).any() and all(score_R[better] > score_R[worse] for better, worse in item.compared)
            )
            for item, score_R in zip(items, checked(items, scores), strict=True)
        ],
        dtype=np.bool_,
    )


def markdown(text: str) -> int:
    """Marks of Markdown in a text."""
    return len(MARKDOWN.findall(text))


def _of_text(score: Callable[[str], float]) -> Null:
    return lambda item: np.asarray([score(text) for text in item.responses], dtype=np.float64)


def _hashed(item: Item) -> Float[np.ndarray, " R"]:
    """One draw a response between 0 and 1, from the item's name and the text alone: no order, batch or seed changes it."""
    keys = (f"{item.name}\0{text}".encode() for text in item.responses)
    draws = [int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) >> 11 for key in keys]
    return np.asarray(draws, dtype=np.float64) / 2**53


NULLS: dict[str, Null] = {
    "longest": _of_text(lambda text: float(len(text))),
    "shortest": _of_text(lambda text: -float(len(text))),
    "most markdown": _of_text(lambda text: float(markdown(text))),
    "random": _hashed,
    "constant": lambda item: np.zeros(len(item.responses)),
}
"""Scorers that understand nothing: what a benchmark must not be won by. Lengths are in characters."""


def null_scores(items: Sequence[Item], null: Null) -> list[Float[np.ndarray, " _"]]:
    """Scores of all items by a null baseline."""
    return [null(item) for item in items]


def accuracy(items: Sequence[Item], credit_N: Float[np.ndarray, " N"], rng: Generator) -> Interval:
    """Mean credit: Wilson's interval where credits are 0 or 1 and no two items share a unit, else by resampling units."""
    if len({item.unit for item in items}) == len(items) and np.isin(credit_N, (0.0, 1.0)).all():
        return wilson(float(credit_N.sum()), len(items))
    return resampled(items, credit_N, {"": lambda means: means[""][:, 0]}, rng, groups=[""] * len(items))[""]


def by_subset(items: Sequence[Item], credit_N: Float[np.ndarray, " N"], rng: Generator) -> dict[str, Interval]:
    """Mean credit of each subset, in order of first appearance."""
    subsets = {
        subset: [k for k, item in enumerate(items) if item.subset == subset]
        for subset in names([i.subset for i in items])
    }
    return {subset: accuracy([items[k] for k in ks], credit_N[ks], rng) for subset, ks in subsets.items()}


def names(labels: Sequence[str]) -> list[str]:
    """The distinct labels in order of first appearance."""
    return list(dict.fromkeys(labels))


def resampled(
    items: Sequence[Item],
    values_N: Float[np.ndarray, "N ..."],
    rules: Mapping[str, Rule],
    rng: Generator,
    *,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """Value and interval of each rule of per-item results; all rules see the same draws.

    values_N: K results of each item, or one. NaN: the item does not count in that mean. `groups`: the group of each item; default
    its subset. A rule gets group -> (resamples, K) means and returns one value a resample; its n counts the units of the groups that it
    read. Raises ValueError where a rule of the items themselves is not a finite number.
    """
    subsets = [item.subset for item in items]
    units = [item.unit for item in items]
    return resampled_rows(units, subsets, groups or subsets, values_N, rules, rng, resamples=resamples)


def resampled_rows(
    units: Sequence[str],
    strata: Sequence[str],
    groups: Sequence[str],
    values_N: Float[np.ndarray, "N ..."],
    rules: Mapping[str, Rule],
    rng: Generator,
    *,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """As `resampled`, of any N rows: their units, what units are stratified by, their groups and their K values."""
    values_NK = np.asarray(values_N, dtype=np.float64).reshape(len(units), -1)
    places, unit_N = np.unique(np.asarray(units, dtype=np.str_), return_inverse=True)
    named = names(groups)
    at = {group: g for g, group in enumerate(named)}
    group_N = np.asarray([at[group] for group in groups], dtype=np.int64)
    count = len(named)
    cell_N = unit_N * count + group_N
    seen_NK = ~np.isnan(values_NK)
    sum_UGK, seen_UGK = (
        np.stack(
            [np.bincount(cell_N, weights=column_N, minlength=len(places) * count) for column_N in each_NK.T], axis=1
        ).reshape(len(places), count, -1)
        for each_NK in (np.where(seen_NK, values_NK, 0.0), seen_NK.astype(np.float64))
    )
    whole_1GK = _mean(sum_UGK.sum(axis=0)[None], seen_UGK.sum(axis=0)[None], np.asarray(np.nan))
    drawn_RGK = np.zeros((resamples, *sum_UGK.shape[1:]))
    number_RGK = np.zeros_like(drawn_RGK)
    for members in _strata(unit_N, strata, len(places)):
        # A stratum touches few groups; the other columns stay zero.
        touched = np.flatnonzero(seen_UGK[members].sum(axis=(0, 2)))
        sum_MTK, seen_MTK = (each_UGK[members][:, touched] for each_UGK in (sum_UGK, seen_UGK))
        _add_draws(drawn_RGK, number_RGK, touched, sum_MTK, seen_MTK, rng)
    mean_RGK = _mean(drawn_RGK, number_RGK, whole_1GK)
    present_UG = seen_UGK.sum(axis=2) > 0
    found: dict[str, Interval] = {}
    for name, rule in rules.items():
        value = float(rule({group: whole_1GK[:, g] for group, g in at.items()})[0])
        if not np.isfinite(value):
            raise ValueError(f"rule {name!r} gives {value}; it needs a group that has no value")
        n = int(present_UG[:, _read(rule, whole_1GK, at)].any(axis=1).sum())
        found[name] = _interval(value, rule({group: mean_RGK[:, g] for group, g in at.items()}), n)
    return found


def _read(rule: Rule, whole_1GK: Float[np.ndarray, "1 G K"], at: Mapping[str, int]) -> Bool[np.ndarray, " G"]:
    """Which groups a rule depends on: in the g-th row all means of group g are shifted, and where that shows, it is read."""
    shifted_GGK = np.repeat(whole_1GK, len(at), axis=0)
    shifted_GGK[np.arange(len(at)), np.arange(len(at))] += 0.1
    value, moved_G = (rule({group: each_RGK[:, g] for group, g in at.items()}) for each_RGK in (whole_1GK, shifted_GGK))
    read_G = np.abs(moved_G - value) > 1e-9
    return read_G if read_G.any() else ~read_G


def _strata(unit_N: Int[np.ndarray, " N"], strata: Sequence[str], count: int) -> list[list[int]]:
    """Units by the set of strata that their rows stand in; those that are alone in theirs are put together."""
    of_unit: list[set[str]] = [set() for _ in range(count)]
    for unit, stratum in zip(unit_N.tolist(), strata, strict=True):
        of_unit[unit].add(stratum)
    members: dict[frozenset[str], list[int]] = {}
    for unit, stood in enumerate(of_unit):
        members.setdefault(frozenset(stood), []).append(unit)
    alone = [units[0] for units in members.values() if len(units) == 1]
    return [units for units in members.values() if len(units) > 1] + ([alone] if alone else [])


def _add_draws(
    drawn_RGK: Float[np.ndarray, "R G K"],
    number_RGK: Float[np.ndarray, "R G K"],
    touched: Int[np.ndarray, " T"],
    sum_MTK: Float[np.ndarray, "M T K"],
    seen_MTK: Float[np.ndarray, "M T K"],
    rng: Generator,
) -> None:
    """Draw units of one stratum for each resample and add their sums and counts, scaled to the stratum's size."""
    members, resamples = len(sum_MTK), len(drawn_RGK)
    taken = max(members - 1, 1)
    rows = max(1, CHUNK // members)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        index = rng.integers(0, members, size=(size, taken)) + members * np.arange(size)[:, None]
        # Scaled back to all units, because strata that share a group must keep their weights in its mean.
        times_RM = np.bincount(index.ravel(), minlength=size * members).reshape(size, members) * (members / taken)
        for total_RGK, part_MTK in ((drawn_RGK, sum_MTK), (number_RGK, seen_MTK)):
            added = times_RM @ part_MTK.reshape(members, -1)
            total_RGK[start : start + size, touched] += added.reshape(size, *part_MTK.shape[1:])


def _mean(
    sum_RGK: Float[np.ndarray, "R G K"], number_RGK: Float[np.ndarray, "R G K"], empty: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "R G K"]:
    """Sums over counts; `empty` where a group was not drawn at all."""
    return np.where(number_RGK > 0, sum_RGK / np.where(number_RGK > 0, number_RGK, 1.0), empty)


def _interval(value: float, drawn_R: Float[np.ndarray, " R"], n: int) -> Interval:
    """Percentiles, widened to hold the value; Wilson's where a share never varies."""
    low, high = (float(limit) for limit in np.quantile(drawn_R, (0.025, 0.975)))
    share = min(max(value, 0.0), 1.0)
    # RewardBench 2's Ties reaches a hundredth beyond 0 and 1.
    if np.ptp(drawn_R) < 1e-12 and abs(value - share) <= 0.01 + 1e-9:
        _, low, high, *_ = wilson(share * n, n)
        return Interval(value, min(low, value), max(high, value), n, "Wilson, as no resample differs")
    return Interval(value, min(low, value), max(high, value), n, "stratified cluster bootstrap")
