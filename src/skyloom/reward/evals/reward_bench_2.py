"""RewardBench 2: best of four on five subsets, and Ties, where every right answer must beat every wrong one; plain mean of the six.

Formula  five subsets: 1/k where the right response is among the k that share the highest score, else 0.
         Ties, rows ref:N (one right answer) and tied:N (several): gap = min right - max wrong, spread = max right - min right of the tied
         row; A = share of rows with gap > 0; over the prompts N that have both rows: P1 = share with gap_tied > spread,
         P2 = share with min(gap_ref, gap_tied) > spread, M = mean of tanh(min(gap_ref, gap_tied) / spread - 1), 0/0 counting 0;
         Ties = 0.30 A_tied + 0.30 A_ref + 0.20 P1 + 0.20 P2 + 0.01 M, from -0.01 to 1.01
Source   Malik et al. 2025 (arXiv 2506.01937); allenai/reward-bench rewardbench/utils.py (process_single_model,
         reroll_and_score_dataset); HF allenai/reward-bench-2, split `test`, 1,865 rows: id, prompt, chosen[], rejected[], num_correct,
         subset and more
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom reward eval MODEL --bench reward_bench_2=test.parquet
Limits   A Ties row that could not be scored whole counts as gap = -infinity.
Shapes   N items, R responses of an item or resamples, K = 5 results of an item
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.metrics import Estimate
from skyloom.core.records import Raw
from skyloom.core.store import number_field, text_field
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals._items import Item, Scores
from skyloom.reward.evals._parts import plain, weighted
from skyloom.reward.evals._scoring import Means, Measured, Rule
from skyloom.reward.settings import EvalFileConfig
from skyloom.reward.sources._files import user_turn

PUBLISHED: dict[str, int] = {
    "Factuality": 475,
    "Precise IF": 160,
    "Math": 183,
    "Safety": 450,
    "Focus": 495,
    "Ties": 102,
}
TIES: str = "Ties"
REF, TIED = "ref", "tied"
TIES_WEIGHTS: tuple[float, ...] = (0.30, 0.30, 0.20, 0.20, 0.01)
"""Of A_tied, A_ref, P1, P2 and M."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalFileConfig):
    """A file with RewardBench 2's columns.

    A .parquet, .jsonl or .json file, or a folder of them; its content keys the run.
    """


inputs = scoring.file_inputs


def items(config: Config) -> tuple[Item, ...]:
    """Every row in file order; raises BadInput for a bad row, and for Ties rows of which no prompt has both kinds."""
    found = scoring.read_items(config.path, _item, "RewardBench 2")
    _check_ties(found)
    return found


def credits(items: Sequence[Item], scores: Scores) -> Float[np.ndarray, " N"]:
    """Share of the first place that the right response holds; a Ties row: 1 where every right one beats every wrong one."""
    found = [
        float(_gap(item, score_R) > 0) if item.subset == TIES else top_share(item, score_R)
        for item, score_R in zip(items, scoring.checked(items, scores), strict=True)
    ]
    return np.asarray(found, dtype=np.float64)


def measure(items: Sequence[Item], scores: Scores, rng: Generator) -> Measured:
    """The score, its subsets, and the parts of Ties."""
    credit_N = credits(items, scores)
    subsets = scoring.names([item.subset for item in items])
    values_NK = np.column_stack([credit_N, *ties_columns(items, scores, credit_N)]) if TIES in subsets else credit_N
    each: dict[str, Rule] = {subset: _ties if subset == TIES else weighted({subset: 1.0}) for subset in subsets}
    rules: dict[str, Rule] = {"score": plain(list(each.values())), **each}
    if TIES in subsets:
        parts = ("tied rows right", "ref rows right", "gap above spread", "both gaps above spread", "margin")
        rules |= {f"{TIES}: {name}": weighted({TIES: 1.0}, k + 1) for k, name in enumerate(parts)}
    found = scoring.resampled(items, values_NK, rules, rng)
    name = (
        "RewardBench 2 score"
        if set(subsets) >= set(PUBLISHED)
        else f"RewardBench 2 score of {', '.join(subsets)} alone"
    )
    # A subset whose credits are 0 or 1 keeps its Wilson interval, which holds up at 0 and 1.
    shares = scoring.by_subset(items, credit_N, rng)
    rows = {subset: found[subset] if subset == TIES else shares[subset] for subset in subsets}
    others = [Estimate.of(key, value) for key, value in found.items() if key not in ("score", *subsets)]
    others += [Estimate.of(subset, value) for subset, value in rows.items()]
    return Measured(Estimate.of(name, found["score"]), tuple(others), rows)


