"""PPE: human votes, and 32 responses of known correctness to each of 2,555 prompts, which cost no judge.

Formula  human accuracy = share of votes whose winner has the higher reward; correctness accuracy of a set = share of the distinct pairs
         in `sampled_conflict_pairs` whose response with the higher `scores` entry has the higher reward; both strict. The headline is
         the plain mean over MMLU-Pro, MATH, GPQA, IFEval and MBPP-Plus
Source   Frick et al. 2024 (arXiv 2410.14872); lmarena-ai/PPE-Human-Preference-V1, lmarena-ai/PPE-{set}-Best-of-K. Skipping votes without
         a winner, and the numbers below that are marked "ours", could not be checked against the paper's code
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward eval MODEL --bench ppe=FOLDER
Ours     AUC: chance that a best response is above another one of its prompt, a tie 1/2, averaged over prompts.
         Best of n: expected score of the top-rewarded of n, averaged over prompts: its end (all responses), its highest point over n, and
         its loss, the mean over n of the squared distance to what a perfect scorer gets.
Limits   Not here: row-wise Pearson, separability, confidence agreement and the rank correlations of whole models, which need every pair of
         20 models resampled. Prompts come from Chatbot Arena, and training data from there contaminates the human half.
Shapes   N items, R responses of an item, K columns of the curves
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.metrics import Estimate
from skyloom.core.records import Raw
from skyloom.core.stats import Interval, best_of_n
from skyloom.core.store import list_field, text_field
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals._items import Item, Scores
from skyloom.reward.evals._parts import part_of, plain, weighted
from skyloom.reward.evals._scoring import Means, Measured, Rule
from skyloom.reward.settings import EvalFileConfig
from skyloom.reward.sources._files import user_turn

HUMAN: str = "human"
SETS: dict[str, str] = {
    "mmlupro": "MMLU-Pro",
    "math": "MATH",
    "gpqa": "GPQA",
    "ifeval": "IFEval",
    "mbppplus": "MBPP-Plus",
}
"""What a file or folder is named after -> the set. No published counts stand here: how 2,555 prompts divide is not stated, and 16,038 votes
include those without a winner."""
WINNERS: tuple[str, str] = ("model_a", "model_b")
TIE: str = "votes without a winner"
UNDECIDED: str = "prompts without two responses to compare"
REPEATED: str = "repeated pairs"
EQUAL: str = "pairs of one score"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalFileConfig):
    """The folder with the human file and the best-of-K files, or some of them.

    A best-of-K file is told by its name or its folder's; the content keys the run.
    """


inputs = scoring.file_inputs


def items(config: Config) -> tuple[Item, ...]:
    """Votes with a winner, and prompts with a pair to compare; responses with the highest score first.

    Raises BadInput for a bad row and where nothing is left; `left_out` counts the others.
    """
    found = tuple(item for item in _all(config) if not _told(item)["without"])
    if not found:
        raise BadInput(f"{config.path}: PPE: no vote has a winner and no prompt a pair to compare")
    return found


def left_out(config: Config) -> dict[str, int]:
    """What the rule leaves out -> how often."""
    found: Counter[str] = Counter()
    for item in _all(config):
        told = _told(item)
        found.update({told["without"]: 1} if told["without"] else {REPEATED: told["repeated"], EQUAL: told["equal"]})
    return {reason: count for reason, count in found.items() if count}


def credits(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, " N"]:
    """Share of an item's pairs that are strictly right; a missing score wins nothing."""
    right_N2 = _right(items, scores)
    return right_N2[:, 0] / right_N2[:, 1]


