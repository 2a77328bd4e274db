"""Learnt offsets: how much the annotator's scores favour each origin, from a judge that does not know the scores.

Formula  `agreement`: logit P(margin > 0) = a_category + b * score + c_origin, by maximum likelihood; b * (score + offset) is then
             as good for every origin when offset = c_origin / b, against the reference origin (offset 0);
             se by the delta method: se² = (V_cc + offset² V_bb - 2 offset V_cb) / b², V the inverse information
         `quantiles`: offset = median score of the reference - median score of the origin, category by category, mean weighted by
             the origin's rows; se from the order statistics around each median (Conover 1999, 3.2)
Source   the problem: Skywork-Reward (arXiv 2410.18451), whose -0.1 and -0.05 were set by hand; the estimators are ours
Flow     collect -> [curate: scores, agreement -> ANNOTATE -> decide/top_k with learnt=true] -> train
Run      --set curate.offsets.method=quantiles
Limits   `agreement` needs labels that are wrong more often where quality is low, and a score that tells quality within an origin; noise
         in that score flattens b and pulls offsets towards the gap in mean scores. `quantiles` assumes that all origins are equally
         good: it would take the lead from a generator that earned it.
Shapes   N rows, P parameters (score, origins but the reference, categories)
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from skyloom.core.errors import BadInput
from skyloom.core.ledger.annotate import AnnotatorConfig

KIND: str = "fit"
READS: tuple[str, ...] = ("source", "scores.origin", "scores.category", "scores.mean", "agreement.margin")
WRITES: dict[str, pl.DataType] = {
    "offsets.learnt": pl.Float64(),  # to add to the row's score, in score units; null where refused
    "offsets.se": pl.Float64(),  # its standard error
    "offsets.evidence": pl.Categorical(),  # what the number rests on, or why there is none
}
NORMAL: float = 1.959964
STEPS, RIDGE = 50, 1e-6  # RIDGE: a category in which every row agrees has no finite intercept
Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """How offsets are learnt, and from how much."""

    method: Literal["agreement", "quantiles"] = "agreement"
    sources: tuple[str, ...] = ()
    """Sources scored by one annotator in one unit, which are pooled; empty pools all. The others get no offset."""
    reference: str = ""
    """The origin whose offset is 0; empty takes the one with the most rows."""
    least_rows: int = 100
    """Rows that an origin must have, and a category to get an intercept of its own, at least 2 (ours)."""
    least_z: float = 3.0
    """How many standard errors b must lie above 0: below that, c / b has no usable error (Fieller 1954); the number is ours."""


class Learnt(NamedTuple):
    """The offset of one origin."""

    offset: float | None
    se: float | None
    evidence: str


def fit(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Offset, error and evidence of each row, by its origin. Raises BadInput for a source or reference that is not there."""
    if config.least_rows < 2 or config.least_z <= 0:
        raise BadInput("offsets: least_rows must be at least 2 and least_z above 0")
    known = rows_N["source"].cast(pl.String).unique().sort().to_list()
    unknown = [name for name in config.sources if name not in known]
    if unknown:
        raise BadInput(f"offsets: no source {unknown[0]!r}; known: {', '.join(known)}")
    rows = rows_N.select(
        pl.lit(True) if not config.sources else pl.col("source").cast(pl.String).is_in(list(config.sources)),
        pl.col("scores.origin").cast(pl.String).fill_null("").alias("origin"),
        pl.col("scores.category").cast(pl.String).fill_null("").alias("category"),
        pl.col("scores.mean").alias("score"),
        pl.col("agreement.margin").alias("margin"),
    )
    rows.columns = ["pooled", *rows.columns[1:]]
    usable = rows.filter("pooled", pl.col("origin") != "", pl.col("score").is_finite())
    if config.method == "agreement":
        usable = usable.filter(pl.col("margin").is_not_null())
    learnt = _learn(usable, config)
    unseen = Learnt(None, None, "refused: no origin, or none of its rows has what the method reads")
    outside = Learnt(None, None, "refused: not among the pooled sources")
    told = [
        learnt.get(origin, unseen) if pooled else outside
        for pooled, origin in rows.select("pooled", "origin").iter_rows()
    ]
    return pl.DataFrame(told, schema=WRITES, orient="row")


def _learn(usable: pl.DataFrame, config: Config) -> dict[str, Learnt]:
    """Offset by origin, of the origins that have a usable row."""
    counts = usable["origin"].value_counts().sort(["count", "origin"], descending=[True, False])
    sizes: dict[str, int] = dict(counts.iter_rows())
    if not sizes:
        return {}
    reference = config.reference or next(iter(sizes))
    if reference not in sizes:
        raise BadInput(f"offsets: no scored row of the reference {reference!r}; known: {', '.join(sorted(sizes))}")
    few = f"rows; {config.least_rows} are needed"
    if sizes[reference] < config.least_rows:
        return {
            name: Learnt(None, None, f"refused: reference {reference} has {sizes[reference]} {few}") for name in sizes
        }
    large = sorted(name for name, size in sizes.items() if size >= config.least_rows and name != reference)
    small = {name: Learnt(None, None, f"refused: {sizes[name]} {few}") for name in sizes if name not in large}
    own = {reference: Learnt(0.0, 0.0, f"{config.method}: the reference, {sizes[reference]} rows")}
    method = _by_agreement if config.method == "agreement" else _by_quantiles
    kept = usable.filter(pl.col("origin").is_in([reference, *large]))
    return {**small, **own, **method(kept, reference, large, config)}


