"""Correct: how likely the row's answer is right, from every layer of verification that spoke, calibrated against gold answers.

Formula  a row is right or wrong (unseen); each layer is a witness with error rates of its own, silent where it is null:
             logit P = log-odds of the base rate + sum over witnesses of log P(what it says | right) / P(what it says | wrong)
         witnesses: gold (verify.equal), backward, substitution, arithmetic say true or false; k of m other votes agree: beta-binomial.
         Rates by EM over all rows, with gold or without; base rate of an operator and level, drawn to the pool's by SHRINK rows.
         Where LEAST rows have a gold, these alone teach the error rates (or, with hardly a wrong row, the rates of the wrong would
         explain whatever new questions do to a layer) and the base rates are learnt everywhere.
         Witnesses that err together make P too sure, so `blind`, P without the gold, is recalibrated: logit blind -> a + b logit
         blind, fitted to verify.equal of the rows with gold; then the gold's own evidence is added. Folds of seeds: a row's rates
         and its a, b are learnt without the golds of its seed
Source   Dawid & Skene 1979 (EM for error rates of observers); Platt 1999 (the logistic recalibration); use for answers: ours
Flow     collect -> synthesize -> [curate: verify, backward, substitution -> ANNOTATE -> decide/correct] -> train; a fit over the rows alive
Run      --set curate.correct.folds=10
Limits   New questions are judged by error rates that questions with a gold answer taught: where `evol` makes a layer err more often than
         `rephrase` does, P is off for it. With fewer than LEAST golds nothing is recalibrated, and P rests on the model and its priors.
         Put it before deciders that drop by gold or votes: a fit that sees no wrong row learns nothing about them.
Shapes   N rows, U different patterns, W witnesses
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, expit, logit, psi

from skyloom.core.ledger.annotate import AnnotatorConfig

KIND: str = "fit"
VERSION: int = 1
READS: tuple[str, ...] = (
    "seed", "operator", "level", "response", "votes", "verify.equal", "verify.agreement", "backward.asked", "backward.right",
    "substitution.holds", "arithmetic.checked", "arithmetic.wrong",
)  # fmt: skip
WRITES: dict[str, pl.DataType] = {
    "correct.p": pl.Float64(),  # P(the answer is right), 0 to 1
    "correct.blind": pl.Float64(),  # the same without its gold
    "correct.stratum": pl.String(),  # its difficulty: level 1 to 5, or steps 1 to 5 where the seed has no level
    "correct.layers": pl.String(),  # which spoke: gold, votes, backward, substitution, arithmetic; empty: base rate alone
}
Float = NDArray[np.float64]
Layer = Literal["gold", "votes", "backward", "substitution", "arithmetic"]
LAYERS: tuple[Layer, ...] = ("gold", "votes", "backward", "substitution", "arithmetic")

PRIOR: Final[
    dict[str, tuple[float, float, float]]
] = {  # P(true | right), P(true | wrong), rows that this counts for: ours
    "gold": (0.98, 0.01, 50.0),
    "backward": (0.8, 0.2, 5.0),
    "substitution": (0.95, 0.1, 5.0),
    "arithmetic": (0.9, 0.5, 5.0),
}
WITNESSES: tuple[str, ...] = tuple(PRIOR)
GOLD: int = 0  # place of the gold among the witnesses
VOTES: Final[Float] = np.log(
    [[4.0, 1.0], [1.0, 4.0]]
)  # of right and wrong rows: log alpha, log beta of the share that agrees
SHRINK: float = 50.0
LEAST: int = 100
"""Rows with gold from which they alone teach the error rates, and P is recalibrated (ours)."""
STEPS: int = 5
ROUNDS, CLOSE = 200, 1e-4
"""EM ends after so many rounds, or when no row's P moves further."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Which layers are heard."""

    layers: tuple[Layer, ...] = LAYERS
    """A layer that is left out is silent; without gold nothing is recalibrated."""
    folds: int = 5
    """At least 2."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for too few folds or no layers."""
        if self.folds < 2:
            raise ValueError(
                f"folds={self.folds} must be at least 2, or a row's own gold would say what its layers are worth"
            )
        if not self.layers:
            raise ValueError(f"layers: name at least one of {', '.join(LAYERS)}")


