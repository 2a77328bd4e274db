"""Contamination: n words in a row that a pair shares with a benchmark prompt, in its prompt or in either response.

The index is exported by `evals` (hashes, no text). Each turn is looked up alone, so no match runs across two turns. The evidence
names the place, the characters, the words and the benchmark item of every hit.

Source   core/text/ngrams.py has the rule; responses are searched too, which Skywork's own script did not do
Flow     evals export the index -> [curate: ANNOTATE -> decide -> materialise] -> train
Run      skyloom run skywork_reward --smoke
Shapes   N rows of the ledger
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from skyloom.core.config import NOT_KEYED
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.text.ngrams import NgramIndex

KIND: str = "map"
READS: tuple[str, ...] = ("prompt", "chosen", "rejected")
WRITES: dict[str, pl.DataType] = {
    "contamination.prompt": pl.Int64(),  # words of the longest match in a turn of the prompt; 0 for none
    "contamination.chosen": pl.Int64(),
    "contamination.rejected": pl.Int64(),
    "contamination.evidence": pl.List(pl.String()),  # "prompt[0] 12-57, 9 words, ngram: item"
}
SIDES: tuple[str, ...] = ("prompt", "chosen", "rejected")
MOST_EVIDENCE: int = 8
"""Matches that are kept as evidence for one row; the counts see all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Which index."""

    index: Path | None = field(default=None, metadata=NOT_KEYED)
    """File of an NgramIndex; its content keys the cache. The pipeline puts the evaluation's own index where none is named;
    without any, every column is null, which the decider takes for unannotated."""


def inputs(config: Config) -> tuple[Path, ...]:
    """The index file, where one is set."""
    return (config.index,) if config.index is not None else ()


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Longest match of each part of a pair, and the evidence."""
    if config.index is None:
        return pl.DataFrame({name: [None] * rows_N.height for name in WRITES}, schema=WRITES)
    places: list[tuple[int, str, str]] = []  # (row, side, name of the place)
    texts: list[str] = []
    for row, (prompt, chosen, rejected) in enumerate(rows_N.select(READS).iter_rows()):
        for side, name, text in _parts(prompt, chosen, rejected):
            places.append((row, side, name))
            texts.append(text)
    words: dict[str, list[int]] = {side: [0] * rows_N.height for side in SIDES}
    evidence: list[list[str]] = [[] for _ in range(rows_N.height)]
    for query, item, rule, start, stop, count in (
        _index(config.index, config.index.stat().st_mtime_ns).query(texts).iter_rows()
    ):
        row, side, name = places[query]
        words[side][row] = max(words[side][row], count)
        if len(evidence[row]) < MOST_EVIDENCE:
            evidence[row].append(f"{name} {start}-{stop}, {count} words, {rule}: {item}")
    columns: dict[str, Sequence[Any]] = {f"contamination.{side}": words[side] for side in SIDES}  # Any: ints or lists
    return pl.DataFrame({**columns, "contamination.evidence": evidence}, schema=WRITES)


def _parts(prompt: Sequence[Mapping[str, str]], chosen: str, rejected: str) -> Iterator[tuple[str, str, str]]:
    for k, turn in enumerate(prompt):
        yield "prompt", f"prompt[{k}]", turn["content"]
    yield "chosen", "chosen", chosen
    yield "rejected", "rejected", rejected


@lru_cache(maxsize=2)
def _index(path: Path, changed: int) -> NgramIndex:
    del changed  # part of the cache key: a file written anew is read anew
    return NgramIndex.load(path)


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: column values
    ({"prompt": [{"role": "user", "content": "Name a colour."}], "chosen": "Blue.", "rejected": "Seven."},),
    (dict.fromkeys(WRITES),),
)
