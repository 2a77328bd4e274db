"""A toy system for tests of the ledger: a source, annotators and deciders as plug-in files, dropped into a directory.

Rows are {"text", "score", "kind"}; the source reads a JSONL file, or makes `rows` of them.
"""

from dataclasses import dataclass
from pathlib import Path

SOURCE = '''"""Numbers: toy rows."""
from dataclasses import dataclass, field
from pathlib import Path
from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadRow
from skyloom.core.records import Raw, SourceConfig
from skyloom.core.store import number_field, read_json_rows, text_field
from toys import Row

LICENCE = "MIT"
EXAMPLE = ({"text": "a", "score": 1, "kind": "x"}, Row(text="a", score=1.0, kind="x"))

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(SourceConfig):
    path: Path | None = field(default=None, metadata=NOT_KEYED)
    amount: int = 30
    count: int = 1

def inputs(config):
    return (config.path,) if config.path else ()

def shards(config):
    return config.count

def rows(config, shard):
    if config.path:
        yield from read_json_rows(config.path)
        return
    for k in range(config.amount):
        n = shard * config.amount + k
        yield Raw("toy", n + 1, {"text": f"row {n % 25}", "score": n % 7, "kind": "abc"[n % 3], "bad": n % 5 == 0})

def split(config):
    return "test" if config.path and "test" in config.path.name else "train"

def to_record(raw):
    return Row(text=text_field(raw, "text"), score=number_field(raw, "score"), kind=text_field(raw, "kind"))

def truth(raw):
    return {"bad": bool(raw.get("bad", False))}
'''
LENGTH = '''"""Length of the text."""
from dataclasses import dataclass
import polars as pl
from skyloom.core.ledger import AnnotatorConfig

KIND = "map"
READS = ("text",)
WRITES = {"size.chars": pl.Int32}
EXAMPLE = (({"text": "abc"},), ({"size.chars": 3},))

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    log: str = ""

def annotate(rows_N, config):
    if config.log:
        with open(config.log, "a") as file:
            file.write(f"{rows_N.height}\\n")
    return rows_N.select(pl.col("text").str.len_chars().alias("size.chars"))
'''
RANK = '''"""Rank of the score among the rows still alive."""
from dataclasses import dataclass
import polars as pl
from skyloom.core.ledger import AnnotatorConfig

KIND = "fit"
READS = ("score", "size.chars")
WRITES = {"standing.rank": pl.UInt32}
EXAMPLE = (({"score": 1.0, "size.chars": 1}, {"score": 2.0, "size.chars": 1}), ({"standing.rank": 2}, {"standing.rank": 1}))

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    pass

def fit(rows_N, config):
    return rows_N.select(pl.col("score").rank("ordinal", descending=True).alias("standing.rank"))
'''
SHORT = '''"""Drop short texts."""
from dataclasses import dataclass
import polars as pl
from skyloom.core.ledger import DeciderConfig

READS = ("size.chars",)
EXAMPLE = (({"size.chars": 9}, None), ({"size.chars": 2}, "short"))

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    least: int = 6

def decide(ledger_N, config):
    return ledger_N.select(pl.when(pl.col("size.chars") < config.least).then(pl.lit("short")).alias("reason"))["reason"]
'''
TOP = '''"""Keep the best of those alive; weight them."""
from dataclasses import dataclass
import polars as pl
from skyloom.core.ledger import DeciderConfig

READS = ("standing.rank",)
EXAMPLE = (({"standing.rank": 1}, None), ({"standing.rank": 11}, "not_top"))

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    most: int = 10

def decide(ledger_N, config):
    low = pl.col("alive") & (pl.col("standing.rank") > config.most)
    return ledger_N.select(
        pl.when(low).then(pl.lit("drop")).alias("action"),
        pl.when(low).then(pl.lit("not_top")).alias("reason"),
        pl.when(pl.col("standing.rank") <= 3).then(2.0).otherwise(1.0).alias("weight"),
    )
'''


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The record of the toy system."""

    text: str
    score: float
    kind: str


def write(folder: Path) -> None:
    """Drop the five plug-ins in."""
    for kind, name, text in (
        ("sources", "numbers", SOURCE),
        ("annotate", "size", LENGTH),
        ("annotate", "standing", RANK),
        ("decide", "short", SHORT),
        ("decide", "top", TOP),
    ):
        path = folder / "reward" / kind / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