class _Rates(NamedTuple):
    """What EM learns."""

    true_2W: Float
    """P(true | right), P(true | wrong) of each witness."""
    votes_22: Float
    base_G: Float
    """Share of right rows of a group."""


class _Rows(NamedTuple):
    """Rows, or their different patterns with how many rows have each."""

    said_NW: Float
    """1 true, 0 false, NaN silent; the gold first."""
    agree_N: Float
    others_N: Float
    """Votes but the row's own; 0: none."""
    group_N: NDArray[np.int64]
    count_N: Float

    @property
    def blind(self) -> "_Rows":
        """The same without their golds."""
        return self._replace(said_NW=np.where(np.arange(len(WITNESSES)) == GOLD, np.nan, self.said_NW))

    def where(self, here_N: NDArray[np.bool_]) -> "_Rows":
        """Some of them."""
        said_NW, agree_N, others_N, group_N, count_N = self
        return _Rows(said_NW[here_N], agree_N[here_N], others_N[here_N], group_N[here_N], count_N[here_N])


def fit(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """P with and without the gold, and the layers that spoke."""
    rows: _Rows = _read(rows_N, config)
    fold_N: NDArray[np.int64] = _folds(rows_N["seed"], config.folds)
    right_N: Float = rows.said_NW[:, GOLD]
    sure_N, gold_N = np.zeros(rows_N.height), np.zeros(rows_N.height)
    for fold in np.unique(fold_N).tolist():
        here_N = fold_N == fold
        taught_N = ~here_N & ~np.isnan(right_N)
        seen = rows._replace(said_NW=np.where(here_N[:, None], rows.blind.said_NW, rows.said_NW))
        rates: _Rates = _learnt(_patterns(seen))
        a, b = _recalibrated(_log_odds(rows.where(taught_N).blind, rates), right_N[taught_N])
        here: _Rows = rows.where(here_N)
        blind_N: Float = _log_odds(here.blind, rates)
        sure_N[here_N] = a + b * blind_N
        gold_N[here_N] = _log_odds(here, rates) - blind_N
    spoke = np.column_stack([~np.isnan(rows.said_NW[:, :1]), rows.others_N > 0, ~np.isnan(rows.said_NW[:, 1:])])
    names = [",".join(name for name, heard in zip(LAYERS, heard_L, strict=True) if heard) for heard_L in spoke.tolist()]
    return pl.DataFrame(
        {
            "correct.p": expit(sure_N + gold_N),
            "correct.blind": expit(sure_N),
            "correct.stratum": _strata(rows_N),
            "correct.layers": names,
        },
        schema=WRITES,
    )


def _strata(rows_N: pl.DataFrame) -> pl.Series:
    """Seeds without a level are told apart by their rows' lines of working, in five parts of equal count.

    Not by agreement: votes already speak in P, and what a level evens out would be their voice.
    """
    lines_N: pl.Expr = pl.when(pl.col("level").is_null()).then(pl.col("response").str.count_matches("\n"))
    fifth_N: pl.Expr = (lines_N.rank("average") * STEPS / lines_N.count()).ceil().cast(pl.Int64)
    level_N: pl.Expr = pl.format("level {}", "level")
    return rows_N.select(pl.coalesce(level_N, pl.format("steps {}", fifth_N)).alias("stratum"))["stratum"]


# --- what the layers say ---------------------------------------------------------------------------------------------------


def _read(rows_N: pl.DataFrame, config: Config) -> _Rows:
    asked_N, checked_N, votes_N = (
        pl.col("backward.asked"), pl.col("arithmetic.checked"), pl.col("votes").list.len().fill_null(0).cast(pl.Int64),
    )  # fmt: skip
    says: dict[str, pl.Expr] = {
        "gold": pl.col("verify.equal"),
        "backward": pl.when(asked_N > 0).then(pl.col("backward.right") == asked_N),
        "substitution": pl.col("substitution.holds"),
        "arithmetic": pl.when(checked_N > 0).then(pl.col("arithmetic.wrong") == 0),
    }
    heard = [(says[name] if name in config.layers else pl.lit(None)).cast(pl.Float64).alias(name) for name in WITNESSES]
    others_N: pl.Expr = pl.when("votes" in config.layers).then(votes_N - 1).otherwise(0).clip(0)
    agree_N: pl.Expr = (pl.col("verify.agreement") * votes_N - 1).round().clip(0)
    read = rows_N.select(
        *heard,
        others_N.cast(pl.Float64).alias("others"),
        pl.when(others_N > 0).then(agree_N).otherwise(0.0).fill_null(0.0).alias("agree"),
        pl.struct("operator", "level").rank("dense").alias("group"),
    )
    said_NW: Float = read.select(WITNESSES).to_numpy().astype(np.float64)
    agree, others = (read[name].to_numpy().astype(np.float64) for name in ("agree", "others"))
    return _Rows(said_NW, agree, others, read["group"].to_numpy().astype(np.int64) - 1, np.ones(rows_N.height))


def _folds(seed_N: pl.Series, folds: int) -> NDArray[np.int64]:
    """Fold of each row: a hash of its seed, so that which other rows are there moves no seed to another fold."""
    places = {
        seed: int.from_bytes(hashlib.blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=8).digest()) % folds
        for seed in seed_N.unique().to_list()
    }
    return np.fromiter((places[seed] for seed in seed_N.to_list()), np.int64, len(seed_N))


