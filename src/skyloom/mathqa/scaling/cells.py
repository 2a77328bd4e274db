"""The grid of trainings: one cell an arm, a number of rows and a seed; finished cells stay, a killed one goes on where it was.

Formula  rows of a cell = the first N of the arm's rows in the seed's own random order, so that sizes of one seed are nested; by row,
         neither by seed problem nor by level. An arm keeps the order of the whole pool, so that arms of one seed share what both hold
         epochs: equal at every size (updates grow with N), or `fixed`: as many epochs more as the cell is smaller than the largest size
Source   nested subsets x seeds: ours, after Yuan et al. 2023 (arXiv 2308.01825)
Flow     RUN/curate -> [cells: train, answer, grade] -> points -> fit -> told
Layout   OUT/cells/<arm>-<rows>-<seed>-<setting>.json: right and nll by item, rows, epochs, tokens, seconds, setting; the setting is a
         hash of all that the result depends on, so cells of other settings stand beside and are never mixed
Limits   At N near the whole pool all seeds train on the same rows, and their spread shows the training's noise alone.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl

from skyloom.core import registry, store
from skyloom.core.config import Config, fingerprint
from skyloom.core.errors import BadInput
from skyloom.core.llm.config import GenerateConfig
from skyloom.core.records import Reject
from skyloom.core.rng import stream
from skyloom.core.text.normal import normal
from skyloom.mathqa.benchmark import EvalConfig, Item
from skyloom.mathqa.graders import ours
from skyloom.mathqa.panel import GraderConfig
from skyloom.mathqa.records import chat
from skyloom.mathqa.settings import TrainConfig

VERSION: int = 1
"""Raised when the same setting would give another result."""
ALL: str = "all"
FIELDS: tuple[str, ...] = ("operator", "strategy", "stage", "level", "round", "made_in", "source")
"""Columns that an arm may choose rows by."""
_ARM: re.Pattern[str] = re.compile(r"(\w+)(!?=)(.+)")


class Cell(NamedTuple):
    """One training."""

    arm: str
    """`all`, `operator=evol` or `operator!=evol`."""
    rows: int
    """0: all rows of the arm."""
    seed: int


class Done(NamedTuple):
    """What one training gave."""

    cell: Cell
    rows: int
    right: list[bool]
    """By item, in the benchmark's order."""
    nll: list[float | None]
    """Nats a token of the item's reference solution; None: it has none."""
    seconds: float
    tokens: int
    """Tokens trained on, every epoch counted."""
    setting: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting(Config):
    """What every cell of a grid shares."""

    benchmark: EvalConfig
    """What is asked; the items are the same in every cell."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """As in the run, but for the rows."""
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    """How answers are written."""
    grader: GraderConfig = field(default_factory=ours.Config)
    """Who judges them."""
    updates: Literal["epochs", "fixed"] = "epochs"
    """`epochs`: every cell sees its rows `train.epochs` times. `fixed`: every cell makes about as many updates as the largest."""


class Grid(NamedTuple):
    """The pool of rows, the setting and where results are kept."""

    pool: pl.DataFrame
    """question, response, weight, seed, stage and the columns of FIELDS."""
    content: str
    """Hash of the pool."""
    setting: Setting
    out: Path


class Clash(NamedTuple):
    """Training rows that are test items."""

    rows: int
    first: str


def rows_of(pool: pl.DataFrame, cell: Cell) -> pl.DataFrame:
    """The cell's rows in the seed's order; BadInput where the arm holds fewer."""
    order = stream(cell.seed, "mathqa.scaling", "order").permutation(pool.height)
    there = pool[order.tolist()].filter(_chosen(pool, cell.arm))
    if there.height < max(cell.rows, 1):
        raise BadInput(
            f"scaling: arm {cell.arm}: holds {there.height:,} rows, a cell wants {cell.rows:,}; lower --sizes"
        )
    return there[: cell.rows] if cell.rows else there


def _chosen(pool: pl.DataFrame, arm: str) -> pl.Expr:
    """The rows of an arm; BadInput lists the known columns or values."""
    if arm == ALL:
        return pl.lit(True)
    found = _ARM.fullmatch(arm)
    if found is None or found[1] not in FIELDS or found[1] not in pool.columns:
        known = ", ".join(name for name in FIELDS if name in pool.columns)
        raise BadInput(f"--arm {arm}: write all, FIELD=VALUE or FIELD!=VALUE; fields: {known}")
    column = pl.col(found[1]).cast(pl.String).fill_null("none")
    values = pool.select(column.unique().sort()).to_series().to_list()
    if found[3] not in values:
        raise BadInput(f"--arm {arm}: no row has {found[1]} {found[3]!r}; known: {', '.join(values)}")
    return column == found[3] if found[2] == "=" else column != found[3]


def clash(pool: pl.DataFrame, items: Sequence[Item]) -> Clash:
    """Rows whose question has the words of a test item's."""
    held = {normal(item.question) for item in items}
    questions: list[str] = pool["question"].to_list()
    found = [question for question in questions if normal(question) in held]
    return Clash(len(found), found[0] if found else "")


