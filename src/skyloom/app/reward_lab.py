"""`skyloom reward lab`: curation and loss ablations on frozen features, in seconds, and one page that says which source moved what.

Run   skyloom reward lab --data hh_rlhf=PATH --model HuggingFaceTB/SmolLM2-135M --by origin
      skyloom reward lab --curated runs/x --model MODEL.gguf
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from skyloom.app.output import estimate_lines, print_json, say
from skyloom.core.errors import BadInput

if TYPE_CHECKING:
    from skyloom.core.losses import LossConfig
    from skyloom.core.metrics import Evaluation, Table
    from skyloom.core.stats import Interval

app = typer.Typer()


@app.command()
def lab(
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="A file, a folder, or hf:NAME of preference pairs; SOURCE=PATH says how to read it; repeatable.",
        ),
    ] = None,
    curated: Annotated[
        Path | None, typer.Option("--curated", help="A curated run: its kept set against all of its pairs.")
    ] = None,
    source: Annotated[str, typer.Option("--source", help="How to read --data; guessed where it is obvious.")] = "",
    as_train: Annotated[
        bool, typer.Option("--as-train", help="Train on a test split on purpose; noted in the manifest.")
    ] = False,
    max_rows: Annotated[
        int, typer.Option("--max-rows", help="Read so many rows of a source at most; 0 reads all.")
    ] = 0,
    model: Annotated[
        str, typer.Option("--model", help="The backbone: a Hugging Face name, a local directory or a .gguf file.")
    ] = "",
    max_length: Annotated[
        int, typer.Option("--max-length", help="Longest conversation in tokens; 0: the model's own limit.")
    ] = 0,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option("--dtype", help="Type of the weights.")] = "float32",
    features: Annotated[
        Path | None, typer.Option("--features", help="Folder of cached features, shared by runs of one model.")
    ] = None,
    have: Annotated[bool, typer.Option("--have", help="Use the cached features alone and compute none.")] = False,
    losses: Annotated[
        str, typer.Option("--losses", help="Names with commas, the reference first; `all`: every loss.")
    ] = "all",
    keep: Annotated[str, typer.Option("--keep", help="Shares to keep, with commas.")] = "0.1,0.25,0.5,0.75",
    by: Annotated[
        str, typer.Option("--by", help="Leave one out by source, origin, category, or category:2 (parts of a path).")
    ] = "",
    subsets: Annotated[str, typer.Option("--subsets", help="Tell test pairs apart by, likewise.")] = "",
    test_share: Annotated[float, typer.Option("--test-share", help="Share of the prompts that no head sees.")] = 0.3,
    seeds: Annotated[int, typer.Option("--seeds", help="Divisions of the other prompts, and random draws.")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other test prompts.")] = 0,
    full: Annotated[
        Path | None, typer.Option("--full", help="JSON object: condition -> accuracy after full fine-tuning.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory; without it runs/<name>-<fingerprint>.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Train heads on frozen features: curated, random and all pairs, sizes, one source left out, losses; tell what moved what."""
    from skyloom.app.reward import pair_sources
    from skyloom.core.metrics import read_tables
    from skyloom.core.report import render
    from skyloom.core.run import open_run
    from skyloom.reward import lab as work
    from skyloom.reward.settings import ScoreConfig

    try:
        config = work.LabConfig(
            collect=pair_sources(data or [], source, as_train, max_rows),
            curated=curated.resolve() if curated is not None else None,
            model=model,
            score=ScoreConfig(max_length=max_length, dtype=dtype),
            features=features,
            have=have,
            full=full,
            losses=_losses(losses),
            keep=tuple(_number(each) for each in keep.split(",") if each.strip()),
            by=by,
            subsets=subsets,
            test_share=test_share,
            seeds=seeds,
            seed=seed,
        )
    except ValueError as error:
        raise BadInput(f"lab: {error}") from error
    with open_run("reward.lab", config, out, seed) as run:
        evaluation = work.run(config, run)
        page = render(run.path)
        folder = run.path / work.STEP
        _tell(run.path, page, evaluation, read_tables(folder), _seconds(folder / work.TIMING), as_json)


def _losses(text: str) -> "tuple[LossConfig, ...]":
    """Configs by name; `all` puts Bradley-Terry first."""
    from skyloom.core import registry

    names: Sequence[str] = [each.strip() for each in text.split(",") if each.strip()]
    if names == ["all"]:
        names = sorted(registry.names("reward.losses"), key=lambda name: name != "bradley_terry")
    modules: list[Any] = [registry.load("reward.losses", name) for name in names]  # Any: modules have no static type
    return tuple(module.Config() for module in modules)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadInput(f"--keep: {text!r} is no number") from error


def _seconds(path: Path) -> dict[str, float]:
    from skyloom.core.records import Raw
    from skyloom.core.store import read_json_rows

    return next((dict(raw.data) for raw in read_json_rows(path) if isinstance(raw, Raw)), {}) if path.is_file() else {}


def _tell(
    run: Path,
    page: Path,
    evaluation: "Evaluation",
    tables: "Sequence[Table]",
    seconds: dict[str, float],
    as_json: bool,
) -> None:
    if as_json:
        told = {"run": str(run), "report": str(page), "evaluation": evaluation.to_json()}
        print_json({**told, "tables": [each.to_json() for each in tables], "seconds": seconds})
        return
    lines: list[str] = []
    for table in tables:
        if "accuracy" in table.columns:
            accuracy, against, difference = (
                table.columns.index(name) for name in ("accuracy", "against", "difference")
            )
            lines.append(f"{table.title}:")
            for row in table.rows:
                behind = f"  against {row[against]} {_points(row[difference])}" if row[against] else ""
                time = f"  {seconds.get(str(row[0]), 0.0):.1f} s"
                lines.append(f"  {row[0]}: {_share(row[accuracy])}, {row[2]:,} pairs{behind}{time}")
    say([*lines, *estimate_lines(evaluation), f"run: {run}", f"report: {page}"])


def _share(value: Any) -> str:  # Any: a cell, here an Interval
    interval: Interval = value
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _points(value: Any) -> str:  # Any: as above
    interval: Interval = value
    return f"{100 * interval.value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}] points"
