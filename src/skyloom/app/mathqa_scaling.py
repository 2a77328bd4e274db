"""`skyloom mathqa scaling | value`: what twice the data would buy, and which part of it buys most.

Run   skyloom mathqa scaling RUN --out DIR --sizes 500,1000,2000,4000 --seeds 3 --reach 0.6
      skyloom mathqa scaling --points FILE.csv --out DIR
      skyloom mathqa value RUN --out DIR --by operator
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skyloom.core.config import NOT_KEYED, Config
from skyloom.core.errors import BadInput

if TYPE_CHECKING:
    from skyloom.core.run import Run
    from skyloom.mathqa.scaling.fit import Analysis
    from skyloom.mathqa.scaling.told import Price

SIZES: str = "500,1000,2000,4000"
Sets = Annotated[list[str] | None, typer.Option("--set", help="path=value, for example train.epochs=1; repeatable.")]
Out = Annotated[Path, typer.Option("--out", help="Directory to write to; the same command resumes there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingRun(Config):
    """Config of one `scaling` or `value`: what the run directory records."""

    run: Path | None = field(default=None, metadata=NOT_KEYED)
    """The run whose rows are trained on; what the cells hold is keyed by content."""
    points: Path | None = field(default=None, metadata=NOT_KEYED)
    """The file of points."""
    settings: tuple[str, ...] = ()
    """Changes to the run's settings."""
    sizes: tuple[int, ...] = ()
    seeds: int = 0
    arms: tuple[str, ...] = ()
    updates: Literal["epochs", "fixed"] = "epochs"
    by: str = ""
    mixed: bool = False
    """Fit points of several evaluation settings together."""
    reach: tuple[float, ...] = ()
    price: float = 0.0
    """Money a row; 0: what the run's teacher was paid."""
    law: str = ""
    """Only this law; empty: the choice by AICc."""
    seed: int = 0
    """Seed of the resamples."""


def scaling(
    out: Out,
    run: Annotated[Path | None, typer.Argument(help="A finished run directory with curated rows.")] = None,
    points: Annotated[
        Path | None,
        typer.Option("--points", help="CSV of points instead: rows, accuracy or right and n, seed, setting, model."),
    ] = None,
    sizes: Annotated[str, typer.Option("--sizes", help="Numbers of rows, with commas; nested in each seed.")] = SIZES,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of each size.")] = 3,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", help="all, FIELD=VALUE or FIELD!=VALUE, e.g. operator=evol; repeatable."),
    ] = None,
    updates: Annotated[
        str, typer.Option("--updates", help="epochs: every size sees its rows equally often; fixed: equal updates.")
    ] = "epochs",
    reach: Annotated[list[float] | None, typer.Option("--reach", help="A value to reach; repeatable.")] = None,
    price: Annotated[float, typer.Option("--price", min=0, help="Money a row; the run's own without it.")] = 0.0,
    law: Annotated[str, typer.Option("--law", help="log-linear, saturating or broken; by AICc without it.")] = "",
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Fit points of several settings together all the same.")
    ] = False,
    settings: Sets = None,
    as_json: AsJson = False,
) -> None:
    """What twice the data would buy: slope, predictions, rows to a goal, hold-out error, with intervals or an honest refusal."""
    if (run is None) == (points is None):
        raise BadInput("scaling: give either a run directory or --points FILE.csv")
    if updates not in ("epochs", "fixed"):
        raise BadInput(f"--updates {updates}: known: epochs, fixed")
    config = ScalingRun(
        run=run, points=points, settings=tuple(settings or ()), sizes=_sizes(sizes) if run else (), seeds=seeds if run else 0,
        arms=tuple(arms or ()), updates="fixed" if updates == "fixed" else "epochs", mixed=mixed, reach=tuple(reach or ()),
        price=price, law=law,
    )  # fmt: skip
    _scale(config, out, as_json)