def _patterns(rows: _Rows) -> _Rows:
    """The different rows, counted: EM costs the same for a thousand rows and for millions."""
    table = np.column_stack([np.nan_to_num(rows.said_NW, nan=-1.0), rows.agree_N, rows.others_N, rows.group_N])
    unique_U, count_U = np.unique(table, axis=0, return_counts=True)
    said = unique_U[:, : len(WITNESSES)]
    agree, others, group = unique_U[:, len(WITNESSES) :].T
    return _Rows(np.where(said < 0, np.nan, said), agree, others, group.astype(np.int64), count_U.astype(np.float64))


# --- what each layer is worth ----------------------------------------------------------------------------------------------


def _learnt(rows: _Rows) -> _Rates:
    """EM from the priors; they also settle which of the two classes is the right one."""
    groups: int = int(rows.group_N.max()) + 1
    rates = _Rates(np.array(list(PRIOR.values()))[:, :2].T, VOTES, np.full(groups, 0.7))
    right_N: Float = expit(_log_odds(rows, rates))
    for _ in range(ROUNDS):
        rates = _rates(rows, right_N, rates)
        before_N, right_N = right_N, expit(_log_odds(rows, rates))
        if np.abs(right_N - before_N).max() < CLOSE:
            break
    return rates


def _rates(rows: _Rows, right_N: Float, before: _Rates) -> _Rates:
    """The most likely rates where right_N is P(right): counts, with the prior's rows among them."""
    groups: int = len(before.base_G)
    class_2N: Float = np.stack([right_N, 1 - right_N]) * rows.count_N
    known_N = ~np.isnan(rows.said_NW[:, GOLD])
    taught_2N: Float = class_2N * known_N if rows.count_N[known_N].sum() >= LEAST else class_2N
    spoke_NW, true_NW = ~np.isnan(rows.said_NW), np.nan_to_num(rows.said_NW)
    prior_W3 = np.array(list(PRIOR.values()))
    true_2W: Float = (taught_2N @ true_NW + prior_W3[:, :2].T * prior_W3[:, 2]) / (
        taught_2N @ spoke_NW + prior_W3[:, 2]
    )
    pool: float = float((class_2N[0].sum() + 1) / (rows.count_N.sum() + 2))
    right_G = np.bincount(rows.group_N, class_2N[0], groups)
    base_G: Float = (right_G + SHRINK * pool) / (np.bincount(rows.group_N, rows.count_N, groups) + SHRINK)
    voted_N = rows.others_N > 0
    votes_22 = np.stack([
        _beta_binomial(rows.agree_N[voted_N], rows.others_N[voted_N], class_N[voted_N], prior, start)
        for class_N, prior, start in zip(taught_2N, VOTES, before.votes_22, strict=True)
    ])  # fmt: skip
    return _Rates(true_2W, votes_22, base_G)


