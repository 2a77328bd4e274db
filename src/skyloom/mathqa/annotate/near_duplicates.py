"""Near duplicates: which earlier question a row's question nearly repeats, with the same numbers and the same answer.

Formula  questions in one spelling (core/text/latex.py); rows whose words are equal ask one question. Two questions are near when they
         hold the same numbers, as often, have an answer in common (other numbers or another answer make another problem), and J >=
         threshold, J the exact Jaccard index of their sets of words in a row, or the cosine of their embeddings reaches `cosine`
Source   core/text/minhash.py finds the candidates of the first kind (Broder 1997); the rules about numbers and answers are ours
Flow     collect -> synthesize -> [curate: ANNOTATE -> decide/near_duplicates] -> train; a fit over the rows still alive
Run      skyloom run skywork_math
Limits   Rows that share one question are no near duplicates of one another, however alike their responses: several solutions of a problem
         are wanted. A near copy whose answer is wrong is not found: the check of answers is. Misses 1 in 1,000 pairs at the threshold.
         `cosine` compares all questions of one answer and the same numbers with one another: quadratic in the largest such group
Shapes   N rows, D different questions with one of their answers, M pairs of them, X dimensions
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.text import embed, minhash
from skyloom.core.text.embed import EmbedConfig
from skyloom.core.text.items import GRID
from skyloom.core.text.latex import plain
from skyloom.core.text.minhash import Rule, Words
from skyloom.core.text.normal import SPELLED, normal

KIND: str = "fit"
VERSION: int = 2
READS: tuple[str, ...] = ("row", "question", "answer")
WRITES: dict[str, pl.DataType] = {
    "near_duplicates.question": pl.Int64(),  # row key of the first row that asks the same question
    "near_duplicates.like": pl.Int64(),  # that of the earlier question that it is most like; null for none
    "near_duplicates.similarity": pl.Float64(),  # Jaccard index or cosine, 0 to 1; null for none
    "near_duplicates.layer": pl.String(),  # minhash or embedding
}
MOST_WORDS: int = 1 << 24
"""Words of the candidates that are verified at once: about 0.5 GB of shingles."""
CHUNK: int = 4096
"""Questions whose words stand in memory at once."""
EMBEDDED: int = 1 << 16
"""Questions that are embedded at once: a model is loaded once for so many."""
PRODUCTS: int = 1 << 26
"""Cosines that stand in memory at once."""
TIE: float = 1e-12
I64 = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """What counts as near."""

    threshold: float = 0.8
    """Smallest Jaccard index, above 0 and at most 1."""
    shingle: int = 3
    """Words in a row that make one member of a set, at least 1."""
    cosine: float | None = None
    """Smallest cosine of embeddings, above 0 and at most 1; None looks at words in a row alone. Read by eye on GSM8K and MATH: 0.65 for
    `hashed`, 0.85 for all-MiniLM-L6-v2; of the pairs above these about half are one problem, the others one template (ours)."""
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    """What turns questions into points."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a cosine that says nothing."""
        if self.cosine is not None and not 0 < self.cosine <= 1:
            raise ValueError(f"cosine={self.cosine} must be above 0 and at most 1")


class _Near(NamedTuple):
    """A question and an earlier one that it is like, by their places in D."""

    later: int
    similarity: float
    earlier: int
    layer: str


def inputs(config: Config) -> tuple[Path, ...]:
    """The embedding model's folder, where one is used."""
    return embed.inputs(config.embed) if config.cosine is not None else ()


