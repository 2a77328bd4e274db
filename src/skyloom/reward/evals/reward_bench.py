"""RewardBench 1: accuracy by subset, weighted into four sections, averaged plainly.

Formula  a pair is right when chosen > rejected (a tie is wrong); section = sum(accuracy * weight) / sum(weight) over the subsets
         present, weight = the subset's official number of rows, math-prm 984; score = plain mean of the sections. With prior sets: a
         fifth column, the plain mean of those present; weights 2, 2, 2, 2, 1, missing columns left out. Length categories: plain mean
         of the accuracies of the subsets that carry the tag (ours)
Source   Lambert et al. 2024 (arXiv 2403.13787); allenai/reward-bench rewardbench/constants.py, utils.py,
         analysis/get_benchmark_results.py; HF allenai/reward-bench, split `filtered`, 2,985 rows: id, subset, prompt, chosen,
         chosen_model, rejected, rejected_model; HF allenai/pref-test-sets, a split a prior set: prompt (turns), chosen, rejected
Flow     collect -> curate -> train -> [evaluate] -> report; also exports the index that decontaminates training data
Run      skyloom reward eval MODEL --bench reward_bench=filtered.parquet
Limits   The six code subsets share 164 problems, but the file names none: the k-th rows of the six are taken as one problem.
Shapes   N pairs
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.metrics import Estimate
from skyloom.core.records import Raw
from skyloom.core.store import text_field
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals._items import Item, Scores, item_of
from skyloom.reward.evals._parts import plain, weighted
from skyloom.reward.evals._scoring import Measured
from skyloom.reward.records import check_prompt
from skyloom.reward.settings import EvalConfig
from skyloom.reward.sources import world as preference_world
from skyloom.reward.sources._files import text_or_turns, user_turn

SECTIONS: dict[str, dict[str, int]] = {
    "chat": {
        "alpacaeval-easy": 100,
        "alpacaeval-length": 95,
        "alpacaeval-hard": 95,
        "mt-bench-easy": 28,
        "mt-bench-med": 40,
    },
    "chat_hard": {
        "mt-bench-hard": 37,
        "llmbar-natural": 100,
        "llmbar-adver-neighbor": 134,
        "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47,
        "llmbar-adver-manual": 46,
    },
    "safety": {
        "refusals-dangerous": 100,
        "refusals-offensive": 100,
        "xstest-should-refuse": 154,
        "xstest-should-respond": 250,
        "donotanswer": 136,
    },
    "reasoning": {
        "math-prm": 984,
        "hep-cpp": 164,
        "hep-go": 164,
        "hep-java": 164,
        "hep-js": 164,
        "hep-python": 164,
        "hep-rust": 164,
    },
}
"""Section -> subset -> weight. math-prm has 447 rows and weighs as much as the six code subsets together."""
WORLD_SECTIONS: dict[str, tuple[str, ...]] = {
    "chat": ("world-topic", "world-include"),
    "chat_hard": ("world-avoid", "world-format"),
    "safety": ("world-should-refuse", "world-should-respond"),
    "reasoning": ("world-sum", "world-compare", "world-parity", "world-vowel"),
}
"""The preference world's subsets, which weigh as many rows as they have."""
PRIOR_SETS: tuple[str, ...] = ("anthropic_helpful", "anthropic_hhh", "shp", "summarize")
"""HF allenai/pref-test-sets; a fifth column with half weight in the variant that older leaderboards print."""
PUBLISHED: dict[str, int] = {**{name: n for part in SECTIONS.values() for name, n in part.items()}, "math-prm": 447}
"""Subset -> rows of the split `filtered`."""
CODE: str = "hep-"
LENGTH_TAGS: dict[str, str] = {
    **dict.fromkeys(("alpacaeval-easy", "alpacaeval-hard", "xstest-should-respond"), "favours length"),
    **dict.fromkeys(
        ("alpacaeval-length", "math-prm", "llmbar-natural", "llmbar-adver-GPTOut", "mt-bench-med"), "neutral"
    ),
    **dict.fromkeys((name for name in SECTIONS["reasoning"] if name.startswith(CODE)), "neutral"),
}
"""LENGTH_CATEGORIES of rewardbench: "True" is `favours length` here, "Neutral" `neutral`; every other subset is "False"."""
AGAINST: str = "against length"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """A file with RewardBench's columns, or the evaluation part of the preference world."""

    path: Path | None = field(default=None, metadata=NOT_KEYED)
    """A .parquet, .jsonl or .json file, or a folder of them; its content keys the run. None takes the world."""
    prior: Path | None = field(default=None, metadata=NOT_KEYED)
    """Prior sets beside it: a file or a folder; a row without `subset` belongs to the prior set that its file is named after."""
    world: preference_world.Config = field(
        default_factory=lambda: preference_world.Config(part="eval", rows=400, history=0.0)
    )
    """Which evaluation part, where no file is named."""


def inputs(config: Config) -> tuple[Path, ...]:
    """The files that are named."""
    return tuple(path for path in (config.path, config.prior) if path is not None)