def measure(items: Sequence[Item], scores: Scores, rng: Generator) -> Measured:
    """Human accuracy, correctness accuracy by set and on average, and the curves of best-of-n."""
    present = [part for part in SETS.values() if any(item.subset == part for item in items)]
    votes = [k for k, item in enumerate(items) if item.subset == HUMAN]
    rows: dict[str, Interval] = {}
    others: list[Estimate] = []
    if votes:
        own = [items[k] for k in votes]
        rows[HUMAN] = scoring.accuracy(own, credits(own, [scores[k] for k in votes]), rng)
        others.append(Estimate.of("human accuracy", rows[HUMAN]))
    if present:
        ks = [k for k, item in enumerate(items) if item.subset != HUMAN]
        found = _correctness([items[k] for k in ks], [scores[k] for k in ks], present, rng)
        rows |= {part: found.pop(part) for part in present}
        others = [*(Estimate.of(each, interval) for each, interval in found.items()), *others]
    headline, *rest = others
    return Measured(headline, tuple(rest), rows)


def name(present: Sequence[str]) -> str:
    """The headline's name, which says so where a set is missing."""
    whole = len(present) == len(SETS)
    return f"PPE correctness accuracy, mean of {'five sets' if whole else ', '.join(present) + ' alone'}"


def _correctness(items: Sequence[Item], scores: Scores, present: Sequence[str], rng: Generator) -> dict[str, Interval]:
    """The headline first, each set's accuracy, then AUC, end, highest point and loss averaged over the sets."""
    value_NK = np.concatenate([_right(items, scores), _curves(items, scores)], axis=1)
    most = (value_NK.shape[1] - 4) // 2
    achieved, perfect = slice(4, 4 + most), slice(4 + most, None)

    def ratio(part: str) -> Rule:
        return lambda means: means[part][:, 0] / means[part][:, 1]

    def highest(part: str) -> Rule:
        return lambda means: np.nanmax(means[part][:, achieved], axis=1)

    def loss(part: str) -> Rule:
        return lambda means: _squared(means, part, achieved, perfect)

    rules: dict[str, Rule] = {
        name(present): plain([ratio(part) for part in present]),
        **{part: ratio(part) for part in present},
        "AUC within prompts, mean of sets (ours)": plain([weighted({part: 1.0}, 2) for part in present]),
        "best-of-n end score, mean of sets (ours)": plain([weighted({part: 1.0}, 3) for part in present]),
        "best-of-n highest score, mean of sets (ours)": plain([highest(part) for part in present]),
        "best-of-n loss, mean of sets (ours)": plain([loss(part) for part in present]),
    }
    return scoring.resampled(items, value_NK, rules, rng)


def _squared(means: Means, part: str, achieved: slice, perfect: slice) -> Float[np.ndarray, " R"]:
    return np.nanmean((means[part][:, perfect] - means[part][:, achieved]) ** 2, axis=1)


def _right(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, "N 2"]:
    """Pairs that are right, and pairs."""
    return np.asarray(
        [
            (sum(score_R[better] > score_R[worse] for better, worse in item.compared), len(item.compared))
            for item, score_R in zip(items, scoring.checked(items, scores), strict=True)
        ],
        dtype=np.float64,
    )


def _curves(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, "N K"]:
    """AUC, end score, then best of n for n = 1 to the most responses, achieved and perfect; NaN beyond an item's responses.

    An item with a missing score gets the worst of everything: leaving responses out must not pay.
    """
    most = max(len(item.responses) for item in items)
    found_NK = np.full((len(items), 2 + 2 * most), np.nan)
    for row_K, item, score_R in zip(found_NK, items, scores, strict=True):
        gold_R = np.asarray(_told(item)["gold"], dtype=np.float64)
        count = len(gold_R)
        whole = not np.isnan(score_R).any()
        right_R, wrong_R = score_R[: item.right, None], score_R[None, item.right :]
        achieved_R = best_of_n(score_R, gold_R) if whole else np.full(count, gold_R.min())
        row_K[0] = ((right_R > wrong_R) + (right_R == wrong_R) / 2).mean() if whole else 0.0
        row_K[1] = achieved_R[-1]
        row_K[2 : 2 + count] = achieved_R
        row_K[2 + most : 2 + most + count] = best_of_n(gold_R, gold_R)
    return found_NK


