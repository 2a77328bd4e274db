"""Any file of problems with answers as a benchmark: the fields are found by their usual names or named in the config.

Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report; read by sources/jsonl.py, which tells how fields are found
Run      skyloom mathqa eval --data FILE --benchmark jsonl --set benchmarks.jsonl.answer=meta.gold --model MODEL --out DIR
Limits   A level is 1 to 5 or absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadInput
from skyloom.mathqa import benchmark
from skyloom.mathqa.benchmark import EvalConfig, Item
from skyloom.mathqa.reading import read_items
from skyloom.mathqa.sources import jsonl

NAME: str = "jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """Where the file is, what it is called, and which fields hold what; an empty field name looks for the usual ones."""

    path: Path = field(default=Path(), metadata=NOT_KEYED)
    """A .jsonl, .json or .parquet file."""
    name: str = NAME
    """What the benchmark and its files are called: letters, digits, '-' and '_'."""
    question: str = ""
    answer: str = ""
    solution: str = ""
    level: str = ""
    subject: str = ""
    options: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for a name that cannot name a file."""
        if not self.name or not all(each.isalnum() or each in "-_" for each in self.name):
            raise ValueError(f"name={self.name!r}: use letters, digits, '-' and '_'")


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the items depend on."""
    if config.path == Path():
        raise BadInput("benchmark jsonl: path is not set; give --data FILE, or --set benchmarks.jsonl.path=FILE")
    return jsonl.inputs(jsonl.Config(path=config.path))


def recognises(row: Mapping[str, Any], file: Path) -> bool:  # Any: JSON values
    """Never by itself: whoever means it says `--benchmark jsonl`."""
    del row, file
    return False


def items(config: Config) -> tuple[Item, ...]:
    """The problems in file order; raises BadInput where a row cannot be used: a benchmark is not read in part."""
    inputs(config)
    names = ("path", "question", "answer", "solution", "level", "subject", "options")
    source = jsonl.Config(**{name: getattr(config, name) for name in names})
    return benchmark.limited(read_items(jsonl, source, config.name), config.limit)


EXAMPLE: tuple[Item, str] = (
    Item(
        id="jsonl/0",
        question="What is $2+2$?",
        answer="4",
        level=2,
        subject="Arithmetic",
        solution="Two and two.\nThe answer is 4",
    ),
    "$2+2=4$\nThe answer is 4",
)
