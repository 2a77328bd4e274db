"""Votes: what the majority of several answers says, and how often it is right, for one to K answers.

Formula  classes: THE grader's extracted answers, each put with the first answer that the grader calls equal to it; answers that are
         missing do not vote. maj@k of an item = share of the k-subsets of its K draws whose largest class is right, ties to the class
         drawn first; all subsets where there are at most 1,000 of them, else 1,000 drawn (one list for all items): unbiased in both
         cases. mean@k, the same for every k, is the share of draws that are right; intervals by items: bootstrap, or Wilson where
         every item is 0 or 1
Source   self-consistency: Wang et al. 2022 (arXiv 2203.11171); subsets as in pass@k: Chen et al. 2021 (arXiv 2107.03374)
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Shapes   N items, K draws of each, S subsets, k draws in a subset
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int

from skyloom.core.metrics import Cell, Estimate, Plot, Series, Table
from skyloom.core.rng import stream
from skyloom.core.stats import Interval, bootstrap, wilson
from skyloom.mathqa.verify.grading import Verdict, grade

SUBSETS: int = 1_000


def classes_of(answers: Sequence[str | None]) -> list[int]:
    """The class of each answer, numbered in order of appearance; -1 for none."""
    heads: list[str] = []
    found: list[int] = []
    for answer in answers:
        if answer is None:
            found.append(-1)
            continue
        place = next((k for k, head in enumerate(heads) if head == answer or grade(head, answer).equal), len(heads))
        if place == len(heads):
            heads.append(answer)
        found.append(place)
    return found


def subsets(draws: int, size: int, seed: int) -> Int[np.ndarray, "S k"]:
    """All subsets of `size` out of `draws`, or SUBSETS drawn ones, each in the order of the draws."""
    if comb(draws, size) <= SUBSETS:
        return np.array(list(combinations(range(draws), size)), dtype=np.int64)
    rng = stream(seed, "mathqa.votes", size)
    return np.sort(rng.permuted(np.tile(np.arange(draws), (SUBSETS, 1)), axis=1)[:, :size], axis=1)


def majority(
    class_K: Int[np.ndarray, " K"], right_K: Bool[np.ndarray, " K"], subset_Sk: Int[np.ndarray, "S k"]
) -> float:
    """Share of the subsets whose winning vote is right, 0 to 1."""
    said_Sk = class_K[subset_Sk]
    # Votes for the class of each draw; a missing answer has none. argmax takes the first draw of the first among equals.
    votes_Sk = (said_Sk[:, :, None] == said_Sk[:, None, :]).sum(axis=2) * (said_Sk >= 0)
    first_S = votes_Sk.argmax(axis=1)
    winner_S = np.take_along_axis(subset_Sk, first_S[:, None], axis=1)[:, 0]
    return float(right_K[winner_S].mean())


def sizes(draws: int) -> list[int]:
    """1, 2, 4, ... and all."""
    return [*(2**power for power in range(draws.bit_length()) if 2**power < draws), draws]


def curve(told_NK: Sequence[Sequence[Verdict]], seed: int) -> dict[int, Interval]:
    """maj@k by k, of the verdicts on each item's draws."""
    class_NK = [np.array(classes_of([told.answer for told in told_K]), dtype=np.int64) for told_K in told_NK]
    right_NK = [np.array([told.equal for told in told_K], dtype=np.bool_) for told_K in told_NK]
    found: dict[int, Interval] = {}
    for size in sizes(len(told_NK[0])):
        subset_Sk = subsets(len(told_NK[0]), size, seed)
        value_N = [majority(*each, subset_Sk) for each in zip(class_NK, right_NK, strict=True)]
        found[size] = share(value_N, seed, f"maj@{size}")
    return found


def share(value_N: Sequence[float], seed: int, name: str) -> Interval:
    """A mean of shares, 0 to 1; where each is 0 or 1, Wilson's interval, which keeps a width where all are alike."""
    if set(value_N) <= {0.0, 1.0}:
        return wilson(sum(value_N), len(value_N))
    return spread(value_N, seed, name)


def spread(value_N: Sequence[float], seed: int, name: str) -> Interval:
    """The mean over items with its interval; one item alone has none, and says so."""
    if len(value_N) == 1:
        return Interval(float(value_N[0]), float(value_N[0]), float(value_N[0]), 1, "one item: no interval")
    return bootstrap(np.asarray(value_N), stream(seed, "mathqa.votes", name))


def report(
    name: str, greedy: Estimate, told_NK: Sequence[Sequence[Verdict]], temperature: float, seed: int
) -> tuple[list[Estimate], Table, Plot]:
    """maj@K and mean@K as estimates, all k as a table and a plot beside greedy accuracy."""
    by_k = curve(told_NK, seed)
    draws = len(told_NK[0])
    right_NK: Float[np.ndarray, "N K"] = np.array([[told.equal for told in told_K] for told_K in told_NK], dtype=float)
    mean = share(right_NK.mean(axis=1).tolist(), seed, "mean")
    rows: tuple[tuple[Cell, ...], ...] = (
        ("greedy", greedy.interval),
        (f"mean@{draws}", mean),
        *((f"maj@{k}", interval) for k, interval in by_k.items()),
    )
    note = (
        f"{draws} answers to each item drawn at temperature {temperature:g}; maj@k: the largest class of k of them, by the grader's "
        "equality, averaged over subsets; mean@k: the share of all that is right, which is maj@1; intervals by items"
    )
    table = Table(title=f"{name}: majority votes", note=note, columns=("", "accuracy"), rows=rows)
    x = tuple(float(k) for k in by_k)
    y, low, high = (tuple(float(each[k]) for each in by_k.values()) for k in range(3))
    ends = (1.0, float(draws))
    series = (
        Series(name="maj@k", x=x, y=y, low=low, high=high),
        Series(name="greedy", x=ends, y=(greedy.value, greedy.value)),
    )
    plot = Plot(title=f"{name}: majority votes", x="answers drawn (k)", y="share right", series=series)
    shown = [Estimate.of(f"{name} maj@{draws}", by_k[draws]), Estimate.of(f"{name} mean@{draws}", mean)]
    return shown, table, plot
