"""JudgeBench: pairs of hard reasoning, knowledge, mathematics and code answers of which one is right.

Formula  the decision is "A>B" if score(A) > score(B), else "B>A": a tie counts as "B>A", which is right where that is the label.
         micro (official) = right / all; macro = plain mean of the sources' accuracies
Source   Tan et al. 2024 (arXiv 2410.12784); ScalerLab/JudgeBench run_judge.py --single_game, utils/metrics.py; two files by
         response_model, GPT-4o 350 pairs and Claude-3.5-Sonnet 270. The official figure is micro, a file by itself; Skywork-Reward-V2
         prints macro
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward eval MODEL --bench judge_bench=DATA
Limits   The tie rule hands a constant scorer every pair labelled "B>A" (157 of 350, 127 of 270), so ties are printed apart, and
         the accuracy with ties wrong beside the official one. A pair that could not be scored is wrong, whatever its label.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from skyloom.core.errors import BadRow
from skyloom.core.metrics import Estimate
from skyloom.core.records import Message, Raw
from skyloom.core.stats import wilson
from skyloom.core.store import text_field
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals._items import Item, Scores
from skyloom.reward.evals._parts import plain, weighted
from skyloom.reward.evals._scoring import Measured, Rule
from skyloom.reward.settings import EvalFileConfig

SOURCES: tuple[str, ...] = ("mmlu-pro", "livebench-reasoning", "livebench-math", "livecodebench")
"""Prefixes of the source column."""
HALVES: dict[str, str] = {"gpt": "GPT-4o", "claude": "Claude"}
"""Prefix of response_model -> the file it stands in."""
PUBLISHED: dict[str, int] = {
    "GPT-4o mmlu-pro": 154,
    "GPT-4o livebench-reasoning": 98,
    "GPT-4o livebench-math": 56,
    "GPT-4o livecodebench": 42,
    "Claude mmlu-pro": 154,
    "Claude livebench-reasoning": 51,
    "Claude livebench-math": 34,
    "Claude livecodebench": 31,
}
LABELS: tuple[str, str] = ("A>B", "B>A")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalFileConfig):
    """One file, or a folder with both."""


inputs = scoring.file_inputs


def items(config: Config) -> tuple[Item, ...]:
    """Every pair in file order, the right response first; raises BadInput for a bad row."""
    return scoring.read_items(config.path, _item, "JudgeBench")


def credits(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, " N"]:
    """1 for a right decision, else 0; a tie is right where the label is "B>A"."""
    gap_N = _gaps(items, scores)  # of the right response over the wrong one; NaN compares as False
    second_N = np.asarray([item.tag == "B>A" for item in items])
    return ((gap_N > 0) | ((gap_N == 0) & second_N)).astype(np.float64)


def measure(items: Sequence[Item], scores: Scores, rng: Generator) -> Measured:
    """Micro and macro accuracy of each half and of what is there, ties apart."""
    credit_N, gap_N = credits(items, scores), _gaps(items, scores)
    subsets = Counter(item.subset for item in items)
    halves = scoring.names([_half(subset) for subset in subsets])
    rules: dict[str, Rule] = {name(halves): weighted(subsets), "macro": _macro(subsets)}
    for half in halves if len(halves) > 1 else ():
        own = Counter({subset: count for subset, count in subsets.items() if _half(subset) == half})
        rules |= {f"{half} micro": weighted(own), f"{half} macro": _macro(own)}
    found = scoring.resampled(items, credit_N, rules, rng)
    headline, *others = (Estimate.of(each, interval) for each, interval in found.items())
    strict = scoring.accuracy(items, (gap_N > 0).astype(np.float64), rng)
    ties = wilson(int((gap_N == 0).sum()), len(items))
    others += [Estimate.of("accuracy with ties wrong", strict), Estimate.of("tied pairs", ties)]
    return Measured(headline, tuple(others), scoring.by_subset(items, credit_N, rng))


def name(halves: Sequence[str]) -> str:
    """The headline's name, which says so where a half is missing."""
    whole = set(halves) == set(HALVES.values())
    return "JudgeBench micro accuracy" if whole else f"JudgeBench micro accuracy, {', '.join(halves)} pairs alone"


def _macro(subsets: Counter[str]) -> Rule:
    """Plain mean over the sources, each pooled over the halves."""
    sources = [{each: n for each, n in subsets.items() if each.endswith(f" {source}")} for source in SOURCES]
    return plain([weighted(each) for each in sources if each])


def _gaps(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, " N"]:
    """Score of the right response less that of the wrong one; NaN where one is missing."""
    return np.asarray([score_R[0] - score_R[1] for score_R in scoring.checked(items, scores)], dtype=np.float64)


def _half(subset: str) -> str:
    return subset.rpartition(" ")[0]


def _item(raw: Raw) -> Item:
    pair_id, source, model = (text_field(raw.data, key) for key in ("pair_id", "source", "response_model"))
    question, first, second = (text_field(raw.data, key) for key in ("question", "response_A", "response_B"))
    label = text_field(raw.data, "label")
    if label not in LABELS:
        raise BadRow("label", f"expected {' or '.join(LABELS)}, got {label!r}")
    prefix = next((each for each in SOURCES if source.startswith(each)), None)
    if prefix is None:
        raise BadRow("source", f"unknown {source!r}; known prefixes: {', '.join(SOURCES)}")
    half = next((shown for start, shown in HALVES.items() if model.startswith(start)), model)
    return Item(
        name=f"{half}:{pair_id}",
        subset=f"{half} {prefix}",
        prompt=(Message(role="user", content=question),),
        responses=(first, second) if label == "A>B" else (second, first),
        tag=label,
    )