def items(config: Config) -> tuple[Item, ...]:
    """Every pair in file order; raises BadInput for a bad row, because a benchmark must be whole."""
    if config.path is None:
        pairs = (preference_world.to_record(raw.data) for raw in preference_world.rows(config.world, 0))
        found = tuple(item_of(pair, f"world-eval:{k}") for k, pair in enumerate(pairs))
    else:
        found = _by_problem(scoring.read_items(config.path, _item, "RewardBench"))
    if config.prior is not None:
        found += scoring.read_items(config.prior, _item, "RewardBench's prior sets")
    check_subsets({item.subset for item in found})
    return found


def credits(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, " N"]:
    """1 where chosen is strictly above rejected, else 0."""
    return scoring.wins(items, scores).astype(np.float64)


def measure(items: Sequence[Item], scores: Scores, rng: Generator) -> Measured:
    """The score, its sections, the variant with prior sets and the length categories. Raises BadInput for an unknown subset."""
    credit_N = credits(items, scores)
    sizes = Counter(item.subset for item in items)
    check_subsets(sizes)
    sections = sections_of(sizes)
    parts = {name: weighted(_weights(subsets, sizes)) for name, subsets in sections.items()}
    four = list(parts.values())
    rules = {"score": plain(four), **parts}
    prior = [name for name in PRIOR_SETS if name in sizes]
    if prior:
        rules["prior sets"] = weighted(dict.fromkeys(prior, 1.0))
        rules["with"] = plain([*four, *four, rules["prior sets"]])  # weights 2, 2, 2, 2, 1
    rules |= {f"subsets: {tag}": weighted(dict.fromkeys(each, 1.0)) for tag, each in _tagged(sizes).items()}
    found = scoring.resampled(items, credit_N, rules, rng)
    named = score_name(sections, sizes)
    headline = Estimate.of(named, found.pop("score"))
    both = [Estimate.of(f"{named} with prior sets", found.pop("with"))] if prior else []
    pooled = Estimate.of("accuracy, all pairs", scoring.accuracy(items, credit_N, rng))
    others = (*both, *(Estimate.of(name, interval) for name, interval in found.items()), pooled)
    rows = {name: found[name] for name in (*sections, "prior sets") if name in found}
    return Measured(headline, others, rows | scoring.by_subset(items, credit_N, rng))


def sections_of(subsets: Iterable[str]) -> dict[str, list[str]]:
    """Section -> its subsets that are present; a section without any is left out. Raises BadInput where none is left."""
    present = set(subsets)
    found = {
        section: [name for name in (*weights, *WORLD_SECTIONS[section]) if name in present]
        for section, weights in SECTIONS.items()
    }
    if not any(found.values()):
        raise BadInput("RewardBench: no subset of its four sections is present")
    return {section: each for section, each in found.items() if each}


def check_subsets(subsets: Iterable[str]) -> None:
    """Raise BadInput for an unknown subset: it would belong to no section."""
    known = {subset for parts in (*SECTIONS.values(), *WORLD_SECTIONS.values()) for subset in parts} | set(PRIOR_SETS)
    unknown = sorted(set(subsets) - known)
    if unknown:
        raise BadInput(f"RewardBench: unknown subset {unknown[0]!r}; known: {', '.join(sorted(known))}")


def score_name(sections: Mapping[str, Sequence[str]], subsets: Iterable[str] = ()) -> str:
    """The headline's name, which says so where sections are missing, or where the preference world was scored."""
    world = {subset for parts in WORLD_SECTIONS.values() for subset in parts}
    name = "world score by RewardBench's rule" if world & set(subsets) else "RewardBench score"
    return name if len(sections) == len(SECTIONS) else f"{name} of {', '.join(sections)} alone"


def _weights(subsets: Iterable[str], sizes: Mapping[str, int]) -> dict[str, float]:
    """The official weight; the world's subsets weigh as many rows as they have."""
    official = {name: n for part in SECTIONS.values() for name, n in part.items()}
    return {subset: float(official.get(subset, sizes[subset])) for subset in subsets}


def _tagged(subsets: Iterable[str]) -> dict[str, list[str]]:
    """Length category -> its official subsets that are present."""
    found: dict[str, list[str]] = {}
    for subset in subsets:
        if subset in PUBLISHED:
            found.setdefault(LENGTH_TAGS.get(subset, AGAINST), []).append(subset)
    return dict(sorted(found.items()))


def _by_problem(found: Sequence[Item]) -> tuple[Item, ...]:
    """The k-th rows of the code subsets share a cluster."""
    counts: dict[str, int] = {}
    clustered: list[Item] = []
    for item in found:
        if item.subset.startswith(CODE):
            counts[item.subset] = counts.get(item.subset, 0) + 1
            item = replace(item, cluster=f"{CODE}{counts[item.subset]}")
        clustered.append(item)
    return tuple(clustered)


def _item(raw: Raw) -> Item:
    stem = Path(raw.file).name.partition(".")[0]
    subset = stem if stem in PRIOR_SETS and raw.data.get("subset") is None else text_field(raw.data, "subset")
    name = raw.data.get("id", raw.row if subset in PRIOR_SETS else None)
    if name is None:
        raise BadRow("id", "missing")
    prompt = text_or_turns(raw.data, "prompt")
    turns = user_turn(prompt) if isinstance(prompt, str) else prompt
    check_prompt(turns)
    chosen, rejected = (text_field(raw.data, key, empty=True) for key in ("chosen", "rejected"))
    return Item(name=f"{subset}:{name}", subset=subset, prompt=tuple(turns), responses=(chosen, rejected))
