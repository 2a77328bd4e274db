"""Near duplicates: which earlier question a row's question nearly repeats, with the same numbers and the same answer.

Formula  questions in one spelling (core/text/latex.py); rows whose words are equal ask one question. Two questions are near when J >=
         threshold, J the exact Jaccard index of their sets of words in a row, or when the cosine of their embeddings reaches `cosine`;
         and both hold the same numbers, as often, and have an answer in common: other numbers or another answer make another problem
Source   core/text/minhash.py finds the candidates of the first kind (Broder 1997); the rules about numbers and answers are ours
Flow     collect -> synthesize -> [curate: ANNOTATE -> decide/near_duplicates] -> train; a fit over the rows still alive
Run      skyloom run skywork_math
Limits   Rows that share one question are no near duplicates of one another, however alike their responses: several solutions of a problem
         are wanted. A near copy whose answer is wrong is not found: the check of answers is. Misses 1 in 1,000 pairs at the threshold.
         `cosine` compares all questions with the same numbers with one another: quadratic in the largest such group
Shapes   N rows, Q different questions, M pairs of them
"""

from collections.abc import Iterator, Sequence
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
VERSION: int = 1
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
"""Questions whose words, or points, stand in memory at once."""
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
    """Smallest cosine of embeddings, above 0 and at most 1; None looks at words in a row alone."""
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    """What turns questions into points."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a cosine that says nothing."""
        if self.cosine is not None and not 0 < self.cosine <= 1:
            raise ValueError(f"cosine={self.cosine} must be above 0 and at most 1")


class _Near(NamedTuple):
    """A question and an earlier one that it is like."""

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
    asked_Q = (
        pl.DataFrame([said_N, answer_N, rows_N["row"]])
        .group_by("said", maintain_order=True)
        .agg(pl.col("row").first(), pl.col("answer").unique())
    )
    said: list[str] = asked_Q["said"].to_list()
    kind_Q: I64 = _kinds(said)
    answers: list[set[str]] = [set(each) for each in asked_Q["answer"].to_list()]
    best: dict[int, _Near] = {}
    for near in (*_by_words(said, rule), *_by_points(said, kind_Q, config)):
        same: bool = kind_Q[near.earlier] == kind_Q[near.later] and bool(answers[near.earlier] & answers[near.later])
        known = best.get(near.later)
        if same and (known is None or near.similarity > known.similarity):
            best[near.later] = near
    row_Q: list[int] = asked_Q["row"].to_list()
    told = [(row_Q[near.later], row_Q[near.earlier], near.similarity, near.layer) for near in best.values()]
    names: dict[str, Any] = dict(zip(WRITES, (pl.Int64(), pl.Int64(), pl.Float64(), pl.String()), strict=True))
    like = pl.DataFrame(told, schema=names, orient="row")
    asked = said_N.to_frame().join(
        asked_Q.select("said", pl.col("row").alias("near_duplicates.question")), on="said", maintain_order="left"
    )
    return asked.join(like, on="near_duplicates.question", how="left", maintain_order="left").select(*WRITES)


def _kinds(said: Sequence[str]) -> I64:
    """One number for questions that hold the same numbers as often, in digits or spelled."""
    codes: dict[tuple[str, ...], int] = {}
    numbers = (tuple(sorted(w for w in text.split() if w in SPELLED or w[0].isdecimal())) for text in said)
    return np.fromiter((codes.setdefault(each, len(codes)) for each in numbers), np.int64, len(said))


def _by_words(said: list[str], rule: Rule) -> Iterator[_Near]:
    """Pairs of questions that share enough words in a row."""
    parts = [minhash.sketch(Words.of(said[start : start + CHUNK]), rule)[0] for start in range(0, len(said), CHUNK)]
    if not parts:
        return
    count_Q = np.fromiter((text.count(" ") + 1 for text in said), np.int64, len(said))
    for pair_M2 in minhash.blocks(minhash.candidates(np.concatenate(parts), rule), count_Q, MOST_WORDS):
        used, at_M = np.unique(pair_M2, return_inverse=True)
        one_M, other_M = at_M.reshape(-1, 2).T
        start_D: I64 = np.arange(len(used))
        sets = minhash.sets(Words.of([said[k] for k in used.tolist()]), start_D, start_D + 1, rule)
        jaccard_M = minhash.jaccards(sets, one_M, sets, other_M)
        for m in np.flatnonzero(jaccard_M >= rule.threshold - TIE).tolist():
            yield _Near(int(pair_M2[m, 1]), float(jaccard_M[m]), int(pair_M2[m, 0]), "minhash")


def _by_points(said: list[str], kind_Q: I64, config: Config) -> Iterator[_Near]:
    """Pairs of questions with the same numbers whose points are close; whole numbers, so that the order of adding changes nothing."""
    if config.cosine is None:
        return
    order_Q = np.argsort(kind_Q, kind="stable")
    for group in np.split(order_Q, np.flatnonzero(np.diff(kind_Q[order_Q])) + 1):
        if len(group) < 2:
            continue
        point_QD = np.rint(embed.embed([said[k] for k in group.tolist()], config.embed) * GRID).astype(np.float32)
        for start in range(0, len(group), CHUNK):
            cosine_TQ = point_QD[start : start + CHUNK] @ point_QD.T / GRID**2
            for t, k in np.argwhere(cosine_TQ >= config.cosine).tolist():
                if k < start + t:
                    yield _Near(int(group[start + t]), min(float(cosine_TQ[t, k]), 1.0), int(group[k]), "embedding")


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