def _all(config: Config) -> tuple[Item, ...]:
    return scoring.read_items(config.path, _item, "PPE")


def _told(item: Item) -> dict[str, Any]:  # Any: numbers and a reason, written by _tag
    return cast(dict[str, Any], json.loads(item.tag))


def _tag(gold: Sequence[float] = (), *, without: str = "", repeated: int = 0, equal: int = 0) -> str:
    """What the rule needs beside the texts: the responses' own scores, and what was left out and why."""
    return json.dumps({"gold": list(gold), "without": without, "repeated": repeated, "equal": equal})


def _item(raw: Raw) -> Item:
    return _vote(raw.data) if "winner" in raw.data else _best_of_k(raw)


def _vote(raw: Mapping[str, Any]) -> Item:  # Any: parsed JSON or Parquet values
    winner = text_field(raw, "winner")
    first, second = (text_field(raw, key, empty=True) for key in ("response_1", "response_2"))
    if winner not in WINNERS and not winner.startswith(("tie", "both")):
        raise BadRow("winner", f"expected {', '.join(WINNERS)} or a tie, got {winner!r}")
    return Item(
        name=f"{HUMAN}:{_id(raw)}",
        subset=HUMAN,
        prompt=tuple(user_turn(text_field(raw, "prompt", empty=True))),
        responses=(second, first) if winner == "model_b" else (first, second),
        tag=_tag((1.0, 0.0), without="" if winner in WINNERS else TIE),
    )


def _best_of_k(raw: Raw) -> Item:
    part = part_of(raw.file, SETS)
    gold = [_gold(value) for value in list_field(raw.data, "scores")]
    if len(gold) < 2 or f"response_{len(gold) + 1}" in raw.data:
        raise BadRow("scores", f"{len(gold)} scores do not fit the columns response_1, response_2 and so on")
    texts = [text_field(raw.data, f"response_{k + 1}", empty=True) for k in range(len(gold))]
    order = sorted(range(len(gold)), key=lambda k: -gold[k])
    place = {k: at for at, k in enumerate(order)}
    sampled = [_pair(value, len(gold)) for value in list_field(raw.data, "sampled_conflict_pairs", empty=True)]
    decided = [(i, j) if gold[i] > gold[j] else (j, i) for i, j in sampled if gold[i] != gold[j]]
    pairs = tuple(dict.fromkeys((place[better], place[worse]) for better, worse in decided))
    question = _id(raw.data)
    return Item(
        name=f"{part}:{text_field(raw.data, 'model_name')}:{question}",
        subset=part,
        prompt=tuple(user_turn(text_field(raw.data, "prompt"))),
        responses=tuple(texts[k] for k in order),
        right=min(gold.count(max(gold)), len(gold) - 1),
        pairs=pairs,
        cluster=f"{part}:{question}",
        tag=_tag(
            [gold[k] for k in order],
            without="" if pairs else UNDECIDED,
            repeated=len(decided) - len(pairs),
            equal=len(sampled) - len(decided),
        ),
    )


def _id(raw: Mapping[str, Any]) -> str:  # Any: as above
    value = raw.get("question_id")
    if value is None or isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRow("question_id", "missing, or neither text nor a number")
    return str(value)


def _gold(value: Any) -> float:  # Any: as above
    """A response's own score; true and false count as 1 and 0."""
    if not isinstance(value, bool | int | float):
        raise BadRow("scores", f"expected booleans or numbers, got {type(value).__name__}")
    return float(value)


def _pair(value: Any, count: int) -> tuple[int, int]:  # Any: as above
    places = cast(list[Any], value) if isinstance(value, list) else []
    if len(places) != 2 or not all(type(k) is int and 0 <= k < count for k in places):
        raise BadRow("sampled_conflict_pairs", f"expected two places from 0 to {count - 1}, got {value!r}")
    return places[0], places[1]