def value(
    run: Annotated[Path, typer.Argument(help="A finished run directory with curated rows.")],
    out: Out,
    by: Annotated[str, typer.Option("--by", help="operator, stage or level.")] = "operator",
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings with all rows and without each group.")] = 3,
    settings: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Which augmenter, stage or level buys the next point for the least money: all rows against all without each group."""
    from skyloom.app import show
    from skyloom.app.output import print_json
    from skyloom.core.metrics import write_evaluation
    from skyloom.core.report import render
    from skyloom.core.run import open_run
    from skyloom.mathqa.scaling import value as work
    from skyloom.mathqa.scaling.study import study

    config = ScalingRun(run=run, settings=tuple(settings or ()), seeds=seeds, by=by)
    with open_run("mathqa.value", config, out, config.seed) as opened:
        told = work.value(study(run, opened.path, config.settings), by, seeds, _tell)

        def write(folder: Path) -> None:
            write_evaluation(folder, work.evaluation(told), [work.table(told)], [work.plot(told)])

        folder = opened.step("evaluate", write, config=config, inputs=_cells(opened.path))
        page = render(opened.path)
    if as_json:
        base = told.base._asdict()
        print_json({"folder": str(folder), "by": by, "unit": told.unit, "base": base, "groups": work.answer(told)})
        return
    for line in [*work.lines(told), f"report: {page}"]:
        show.say(line)


def _scale(config: ScalingRun, out: Path, as_json: bool) -> None:
    from skyloom.app import show
    from skyloom.app.output import print_json
    from skyloom.core import store
    from skyloom.core.metrics import write_evaluation
    from skyloom.core.report import render
    from skyloom.core.run import open_run
    from skyloom.mathqa.scaling import told as tell

    with open_run("mathqa.scaling", config, out, config.seed) as run:
        found, price, inputs = _curves(config, run)

        def write(folder: Path) -> None:
            pages = [table for each in found for table in tell.tables(each, price)]
            store.write_json(folder / "answer.json", [tell.answer(each, price) for each in found])
            write_evaluation(folder, tell.evaluation(found), pages, [tell.plot(each) for each in found])

        folder = run.step("evaluate", write, config=config, inputs=inputs)
        page = render(run.path)
    if as_json:
        print_json({"folder": str(folder), "curves": [tell.answer(each, price) for each in found]})
        return
    if config.run is not None:
        equal = "equal epochs at every size" if config.updates == "epochs" else "about equal updates at every size"
        show.say(f"rows drawn by row, nested in each seed; {equal}; benchmark: the run's first")
    for each in found:
        for line in tell.lines(each, price):
            show.say(line)
    show.say(f"report: {page}")


def _curves(config: ScalingRun, run: "Run") -> "tuple[list[Analysis], Price | None, tuple[Path, ...]]":
    """Every curve analysed, the price of a row, and the files that this comes from."""
    from skyloom.mathqa.scaling.fit import analyse
    from skyloom.mathqa.scaling.points import read_points
    from skyloom.mathqa.scaling.told import Price

    price = Price(config.price, "--price") if config.price else None
    if config.points is not None:
        curves, inputs = list(read_points(config.points, config.mixed)), (config.points,)
    else:
        from skyloom.mathqa.scaling.study import measure, study

        assert config.run is not None
        told = study(config.run, run.path, config.settings, config.updates)
        curves = measure(told, config.sizes, config.seeds, config.arms, _tell)
        price = price or Price(told.money / told.grid.pool.height, "the run's teacher, a kept row")
        inputs = _cells(run.path)
    goals = {"accuracy": config.reach}  # a goal is an accuracy; NLL has no natural one
    found = [analyse(each, goals.get(each.measure, ()), config.seed, law=config.law) for each in curves]
    return found, price, inputs


def _cells(path: Path) -> tuple[Path, ...]:
    return tuple(sorted((path / "cells").glob("*.json")))


def _sizes(text: str) -> tuple[int, ...]:
    parts = [part.strip().replace("_", "") for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise BadInput(f"--sizes {text}: give whole numbers with commas, for example {SIZES}")
    return tuple(int(part) for part in parts)


def _tell(line: str) -> None:
    """Progress goes to stderr, so that --json stays clean."""
    sys.stderr.write(f"{line}\n")