def top_share(item: Item, score_R: Float[np.ndarray, " R"]) -> float:
    """Share of the highest score's holders that are right: 1/k for one right among k; 0 where a response could not be scored."""
    if np.isnan(score_R).any():
        return 0.0
    top_R = score_R == score_R.max()
    return float(top_R[: item.right].sum() / top_R.sum())


def ties_columns(
    items: Sequence[Item], scores: Scores, credit_N: Float[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, " N"], ...]:
    """(A_tied, A_ref, P1, P2, M) of each row; NaN where a row has no part in it. The last three stand at the tied row."""
    kinds = [item.tag.partition(":")[0] if item.subset == TIES else "" for item in items]
    a_tied_N, a_ref_N = (np.where(np.asarray([kind == of for kind in kinds]), credit_N, np.nan) for of in (TIED, REF))
    place = {item.tag: k for k, item in enumerate(items) if item.subset == TIES}
    p1_N, p2_N, margin_N = (np.full(len(items), np.nan) for _ in range(3))
    for tag, k in place.items():
        kind, _, number = tag.partition(":")
        ref = place.get(f"{REF}:{number}")
        if kind != TIED or ref is None:
            continue
        spread = float(np.ptp(scores[k][: items[k].right]))
        tied_gap = _gap(items[k], scores[k])
        least = min(tied_gap, _gap(items[ref], scores[ref]))
        p1_N[k], p2_N[k] = tied_gap > spread, least > spread
        margin_N[k] = _margin(least, spread)
    return a_tied_N, a_ref_N, p1_N, p2_N, margin_N


def _gap(item: Item, score_R: Float[np.ndarray, " R"]) -> float:
    """Lowest right score less the highest wrong one."""
    gap = float(score_R[: item.right].min() - score_R[item.right :].max())
    return -math.inf if math.isnan(gap) else gap


def _margin(gap: float, spread: float) -> float:
    """tanh(gap / spread - 1) with the limits of a spread of 0; a row that could not be scored gives -1."""
    if gap == -math.inf:
        return -1.0
    if spread == 0:
        return float(np.sign(gap))
    return math.tanh(gap / spread - 1)


def _ties(means: Means) -> Float[np.ndarray, " R"]:
    return means[TIES][:, 1:] @ np.asarray(TIES_WEIGHTS)


def _check_ties(found: Sequence[Item]) -> None:
    tags = {item.tag for item in found if item.subset == TIES}
    if tags and not any(tag.replace(TIED, REF, 1) in tags for tag in tags if tag.startswith(TIED)):
        raise BadInput("RewardBench 2: Ties needs prompts with both a ref:N and a tied:N row; the file has none")


def _item(raw: Raw) -> Item:
    subset, prompt = text_field(raw.data, "subset"), text_field(raw.data, "prompt")
    if subset not in PUBLISHED:
        raise BadRow("subset", f"unknown: {subset!r}; known: {', '.join(PUBLISHED)}")
    name = raw.data.get("id")
    if name is None:
        raise BadRow("id", "missing")
    chosen, rejected = (scoring.texts_field(raw.data, key) for key in ("chosen", "rejected"))
    right = int(number_field(raw.data, "num_correct"))
    if right != len(chosen):
        raise BadRow("num_correct", f"{right}, but chosen holds {len(chosen)}")
    tag, cluster = "", ""
    if subset == TIES:
        tag = str(name)
        kind, _, number = tag.partition(":")
        if kind not in (REF, TIED) or not number:
            raise BadRow("id", f"expected ref:N or tied:N in Ties, got {tag!r}")
        if kind == TIED and right < 2:
            raise BadRow("num_correct", "a tied row needs two right answers")
        cluster = f"{TIES}:{number}"
    elif right != 1:
        raise BadRow("num_correct", f"expected 1 outside Ties, got {right}")
    return Item(
        name=f"{subset}:{name}",
        subset=subset,
        prompt=tuple(user_turn(prompt)),
        responses=(*chosen, *rejected),
        right=right,
        cluster=cluster,
        tag=tag,
    )
