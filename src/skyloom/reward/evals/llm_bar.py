"""LLMBar: does the answer follow the instruction, when the wrong one reads as well or better?

Formula  an order of presentation is right when the verdict is the labelled answer: the first where s1 > s2, else the second; an item's
         credit is its mean over both orders, so a tie is worth 1/2; score = plain mean of the five sets
Source   Zeng et al. 2024 (arXiv 2310.07641); princeton-nlp/LLMBar LLMEvaluator/evaluate.py; 419 rows {input, output_1, output_2, label} in
         five files. That the five sets are averaged plainly is ours to check; the adversarial mean of four is printed beside it
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward eval MODEL --bench llm_bar=Dataset/LLMBar
Limits   A scorer of single answers gives both orders the same two scores: they agree wherever it does not tie, so "agreement" is the share
         of items without a tie. An item that could not be scored is wrong and agrees in nothing. The rows stand in RewardBench 1,
         Chat Hard, too: the two are no independent evidence.
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
from skyloom.reward.evals._parts import part_of, weighted
from skyloom.reward.evals._scoring import Measured, Rule
from skyloom.reward.settings import EvalFileConfig
from skyloom.reward.sources._files import user_turn

PUBLISHED: dict[str, int] = {"Natural": 100, "Neighbor": 134, "GPTInst": 92, "GPTOut": 47, "Manual": 46}
ADVERSARIAL: tuple[str, ...] = ("Neighbor", "GPTInst", "GPTOut", "Manual")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalFileConfig):
    """The folder with the five sets, or one file of it.

    A set is told by its file's or folder's name, as published: Natural, Adversarial/Neighbor and so on; the content keys the run.
    """


inputs = scoring.file_inputs


def items(config: Config) -> tuple[Item, ...]:
    """Every row in path order, the labelled answer first; raises BadInput for a bad row and for a file of no known set."""
    return scoring.read_items(config.path, _item, "LLMBar")


def credits(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, " N"]:
    """1, 1/2 for a tie, 0; 0 where a score is missing."""
    rows = scoring.checked(items, scores)
    return np.asarray([float(right > wrong) + (right == wrong) / 2 for right, wrong in rows], dtype=np.float64)


def measure(items: Sequence[Item], scores: Scores, rng: Generator) -> Measured:
    """Mean of the sets, mean of the adversarial ones, and how often both orders agree."""
    credit_N = credits(items, scores)
    present = [part for part in PUBLISHED if any(item.subset == part for item in items)]
    adversarial = [part for part in ADVERSARIAL if part in present]
    rules: dict[str, Rule] = {name(present): _mean(present)}
    if adversarial:
        rules[f"mean of {', '.join(adversarial)}"] = _mean(adversarial)
    found = scoring.resampled(items, credit_N, rules, rng)
    headline, *others = (Estimate.of(each, interval) for each, interval in found.items())
    agree_N = np.asarray([float(abs(first - second) > 0) for first, second in scores], dtype=np.float64)
    others.append(Estimate.of("agreement of both orders", scoring.accuracy(items, agree_N, rng)))
    others.append(Estimate.of("all rows", scoring.accuracy(items, credit_N, rng)))
    subsets = scoring.by_subset(items, credit_N, rng)
    return Measured(headline, tuple(others), {part: subsets[part] for part in present})


def name(present: Sequence[str]) -> str:
    """The headline's name, which says so where a set is missing."""
    return (
        "LLMBar mean of five sets" if len(present) == len(PUBLISHED) else f"LLMBar mean of {', '.join(present)} alone"
    )


def _mean(parts: Sequence[str]) -> Rule:
    return weighted(dict.fromkeys(parts, 1.0))


def _item(raw: Raw) -> Item:
    prompt, first, second = (text_field(raw.data, key) for key in ("input", "output_1", "output_2"))
    label = raw.data.get("label")
    if isinstance(label, bool) or label not in (1, 2):
        raise BadRow("label", f"expected 1 or 2, got {label!r}")
    part = part_of(raw.file, {each.lower(): each for each in PUBLISHED})
    return Item(
        name=f"{part}:{raw.row}",
        subset=part,
        prompt=tuple(user_turn(prompt)),
        responses=(first, second) if label == 1 else (second, first),
    )