def _by_agreement(rows: pl.DataFrame, reference: str, origins: list[str], config: Config) -> dict[str, Learnt]:
    """Offsets c / b of all origins from one logistic regression."""
    sizes: dict[str, int] = dict(rows["category"].value_counts().iter_rows())
    own = sorted(name for name, size in sizes.items() if size >= config.least_rows)
    groups = [pl.col("category") == name for name in own]
    if len(own) < len(sizes):
        groups.append(~pl.col("category").is_in(own))  # what is too small for an intercept of its own shares one
    design = rows.select(
        (pl.col("score") - pl.col("score").mean()).alias("score"),
        *(each.cast(pl.Float64).alias(f"c{k}") for k, each in enumerate(pl.col("origin") == name for name in origins)),
        *(each.cast(pl.Float64).alias(f"a{k}") for k, each in enumerate(groups)),
    )
    weight_P, variance_PP = _logistic(design.to_numpy(), (rows["margin"] > 0).to_numpy())
    b, error = float(weight_P[0]), float(np.sqrt(variance_PP[0, 0]))
    slope = f"slope {b:.3g} ± {error:.2g} a score unit, {rows.height} rows"
    if b < config.least_z * error:
        return {
            name: Learnt(None, None, f"refused: {slope}: not {config.least_z:g} errors above 0")
            for name in [*origins, reference]
        }
    learnt: dict[str, Learnt] = {}
    for k, name in enumerate(origins, 1):
        offset = float(weight_P[k]) / b
        se2 = (variance_PP[k, k] + offset**2 * variance_PP[0, 0] - 2 * offset * variance_PP[0, k]) / b**2
        learnt[name] = Learnt(offset, float(np.sqrt(se2)), f"agreement: {slope}; against {reference}")
    return learnt


def _by_quantiles(rows: pl.DataFrame, reference: str, origins: list[str], config: Config) -> dict[str, Learnt]:
    """Differences of medians."""
    del config
    scores = {
        (origin, category): np.sort(group["score"].to_numpy())
        for (origin, category), group in rows.group_by("origin", "category")
    }
    learnt: dict[str, Learnt] = {}
    for name in origins:
        shared = [
            (len(scores[name, category]), _median(scores[reference, category]), _median(scores[name, category]))
            for category in sorted(category for origin, category in scores if origin == name)
            if (reference, category) in scores
        ]
        total = sum(size for size, _, _ in shared)
        if not total:
            learnt[name] = Learnt(None, None, f"refused: shares no category with {reference}")
            continue
        offset = sum(size * (base[0] - own[0]) for size, base, own in shared) / total
        variance = sum(size**2 * (base[1] ** 2 + own[1] ** 2) for size, base, own in shared) / total**2
        evidence = f"quantiles: {total} rows in {len(shared)} categories; against {reference}, assumed equally good"
        learnt[name] = Learnt(float(offset), float(np.sqrt(variance)), evidence)
    return learnt


def _median(sorted_N: Float) -> tuple[float, float]:
    """(median, its standard error) of sorted values."""
    half = NORMAL * np.sqrt(len(sorted_N)) / 2
    low, high = (
        max(0, int((len(sorted_N) - 1) / 2 - half)),
        min(len(sorted_N) - 1, int(np.ceil(len(sorted_N) / 2 + half))),
    )
    return float(np.median(sorted_N)), float(sorted_N[high] - sorted_N[low]) / (2 * NORMAL)


def _logistic(x_NP: Float, y_N: NDArray[np.bool_]) -> tuple[Float, Float]:
    """Maximum-likelihood weights and their covariance, by Newton steps."""
    weight_P = np.zeros(x_NP.shape[1])
    for _ in range(STEPS):
        slope_P, information_PP = _score(x_NP, y_N, weight_P)
        step_P = np.linalg.solve(information_PP, slope_P)
        weight_P = weight_P + step_P
        if np.abs(step_P).max() < 1e-9:
            break
    return weight_P, np.asarray(np.linalg.inv(_score(x_NP, y_N, weight_P)[1]), np.float64)


def _score(x_NP: Float, y_N: NDArray[np.bool_], weight_P: Float) -> tuple[Float, Float]:
    """Gradient and information of the log-likelihood. einsum, not BLAS: its sums do not depend on the number of threads."""
    p_N = expit(np.einsum("np,p->n", x_NP, weight_P))
    information_PP = np.einsum("np,n,nq->pq", x_NP, p_N * (1 - p_N), x_NP) + RIDGE * np.eye(len(weight_P))
    return np.einsum("np,n->p", x_NP, y_N - p_N) - RIDGE * weight_P, information_PP


def _row(origin: str, category: str, score: float | None) -> dict[str, Any]:  # Any: column values
    return dict(zip(READS, ("magpie", origin, category, score, None), strict=True))


EXAMPLE_CONFIG: Config = Config(method="quantiles", least_rows=2)
EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: as above
    (
        *(_row("pro", "Math", score) for score in (0.25, 0.5, 0.5, 0.75)),
        *(_row("air", "Math", score) for score in (0.75, 0.75)),
        _row("lone", "Math", 0.5),
    ),
    (
        *({"offsets.learnt": 0.0, "offsets.se": 0.0} for _ in range(4)),
        *({"offsets.learnt": -0.25} for _ in range(2)),
        {"offsets.learnt": None, "offsets.se": None},
    ),
)