def trained_with(setting: Setting, rows: int, largest: int) -> TrainConfig:
    """The training of a cell of so many rows."""
    if setting.updates == "epochs":
        return setting.train
    return replace(setting.train, epochs=max(1, round(setting.train.epochs * largest / rows)))


def run_grid(grid: Grid, cells: Sequence[Cell], tell: Callable[[str], None]) -> list[Done]:
    """Every cell, in order; finished ones are read. `tell` gets a line a cell, with the time left.

    Raises BadInput where the pool holds test items, or an arm has too few rows."""
    items: Sequence[Item] = registry.module_of(grid.setting.benchmark).items(grid.setting.benchmark)
    leaked = clash(grid.pool, items)
    if leaked.rows:
        raise BadInput(
            f"scaling: {leaked.rows:,} training rows ask test items word for word, first {leaked.first[:80]!r}; curate with "
            "the contamination decider, or evaluate on another benchmark"
        )
    wanted = [(cell, rows_of(grid.pool, cell).height) for cell in cells]
    largest = max((rows for _, rows in wanted), default=0)
    files = [_file(grid, cell, rows, largest) for cell, rows in wanted]
    seen = [rows * trained_with(grid.setting, rows, largest).epochs for _, rows in wanted]
    todo = sum(work for work, file in zip(seen, files, strict=True) if not file.is_file())
    found: list[Done] = []
    spent, worked = 0.0, 0
    for number, ((cell, rows), file) in enumerate(zip(wanted, files, strict=True), 1):
        if not file.is_file():
            _work(grid, cell, trained_with(grid.setting, rows, largest), items, file)
            found.append(read_cell(file))
            spent, worked = spent + found[-1].seconds, worked + seen[number - 1]
            left = f"; about {_minutes(spent * (todo - worked) / worked)} left" if todo > worked else ""
            share = sum(found[-1].right) / len(found[-1].right)
            what = f"{cell.arm}, {rows:,} rows, seed {cell.seed}"
            tell(f"cell {number} of {len(files)}: {what}: {share:.3f} right in {found[-1].seconds:.0f} s{left}")
        else:
            found.append(read_cell(file))
    return found


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _file(grid: Grid, cell: Cell, rows: int, largest: int) -> Path:
    parts = {
        "content": grid.content,
        "setting": fingerprint(
            replace(grid.setting, train=trained_with(grid.setting, rows, largest), updates="epochs")
        ),
        "cell": f"{cell.arm}/{rows}/{cell.seed}",
        "version": str(VERSION),
    }
    name = re.sub(r"\W+", "-", cell.arm.replace("!=", "-not-"))
    return grid.out / "cells" / f"{name}-{rows}-{cell.seed}-{store.digest(parts)[:10]}.json"


def _work(grid: Grid, cell: Cell, config: TrainConfig, items: Sequence[Item], file: Path) -> None:
    """Train and measure one cell; the trainer's checkpoints stand in a hidden folder until the result is written."""
    from skyloom.core.llm.templates import render_pair  # torch: only where a cell is trained
    from skyloom.mathqa import evaluate
    from skyloom.mathqa.likelihood import solution_nll
    from skyloom.mathqa.train import examples_of, train

    started = time.monotonic()
    folder = file.with_name(f".{file.stem}")
    rows: list[dict[str, Any]] = rows_of(grid.pool, cell).to_dicts()  # Any: column values
    train(examples_of(rows), config, cell.seed, folder)
    model, tokenizer = evaluate.load_trained(config, folder / "model", cell.seed)
    outputs = evaluate.write_answers(model, tokenizer, items, grid.setting.generate, cell.seed)
    verdict = registry.module_of(grid.setting.grader).verdict
    right = [verdict(i.answer, each.text, grid.setting.grader).equal for i, each in zip(items, outputs, strict=True)]
    tokens = sum(len(render_pair(tokenizer, chat(row["question"]), row["response"]).ids) for row in rows)
    told: dict[str, Any] = {
        "arm": cell.arm,
        "seed": cell.seed,
        "rows": len(rows),
        "right": right,
        "nll": solution_nll(model, tokenizer, items, config.batch_tokens),
        "tokens": tokens * config.epochs,
        "epochs": config.epochs,
        "seconds": round(time.monotonic() - started, 3),
        "setting": file.stem.rpartition("-")[2],
    }
    store.write_json(file, told)
    store.remove_tree(folder)


def read_cell(file: Path) -> Done:
    """A finished cell; BadInput where the file is damaged."""
    rows = list(store.read_json_rows(file))
    if len(rows) != 1 or isinstance(rows[0], Reject) or not {"arm", "rows", "right", "nll"} <= set(rows[0].data):
        raise BadInput(f"{file}: damaged; delete it and run again")
    data: Mapping[str, Any] = rows[0].data  # Any: JSON of our own
    cell = Cell(data["arm"], data["rows"], data["seed"])
    return Done(cell, data["rows"], data["right"], data["nll"], data["seconds"], data["tokens"], data["setting"])
