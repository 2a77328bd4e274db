"""Pass rate: how often the teacher got a problem right in the rows already made from it, beside the level that its data set gives.

Formula  tried = rows made from the problem by operators that keep its meaning; right = those whose answer grades equal to their gold
Source   difficulty as the share of failed answers: DART-Math (arXiv 2407.13690); Skywork-Math: levels (2407.08348, section 3.2)
Flow     collect -> synthesize -> [select: ANNOTATE -> decide/hard] -> synthesize the hard pass
Run      skyloom run skywork_math
Limits   It measures the teacher, wording and operator together; replies that were refused (cut, without an answer) count for nothing.
         Rows made from a rewording of the problem count for the rewording.
Shapes   N rows
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from skyloom.core.config import NOT_KEYED
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.ledger.rows import read_edges, row_parts
from skyloom.mathqa.verify.grading import grade

KIND: str = "map"
VERSION: int = 3
READS: tuple[str, ...] = ("row", "level")
WRITES: dict[str, pl.DataType] = {
    "pass_rate.level": pl.Int64(),  # 1 to 5; null where the data set gives none
    "pass_rate.right": pl.Int64(),
    "pass_rate.tried": pl.Int64(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Which rows count."""

    made: tuple[Path, ...] = field(default=(), metadata=NOT_KEYED)
    """Folders of synthesised rows; their content enters the key. Empty: the pipeline fills in the earlier passes, and an annotator
    that runs by itself has nothing to count."""
    operators: tuple[str, ...] = ("answer_augment", "rephrase")
    """Augmenters that keep the problem's meaning, and so its answer."""


def inputs(config: Config) -> tuple[Path, ...]:
    """The folders of made rows."""
    return config.made


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """The level, and counts of 0 or more."""
    tried: defaultdict[int, int] = defaultdict(int)
    right: defaultdict[int, int] = defaultdict(int)
    for parent, gold, answer in _made(rows_N["row"], config).iter_rows():
        tried[parent] += 1
        right[parent] += grade(gold, answer).equal
    keys: list[int] = rows_N["row"].to_list()
    counted: dict[str, Any] = {  # Any: columns
        "pass_rate.level": rows_N["level"],
        "pass_rate.right": [right[row] for row in keys],
        "pass_rate.tried": [tried[row] for row in keys],
    }
    return pl.DataFrame(counted, schema_overrides=WRITES)


def _made(parent_N: pl.Series, config: Config) -> pl.DataFrame:
    """parent, gold, answer of the rows that count, made from these parents."""
    nothing = pl.DataFrame(schema={"parent": pl.Int64, "gold": pl.String, "answer": pl.String})
    edges: pl.DataFrame = read_edges(config.made).filter(pl.col("parent").is_in(parent_N.implode()))
    wanted: pl.Expr = pl.col("operator").is_in(list(config.operators)) & pl.col("gold").is_not_null()
    parts: list[pl.DataFrame] = [
        pl.scan_parquet(path)
        .filter(wanted)
        .select("row", "gold", "answer")
        .collect()
        .join(edges, left_on="row", right_on="child")
        for path in row_parts(config.made)
    ]
    return pl.concat([nothing, *(part.select(nothing.columns) for part in parts)], how="vertical_relaxed")


EXAMPLE: tuple[tuple[Mapping[str, Any], ...], tuple[Mapping[str, Any], ...]] = (  # Any: column values
    ({"row": 7, "level": 4}, {"row": 8, "level": None}),
    (
        {"pass_rate.level": 4, "pass_rate.right": 0, "pass_rate.tried": 0},
        {"pass_rate.level": None, "pass_rate.right": 0, "pass_rate.tried": 0},
    ),
)
