"""Cross-fitted agreement: how likely each label is right, by judges that never saw the pair or a twin of it.

Formula  fold = hash of the prompt cluster mod K; margin m = r(chosen) - r(rejected) by the judge learnt from the other folds, mean of
         `repeats` draws. With noise e (share of wrong labels) and f(|m|) = P(the judge names the better side), it agrees with
         the label with
             A(|m|) = (1 - e) f + e (1 - f)
         A is fitted by isotonic regression on |m| (a swapped pair has the margin -m, so one curve serves both signs), e is
         1 - A over the surest quarter, f = (A - e) / (1 - 2e) cut to [1/2, SURE], and by Bayes
             P(right | agrees) = f (1 - e) / A        P(right | disagrees) = (1 - f)(1 - e) / (1 - A)
Source   cross-fitting against confirmation bias: Northcutt et al. 2021 (confident learning); isotonic: Zadrozny & Elkan 2002;
         `transfer`: Skywork-Reward's second stage for WildGuardMix (arXiv 2410.18451) and V2's gold reward model (2507.01352)
Flow     collect -> [curate: near_duplicates -> ANNOTATE -> decide -> materialise] -> train; a fit over the rows still alive
Run      --set curate.agreement.folds=10
Limits   Noise is told from an imperfect judge by its surest rows alone: where even those are hard, e is too high and P is cautious.
         It is noise at random that is found: a rule that the labels break always is learnt, not doubted.
Shapes   N rows, M rows of one calibration
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from skyloom.core.errors import BadInput
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.records import Message
from skyloom.core.stats import wilson
from skyloom.reward import judge as judges
from skyloom.reward.annotate.control_tokens import cut
from skyloom.reward.records import Pair
from skyloom.reward.settings import TrainConfig

KIND: str = "fit"
READS: tuple[str, ...] = ("row", "source", "prompt", "chosen", "rejected", "near.prompt_cluster")
WRITES: dict[str, pl.DataType] = {
    "agreement.margin": pl.Float64(),  # r(chosen) - r(rejected), out of fold; null where no judge could read the pair
    "agreement.right": pl.Float64(),  # P(the label is right), 0 to 1; null where the judge is not better than a coin
    "agreement.fold": pl.Int64(),  # of the first draw: its judge learnt from the other folds
}
Float = NDArray[np.float64]
SURE: float = 0.99
"""No judge is surer than this: on real pairs its steepest step was wrong more often than its curve says (ours)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Who judges, and from what."""

    judge: Literal["linear", "model"] = "linear"
    """`linear`: hashed features, seconds on a laptop; `model`: the reward model of `train`, trained once a fold."""
    folds: int = 5
    """At least 2."""
    repeats: int = 4
    """How often the folds are drawn anew, at least 1; a row's margin is the mean. One draw leaves a fifth of the rows unlearnt; with
    four, wrong labels rank above what the same judge's own loss says of them (EXPERIMENTS.md). `model` trains folds * repeats times."""
    seed: int = 0
    """Draws the folds."""
    transfer: tuple[str, ...] = ()
    """Sources that are judged and never learnt from: by judges of all other sources."""
    linear: judges.LinearConfig = field(default_factory=judges.LinearConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    """Settings of `model`."""
    least_rows: int = 500
    """Judged rows from which a source gets a calibration of its own; smaller sources share one (ours)."""
    surest: float = 0.25
    """Share of the rows with the largest |margin| that tells the noise, above 0 and at most 1 (ours)."""


class Curve(NamedTuple):
    """One calibration."""

    noise: float
    """Share of wrong labels, 0 to 1/2."""
    right_M: Float


def fit(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Margin, P(right) and fold of each row. Raises BadInput for settings that leave nothing to learn from."""
    learns_N = _check(rows_N, config)
    # By row key: the order in which parts were collected must not reach the last digit.
    order_N = rows_N["row"].arg_sort().to_numpy()
    # Sides as a repair would leave them: a control token on one side would teach the judge nothing else.
    sides = (cut(pl.col(side)) for side in ("chosen", "rejected"))
    pairs = [_pair(*cells) for cells in rows_N[order_N].select("prompt", *sides).iter_rows()]
    prompts, cluster_N = [pair.prompt for pair in pairs], rows_N["near.prompt_cluster"].gather(order_N)
    fold_RN = [folds_of(prompts, cluster_N, config, repeat) for repeat in range(config.repeats)]
    learns_N = learns_N[order_N]
    made = judges.trained(pairs, config.train) if config.judge == "model" else judges.linear(pairs, config.linear)
    margin_N = np.mean([_margins(made, learns_N, fold_N, config) for fold_N in fold_RN], axis=0)
    right_N = _right(margin_N, rows_N["source"].gather(order_N).cast(pl.String), config)
    back_N = np.argsort(order_N)
    return pl.DataFrame(
        {
            "agreement.margin": pl.Series(margin_N[back_N]).fill_nan(None),
            "agreement.right": pl.Series(right_N[back_N]).fill_nan(None),
            "agreement.fold": pl.Series(fold_RN[0][back_N], dtype=pl.Int64),
        }
    )


def _margins(made: judges.Judge, learns_N: NDArray[np.bool_], fold_N: NDArray[np.int64], config: Config) -> Float:
    """Margins by one draw of the folds; NaN where nothing could be learnt or read."""
    margin_N = np.full(len(fold_N), np.nan)
    for fold in range(config.folds):
        learnt, judged = np.flatnonzero(learns_N & (fold_N != fold)), np.flatnonzero(fold_N == fold)
        if learnt.size and judged.size:
            margin_N[judged] = made(learnt, judged)
    return margin_N


def folds_of(
    prompts: Sequence[Sequence[Message]], cluster_N: pl.Series, config: Config, repeat: int = 0
) -> NDArray[np.int64]:
    """Fold of each row; rows of one cluster, or of one prompt where it has no cluster, share a fold.

    A hash of the seed and of the cluster's smallest prompt: which other rows are there moves no cluster to another fold.
    """
    texts = [_key(prompt) for prompt in prompts]
    frame = pl.DataFrame({"text": texts, "cluster": cluster_N})
    joint = pl.when(pl.col("cluster").is_null()).then(pl.col("text")).otherwise(pl.col("text").min().over("cluster"))
    names: list[str] = frame.select(joint.alias("name"))["name"].to_list()
    places = {name: _place(name, config, repeat) for name in set(names)}
    return np.fromiter((places[name] for name in names), np.int64, len(names))


def calibrate(margin_M: Float, surest: float) -> Curve:
    """P(right) of rows from their out-of-fold margins; NaN everywhere where the judge is not better than a coin.

    `surest`: share of the rows that tells the noise. A margin of 0 is no opinion: P is then 1 - noise.
    """
    agrees_M = (margin_M > 0) + 0.5 * (margin_M == 0)
    if not len(margin_M) or wilson(float(agrees_M.sum()), len(margin_M)).low <= 0.5:
        return Curve(float("nan"), np.full(len(margin_M), np.nan))
    sure_M = np.abs(margin_M)
    _, at_M, count_U = np.unique(sure_M, return_inverse=True, return_counts=True)
    mean_U = np.bincount(at_M, agrees_M) / count_U
    agreement_M = np.maximum(isotonic_regression(mean_U, weights=count_U).x[at_M], 0.5)
    top = np.argsort(-sure_M, kind="stable")[: max(1, round(surest * len(sure_M)))]
    noise = min(max(1 - float(agrees_M[top].mean()), 0.5 / len(top)), 0.49)
    better_M = np.clip((agreement_M - noise) / (1 - 2 * noise), 0.5, SURE)
    agreement_M = noise + (1 - 2 * noise) * better_M
    agreed_M = better_M * (1 - noise) / agreement_M
    opposed_M = (1 - better_M) * (1 - noise) / (1 - agreement_M)
    right_M = np.where(margin_M > 0, agreed_M, np.where(margin_M < 0, opposed_M, 1 - noise))
    return Curve(noise, right_M.clip(0, 1))  # rounding


def _check(rows_N: pl.DataFrame, config: Config) -> NDArray[np.bool_]:
    """bool, which rows may be learnt from."""
    rules = (
        (
            config.folds >= 2,
            f"folds is {config.folds}; at least 2 are needed, or a pair would be judged by what saw it",
        ),
        (config.repeats >= 1, f"repeats is {config.repeats}; it must be at least 1"),
        (0 < config.surest <= 1, f"surest is {config.surest}; it must be above 0 and at most 1"),
        (config.least_rows >= 1, f"least_rows is {config.least_rows}; it must be at least 1"),
    )
    for holds, problem in rules:
        if not holds:
            raise BadInput(f"agreement: {problem}")
    source_N = rows_N["source"].cast(pl.String)
    known = sorted(source_N.unique().to_list())
    unknown = [name for name in config.transfer if name not in known]
    if unknown:
        raise BadInput(f"agreement: no source {unknown[0]!r} for transfer; known: {', '.join(known)}")
    learns_N = ~source_N.is_in(list(config.transfer)).to_numpy()
    if rows_N.height and not learns_N.any():
        raise BadInput("agreement: transfer names every source, so nothing is left to learn from")
    return learns_N


def _pair(prompt: Sequence[dict[str, str]], chosen: str, rejected: str) -> Pair:
    turns = tuple(Message(role=turn["role"], content=turn["content"]) for turn in prompt)
    return Pair(prompt=turns, chosen=chosen, rejected=rejected)


def _right(margin_N: Float, source_N: pl.Series, config: Config) -> Float:
    """Calibrated P(right), source by source where there are rows enough."""
    judged = pl.DataFrame({"source": source_N, "judged": ~np.isnan(margin_N)}).with_row_index("at").filter("judged")
    own = pl.col("at").len().over("source") >= config.least_rows
    groups = judged.with_columns(pl.when(own).then("source").alias("group"))
    right_N = np.full(len(margin_N), np.nan)
    for _, members in groups.group_by("group", maintain_order=True):
        at = members["at"].to_numpy()
        right_N[at] = calibrate(margin_N[at], config.surest).right_M
    return right_N


def _key(prompt: Sequence[Message]) -> str:
    return "\x1e".join(f"{turn.role}\x1f{' '.join(turn.content.casefold().split())}" for turn in prompt)


def _place(name: str, config: Config, repeat: int) -> int:
    draw = f"{config.seed}\x1d{name}" + (f"\x1d{repeat}" if repeat else "")
    text = draw.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) % config.folds


def _row(row: int, prompt: str, chosen: str) -> dict[str, Any]:  # Any: column values
    asked = [{"role": "user", "content": prompt}]
    return dict(zip(READS, (row, "pairs", asked, chosen, "No.", None), strict=True))


# Far too few rows: no feature has evidence, every margin is a tie, and nothing is said about any label.
EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: as above
    (_row(0, "Say yes.", "Yes."), _row(1, "Say YES. ", "Sure."), _row(2, "Agree!", "I do.")),
    tuple({"agreement.margin": 0.0, "agreement.right": None, "agreement.fold": fold} for fold in (1, 1, 3)),
)
