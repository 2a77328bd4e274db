"""Duplicates: one key for rows that ask and say the same, whatever their case, blanks, punctuation and LaTeX style.

Formula  key = 64-bit hash of (words of the question, words of the response); the normal form is core/text/normal.py after
         core/text/latex.py. Numbers stay: another number is another problem
Source   ours; the paper names no rule of its own
Flow     collect -> synthesize -> [curate: ANNOTATE -> decide/duplicates] -> train -> evaluate -> report
Run      skyloom run skywork_math
Limits   Exact copies only; the normal form drops brackets, so the response is part of the key.
Shapes   N rows
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.text.latex import plain
from skyloom.core.text.normal import normal

KIND: str = "map"
VERSION: int = 2
READS: tuple[str, ...] = ("question", "response")
WRITES: dict[str, pl.DataType] = {"duplicates.key": pl.UInt64()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set."""


def key_of(question: str, response: str) -> int:
    """64 bits; equal for texts that differ in case, blanks, punctuation and LaTeX style only."""
    text: str = f"{normal(plain(question))}\n{normal(plain(response))}"
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """The key of each row."""
    del config
    keys: list[int] = [
        key_of(question, response) for question, response in rows_N.select("question", "response").iter_rows()
    ]
    return pl.DataFrame({"duplicates.key": keys}, schema=WRITES)


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (
    (
        {"question": "Solve x + 3 = 7 for x.", "response": "7-3=4\nThe answer is 4"},
        {"question": "solve  $x + 3 = 7$ for \\textbf{x}", "response": "7-3=4\nThe answer is 4."},
    ),
    (
        {"duplicates.key": key_of("Solve x + 3 = 7 for x.", "7-3=4\nThe answer is 4")},
        {"duplicates.key": key_of("Solve x + 3 = 7 for x.", "7-3=4\nThe answer is 4")},
    ),
)
