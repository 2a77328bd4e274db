"""World: fresh problems of the grammar whose contents never stand in the train part.

Source   ours; mathqa/world/grammar.toml
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data world --model RUN/train/model --out DIR
Limits   Kinds and wordings are those of training: this measures whether reading and arithmetic were learnt, not transfer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyloom.mathqa import benchmark
from skyloom.mathqa.benchmark import EvalConfig, Item
from skyloom.mathqa.world.expressions import show
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import SHARES, problems

NAME: str = "world"
VERSION: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """Which problems are drawn."""

    rows: int = 400
    """Problems to draw."""
    seed: int = 1
    """Seed of the draw."""
    shares: tuple[float, ...] = SHARES
    """Relative share of levels 1 to 5."""


def recognises(row: Mapping[str, Any], file: Path) -> bool:  # Any: JSON values
    """No file is: the problems are drawn."""
    del row, file
    return False


def items(config: Config) -> tuple[Item, ...]:
    """The problems; a text drawn twice stands once, so there may be fewer than `rows`."""
    drawn = {posed.text: posed for posed in problems("eval", config.seed, config.rows, config.shares)}
    found: list[Item] = [
        Item(
            id=f"world/{number}",
            question=text,
            answer=show(solve(posed).answer),
            level=posed.kind.level,
            subject=posed.kind.subject,
            solution=solve(posed).text,
        )
        for number, (text, posed) in enumerate(drawn.items())
    ]
    return benchmark.limited(found, config.limit)


EXAMPLE: tuple[Item, str] = (
    Item(id="world/0", question="Solve x + 3 = 7 for x.", answer="4", level=1, subject="Algebra"),
    "7-3=4\nThe answer is 4",
)