def _beta_binomial(agree_N: Float, others_N: Float, weight_N: Float, prior_2: Float, start_2: Float) -> Float:
    """log alpha, log beta by weighted likelihood, with a normal prior of width 1 around `prior_2`."""
    table, at_N = np.unique(np.column_stack([agree_N, others_N]), axis=0, return_inverse=True)
    weight_U = np.bincount(at_N.ravel(), weight_N, len(table))
    agree_U, others_U = table.reshape(-1, 2).T

    def cost(log_2: Float) -> tuple[float, Float]:
        alpha, beta = np.exp(log_2)
        likely_U = betaln(agree_U + alpha, others_U - agree_U + beta) - betaln(alpha, beta)
        both_U = psi(alpha + beta) - psi(others_U + alpha + beta)
        rise_2U = np.stack([
            alpha * (psi(agree_U + alpha) - psi(alpha) + both_U),
            beta * (psi(others_U - agree_U + beta) - psi(beta) + both_U),
        ])  # fmt: skip
        away_2 = log_2 - prior_2
        return float(-(weight_U * likely_U).sum() + (away_2**2).sum() / 2), away_2 - rise_2U @ weight_U

    return np.asarray(minimize(cost, start_2, jac=True, method="L-BFGS-B", bounds=[(-4.0, 6.0)] * 2).x)


def _log_odds(rows: _Rows, rates: _Rates) -> Float:
    """logit P(right) of each row."""
    true_W, false_W = (np.log(part[0]) - np.log(part[1]) for part in (rates.true_2W, 1 - rates.true_2W))
    said_NW = np.where(np.isnan(rows.said_NW), 0.0, np.where(rows.said_NW > 0, true_W, false_W))
    votes_2N = [
        betaln(rows.agree_N + alpha, rows.others_N - rows.agree_N + beta) - betaln(alpha, beta)
        for alpha, beta in np.exp(rates.votes_22)
    ]
    return logit(rates.base_G)[rows.group_N] + said_NW.sum(axis=1) + votes_2N[0] - votes_2N[1]


def _recalibrated(z_M: Float, right_M: Float) -> tuple[float, float]:
    """a, b of the rising line a + b z that says best what is right; 0, 1 where too few golds can tell.

    Platt's targets, a little short of 0 and 1, and a normal prior around the line itself keep it from being infinitely steep.
    """
    rights, wrongs = float(right_M.sum()), float((1 - right_M).sum())
    if rights + wrongs < LEAST:
        return 0.0, 1.0
    target_M = np.where(right_M > 0, (rights + 1) / (rights + 2), 1 / (wrongs + 2))

    def cost(line_2: Float) -> float:
        logit_M = line_2[0] + np.exp(line_2[1]) * z_M
        return float((np.logaddexp(0, logit_M) - target_M * logit_M).sum() + (line_2**2).sum() / 2)

    a, log_b = minimize(cost, np.zeros(2), method="L-BFGS-B", bounds=[(-10.0, 10.0), (-4.0, 4.0)]).x
    return float(a), float(np.exp(log_b))


def _row(**columns: Any) -> dict[str, Any]:  # Any: column values
    return {**dict.fromkeys(READS), "seed": "world:0:1", "operator": "rephrase", "level": 1, "response": "", **columns}


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: as above
    (
        _row(votes=["4"], **{"verify.equal": True, "verify.agreement": 1.0}),
        _row(votes=["5", "4", "4"], **{"verify.agreement": 1 / 3, "arithmetic.checked": 2, "arithmetic.wrong": 1}),
        _row(votes=[], level=None),
    ),
    (
        {"correct.layers": "gold", "correct.stratum": "level 1"},
        {"correct.layers": "votes,arithmetic", "correct.stratum": "level 1"},
        {"correct.layers": "", "correct.stratum": "steps 5"},
    ),
)
