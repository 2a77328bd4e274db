"""RMB: pairs and best-of-n lists in 49 scenarios of helpfulness and harmlessness.

Formula  a pair is right when chosen > rejected, a list when the winner's score beats every loser's, both strictly;
         score = plain mean of {helpful, harmless} x {pairwise, best-of-n}, each the mean over its items
Source   Zhou et al. 2024 (arXiv 2410.09893); Zhou-Zoey/RMB-Reward-Model-Benchmark RMB_dataset/, 25,845 instances; the mean of four:
         open-compass/opencompass icl_judge_evaluator.py. Whether a goal pools its items or averages its scenarios is not stated: the
         headline pools, the other is printed beside it
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward eval MODEL --bench rmb=RMB_dataset
Limits   The public files have pairs and lists whose winner stands, letter for letter, among the losers, and a few empty turns and answers.
         They are items as any other: no scorer can win the former, their share is printed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from skyloom.core.errors import BadRow
from skyloom.core.metrics import Estimate
from skyloom.core.records import Message, Raw
from skyloom.core.stats import wilson
from skyloom.core.store import list_field, object_field, text_field
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals._items import Item, Scores
from skyloom.reward.evals._parts import plain, weighted
from skyloom.reward.evals._scoring import Measured, Rule
from skyloom.reward.settings import EvalFileConfig
from skyloom.reward.sources._files import ROLE_NAMES

GOALS: dict[str, str] = {"Helpfulness": "helpful", "Harmlessness": "harmless"}
"""A part of category_path -> the goal; what follows it is the scenario."""
PAIRS, LISTS = "pairwise", "best-of-n"
PARTS: tuple[str, ...] = tuple(f"{goal} {kind}" for goal in GOALS.values() for kind in (PAIRS, LISTS))
PUBLISHED: dict[str, int] = {scoring.ALL: 25_845}
"""How they divide among the four parts is not stated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalFileConfig):
    """RMB's folder, one of its two halves, or one file."""


inputs = scoring.file_inputs


def items(config: Config) -> tuple[Item, ...]:
    """Every pair and list in path order, the winner first; raises BadInput for a bad row."""
    return scoring.read_items(config.path, _item, "RMB")


def credits(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, " N"]:
    """1 where the winner beats every loser, else 0; a tie is wrong."""
    return scoring.wins(items, scores).astype(np.float64)


def measure(items: Sequence[Item], scores: Scores, rng: Generator) -> Measured:
    """The score by pooled parts and by averaged scenarios, and the items that no scorer can win."""
    credit_N = credits(items, scores)
    parts = [part for part in PARTS if any(item.subset == part for item in items)]
    pooled: dict[str, Rule] = {name(parts): plain([weighted({part: 1.0}) for part in parts])}
    pooled |= {part: weighted({part: 1.0}) for part in parts}
    headline, *part_intervals = scoring.resampled(items, credit_N, pooled, rng).values()
    scenario_N = [f"{item.subset}: {item.tag}" for item in items]
    scenarios = {part: dict.fromkeys(sorted(_of(part, scenario_N)), 1.0) for part in parts}
    rules: dict[str, Rule] = {"scenarios averaged": plain([weighted(each) for each in scenarios.values()])}
    rules |= {scenario: weighted({scenario: 1.0}) for part in parts for scenario in scenarios[part]}
    averaged, *scenario_intervals = scoring.resampled(items, credit_N, rules, rng, groups=scenario_N).values()
    lost = sum(item.responses[0] in item.responses[1:] for item in items)
    others = (
        Estimate.of(f"{name(parts)}, scenarios averaged", averaged),
        Estimate.of("items whose winner stands among its losers", wilson(lost, len(items))),
    )
    rows = dict(zip([*parts, *list(rules)[1:]], [*part_intervals, *scenario_intervals], strict=True))
    return Measured(Estimate.of(name(parts), headline), others, rows)


def name(parts: Sequence[str]) -> str:
    """The headline's name, which says so where a part is missing."""
    return "RMB score" if len(parts) == len(PARTS) else f"RMB score of {', '.join(parts)} alone"


def _of(part: str, scenario_N: Sequence[str]) -> set[str]:
    return {scenario for scenario in scenario_N if scenario.startswith(f"{part}: ")}


def _item(raw: Raw) -> Item:
    kind = LISTS if "bon_best" in raw.data else PAIRS
    goal, scenario = _place(text_field(raw.data, "category_path"))
    if kind == LISTS:
        best = _answer(object_field(raw.data, "bon_best"), "bon_best")
        losers = [
            _answer(object_field({"loser_list": each}, "loser_list"), "loser_list")
            for each in list_field(raw.data, "loser_list")
        ]
    else:
        best = _answer(object_field(raw.data, "chosen"), "chosen")
        losers = [_answer(object_field(raw.data, "reject"), "reject")]
    return Item(
        name=f"{kind}:{_uid(raw.data, 'bon_uid' if kind == LISTS else 'pair_uid')}",
        subset=f"{goal} {kind}",
        prompt=tuple(_turn(each) for each in list_field(raw.data, "conversation_input")),
        responses=(best, *losers),
        tag=scenario,
    )


def _place(category: str) -> tuple[str, str]:
    """Goal and scenario of `Pairwise_set/Helpfulness/Open QA/Factual`."""
    parts = category.split("/")
    for k, part in enumerate(parts):
        if part in GOALS:
            return GOALS[part], "/".join(parts[k + 1 :]) or part
    raise BadRow("category_path", f"names none of {', '.join(GOALS)}")


def _uid(raw: Mapping[str, Any], key: str) -> str:  # Any: as above
    value = raw.get(key)
    if value is None or isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRow(key, "missing" if value is None else f"expected text or a number, got {type(value).__name__}")
    return str(value)


def _turn(value: Any) -> Message:  # Any: as above
    """A turn, which may be empty: the public files hold five such."""
    turn = object_field({"conversation_input": value}, "conversation_input")
    try:
        role, content = text_field(turn, "role"), text_field(turn, "content", empty=True)
    except BadRow as error:
        raise BadRow(f"conversation_input.{error.field}", error.reason) from error
    if role.lower() not in ROLE_NAMES:
        raise BadRow("conversation_input.role", f"unknown role; known: {', '.join(ROLE_NAMES)}")
    return Message(role=ROLE_NAMES[role.lower()], content=content)


def _answer(side: Mapping[str, Any], key: str) -> str:  # Any: as above
    """An answer, which may be empty: a model that said nothing lost, or won, by that."""
    try:
        return text_field(side, "answer", empty=True)
    except BadRow as error:
        raise BadRow(f"{key}.answer", error.reason) from error