def fit(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """The question that each row asks and the earlier one that it is most like. Raises BadInput for a threshold outside (0, 1]."""
    rule = Rule(threshold=config.threshold, shingle=config.shingle)
    said_N = pl.Series("said", [normal(plain(text)) or text for text in rows_N["question"]], dtype=pl.String)
    answer_N = pl.Series("answer", [normal(plain(text)) or text for text in rows_N["answer"]], dtype=pl.String)
    asked = (
        pl.DataFrame([said_N, answer_N, rows_N["row"]])
        .group_by("said", maintain_order=True)
        .agg(pl.col("row").first(), pl.col("answer").unique(maintain_order=True))
    )
    asked_D = _alike(asked)
    row_D: list[int] = asked_D["row"].to_list()
    best: dict[int, _Near] = {}
    for near in (*_by_words(asked_D, rule), *_by_points(asked_D, config)):
        known = best.get(row_D[near.later])
        if known is None or (-near.similarity, near.earlier) < (-known.similarity, known.earlier):
            best[row_D[near.later]] = near
    told = [(row, row_D[near.earlier], near.similarity, near.layer) for row, near in best.items()]
    like = pl.DataFrame(told, schema=WRITES, orient="row")
    asked_N = said_N.to_frame().join(
        asked.select("said", pl.col("row").alias("near_duplicates.question")), on="said", maintain_order="left"
    )
    return asked_N.join(like, on="near_duplicates.question", how="left", maintain_order="left").select(*WRITES)


def _alike(asked: pl.DataFrame) -> pl.DataFrame:
    """said, row, kind of each question with one of its answers, in the order of the questions. Equal kinds: the same numbers as often, in
    digits or spelled, and the same answer; a question that shares its kind with no other is left out."""
    numbers = [" ".join(sorted(w for w in text.split() if w in SPELLED or w[0].isdecimal())) for text in asked["said"]]
    kind: pl.Expr = pl.struct("numbers", "answer").rank("dense").cast(pl.Int64)
    asked_D = asked.with_columns(pl.Series("numbers", numbers, dtype=pl.String)).explode("answer")
    return asked_D.select("said", "row", kind.alias("kind")).filter(pl.len().over("kind") > 1)


def _by_words(asked_D: pl.DataFrame, rule: Rule) -> Iterator[_Near]:
    """Pairs of one kind that share enough words in a row."""
    said: list[str] = asked_D["said"].to_list()
    kind_D: I64 = asked_D["kind"].to_numpy()
    parts = [minhash.sketch(Words.of(said[start : start + CHUNK]), rule)[0] for start in range(0, len(said), CHUNK)]
    if not parts:
        return
    # Turned by its kind, no signature meets one of another kind: templates with other numbers would fill the buckets and hide the copies.
    signature_DK = np.concatenate(parts) ^ kind_D.astype(np.uint32)[:, None]
    count_D = np.fromiter((text.count(" ") + 1 for text in said), np.int64, len(said))
    for pair_M2 in minhash.blocks(minhash.candidates(signature_DK, rule), count_D, MOST_WORDS):
        used, at_M = np.unique(pair_M2, return_inverse=True)
        one_M, other_M = at_M.reshape(-1, 2).T
        start_U: I64 = np.arange(len(used))
        sets = minhash.sets(Words.of([said[k] for k in used.tolist()]), start_U, start_U + 1, rule)
        jaccard_M = minhash.jaccards(sets, one_M, sets, other_M)
        same_M = kind_D[pair_M2[:, 0]] == kind_D[pair_M2[:, 1]]
        for m in np.flatnonzero(same_M & (jaccard_M >= rule.threshold - TIE)).tolist():
            yield _Near(int(pair_M2[m, 1]), float(jaccard_M[m]), int(pair_M2[m, 0]), "minhash")


def _by_points(asked_D: pl.DataFrame, config: Config) -> Iterator[_Near]:
    """Each question with the nearest earlier one of its kind; whole numbers, so that the order of adding changes nothing."""
    if config.cosine is None or not asked_D.height:
        return
    said, kind_D = asked_D["said"].to_list(), asked_D["kind"].to_numpy()
    point_DX = np.concatenate([
        np.rint(embed.embed(said[start : start + EMBEDDED], config.embed) * GRID).astype(np.int16)
        for start in range(0, len(said), EMBEDDED)
    ])  # fmt: skip
    order_D = np.argsort(kind_D, kind="stable")
    for group in np.split(order_D, np.flatnonzero(np.diff(kind_D[order_D])) + 1):
        point_GX = point_DX[group].astype(np.float32)
        step: int = max(1, PRODUCTS // len(group))
        for start in range(0, len(group), step):
            stop = min(start + step, len(group))
            cosine_TG = np.tril(
                point_GX[start:stop] @ point_GX[:stop].T / GRID**2, start - 1
            )  # zero: itself, later ones
            near_T = cosine_TG.argmax(axis=1)
            for t, k in enumerate(near_T.tolist()):
                if cosine_TG[t, k] >= config.cosine:
                    yield _Near(int(group[start + t]), min(float(cosine_TG[t, k]), 1.0), int(group[k]), "embedding")


def _told(question: int, like: int | None, similarity: float | None) -> dict[str, Any]:  # Any: column values
    return dict(zip(WRITES, (question, like, similarity, None if like is None else "minhash"), strict=True))


_LONG: str = (
    "A baker makes 12 loaves each day and sells them for $3 apiece. How much money does the baker take in over 5 days"
)
EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: as above
    (
        {"row": 4, "question": f"{_LONG}?", "answer": "180"},
        {"row": 5, "question": f"{_LONG} of work?", "answer": "180"},
        {"row": 6, "question": f"{_LONG.replace('12', '11')}?", "answer": "165"},
        {"row": 7, "question": f"{_LONG.replace('$', '')}!", "answer": "180"},
    ),
    (_told(4, None, None), _told(5, 4, 22 / 24), _told(6, None, None), _told(4, None, None)),
)
