"""RM-Bench: three right answers in rising style against three wrong ones; does substance beat style?

Formula  styles in order: concise, detailed plain, detailed Markdown; acc[i][j] = share of prompts with chosen_i > rejected_j (strict);
         hard = mean of the three cells i < j, normal = mean of the diagonal, easy = mean of the three cells i > j, each within a domain;
         domain = mean(hard, normal, easy); score = plain mean of chat, math, code, safety; so is each difficulty
Source   Liu et al. 2024 (arXiv 2410.16184); THU-KEG/RM-Bench scripts/utils.py; 1,327 prompts: id, prompt, chosen[3], rejected[3] and
         `domain` (the total file) or `subset` (a file a domain)
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward eval MODEL --bench rm_bench=total_dataset.json
Choice   safety-refuse and safety-response are pooled by prefix, as the script does, so the larger one weighs more; the mean of the two
         halves is printed beside.
Shapes   N prompts, K = 9 cells of a prompt, row by row
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from skyloom.core.errors import BadRow
from skyloom.core.metrics import Estimate
from skyloom.core.records import Raw
from skyloom.core.store import text_field
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals._items import Item, Scores
from skyloom.reward.evals._scoring import Measured, Rule
from skyloom.reward.settings import EvalFileConfig
from skyloom.reward.sources._files import user_turn

PUBLISHED: dict[str, int] = {"chat": 129, "code": 228, "math": 529, "safety-refuse": 284, "safety-response": 157}
DOMAINS: tuple[str, ...] = ("chat", "math", "code", "safety")
"""A subset belongs to the domain that its name begins with."""
STYLES: int = 3
DIFFICULTIES: dict[str, tuple[int, ...]] = {
    "hard": tuple(STYLES * i + j for i in range(STYLES) for j in range(STYLES) if i < j),
    "normal": tuple(STYLES * i + i for i in range(STYLES)),
    "easy": tuple(STYLES * i + j for i in range(STYLES) for j in range(STYLES) if i > j),
}
"""Difficulty -> its cells, 3 i + j for chosen_i against rejected_j."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalFileConfig):
    """A file with RM-Bench's columns.

    The total file, or a folder of one file a domain; its content keys the run.
    """


inputs = scoring.file_inputs


def items(config: Config) -> tuple[Item, ...]:
    """Every prompt in file order, its right answers first, both in the order of styles; raises BadInput for a bad row."""
    return scoring.read_items(config.path, _item, "RM-Bench")


def cells(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, "N 9"]:
    """1 where chosen_i > rejected_j, at place 3 i + j, else 0; a comparison with NaN is not won."""
    found = [(score_R[:STYLES, None] > score_R[None, STYLES:]).ravel() for score_R in scoring.checked(items, scores)]
    return np.asarray(found, dtype=np.float64)


def credits(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, " N"]:
    """Share of the nine comparisons that are right."""
    return cells(items, scores).mean(axis=1)


def measure(items: Sequence[Item], scores: Scores, rng: Generator) -> Measured:
    """The score, the three difficulties and the domains."""
    cell_N9 = cells(items, scores)
    groups = [domain_of(item.subset) for item in items]
    domains = [domain for domain in DOMAINS if domain in groups]
    each: dict[str, Rule] = {domain: _mean([domain], range(STYLES**2)) for domain in domains}
    hardness: dict[str, Rule] = {name: _mean(domains, places) for name, places in DIFFICULTIES.items()}
    rules: dict[str, Rule] = {"score": _mean(domains, range(STYLES**2)), **hardness, **each}
    for domain in domains:
        rules |= {f"{domain}, {name}": _mean([domain], places) for name, places in DIFFICULTIES.items()}
    found = scoring.resampled(items, cell_N9, rules, rng, groups=groups)
    score = found.pop("score")
    subsets = scoring.by_subset(items, cell_N9.mean(axis=1), rng)
    others = [Estimate.of(key, value) for key, value in found.items()]
    halves = [subset for subset in subsets if subset.startswith("safety")]
    if len(halves) > 1:
        rule = _mean(halves, range(STYLES**2))
        both = scoring.resampled(items, cell_N9, {"safety, mean of its halves": rule}, rng)
        others += [Estimate.of(key, value) for key, value in both.items()]
    whole = "RM-Bench score" if len(domains) == len(DOMAINS) else f"RM-Bench score of {', '.join(domains)} alone"
    return Measured(Estimate.of(whole, score), tuple(others), found | subsets)


def domain_of(subset: str) -> str:
    """The domain that a subset's name begins with; empty where there is none."""
    return next((domain for domain in DOMAINS if subset.startswith(domain)), "")


def _mean(groups: Sequence[str], places: Sequence[int]) -> Rule:
    """Mean over groups of the mean over cells; all difficulties have three cells, so nine cells are their plain mean."""
    chosen = list(places)
    return lambda means: np.mean([means[group][:, chosen].mean(axis=1) for group in groups], axis=0)


def _item(raw: Raw) -> Item:
    column = "domain" if raw.data.get("domain") is not None else "subset"
    subset, prompt = text_field(raw.data, column), text_field(raw.data, "prompt")
    if not domain_of(subset):
        raise BadRow(column, f"unknown: {subset!r}; it must begin with one of {', '.join(DOMAINS)}")
    name = raw.data.get("id")
    if name is None:
        raise BadRow("id", "missing")
    chosen, rejected = (scoring.texts_field(raw.data, key) for key in ("chosen", "rejected"))
    for key, texts in (("chosen", chosen), ("rejected", rejected)):
        if len(texts) != STYLES:
            raise BadRow(key, f"expected {STYLES} answers, got {len(texts)}")
    return Item(
        name=f"{subset}:{name}",
        subset=subset,
        prompt=tuple(user_turn(prompt)),
        responses=(*chosen, *rejected),
        right=STYLES,
    )
