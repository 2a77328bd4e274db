"""`skyloom reward sensitivity | export | index | sets`: what hangs on a constant, a data set for others, benchmark indexes, generated sets.

Run   skyloom reward sensitivity skywork_v01:smoke
      skyloom reward export runs/x --out my-pairs
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from skyloom.core.errors import BadInput

if TYPE_CHECKING:
    from skyloom.reward.sensitivity import Sensitivity
    from skyloom.reward.settings import RewardConfig

app = typer.Typer()

Target = Annotated[str, typer.Argument(help="A run directory, or a recipe or recipe:setting, which is curated first.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="path=value for a recipe; repeatable.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Run directory of a recipe; without it runs/<recipe>-<fingerprint>.")
]
Smoke = Annotated[bool, typer.Option("--smoke", help="The laptop-size setting of the recipe.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.command()
def sensitivity(
    target: Target, settings: Sets = None, out: Out = None, smoke: Smoke = False, as_json: AsJson = False
) -> None:
    """Change each hand-made constant alone, decide again, and tell how many and which pairs change."""
    from skyloom.app.output import print_json
    from skyloom.core.report import render
    from skyloom.reward.sensitivity import sweep, write

    run, config = _curated(target, settings, out, smoke)
    found = sweep(run, config.curate)
    folder = write(run, found)
    page = render(run)
    if as_json:
        print_json(
            {"run": str(run), "rows_file": str(folder / "sensitivity.parquet"), "report": str(page), **found.to_json()}
        )
        return
    _show(found)
    _say([f"rows that move: {folder / 'sensitivity.parquet'}", f"report: {page}"])


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run directory with a curated set.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; must not exist or be empty.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the kept pairs as a data set that `datasets` and TRL load, with its card, licences and ledger."""
    from skyloom.app.output import print_json
    from skyloom.reward.export import export as write

    done = write(run, out, force)
    if as_json:
        print_json({**done._asdict(), "folder": str(done.folder)})
        return
    _say([f"{done.pairs:,} pairs in {done.files} file(s), {done.rows:,} rows in the ledger: {done.folder}"])
    _say([f'load it: datasets.load_dataset("{done.folder}", split="train")'])


@app.command()
def index(
    files: Annotated[
        list[Path], typer.Argument(help="Benchmark files or folders; their prompts are read by column names.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The index to write, an .npz file: hashes, no text.")],
    ngram: Annotated[int, typer.Option("--ngram", help="Words in a row that count as a leak.")] = 13,
    contain: Annotated[
        int, typer.Option("--contain", help="Shortest prompt, in words, looked for inside a longer text.")
    ] = 6,
    as_json: AsJson = False,
) -> None:
    """Index the prompts of benchmarks, for `skyloom reward curate --index`."""
    from skyloom.app.output import print_json
    from skyloom.core.text.ngrams import Rule
    from skyloom.reward.evals._prompts import index_of, prompts_of

    if out.suffix != ".npz":
        raise BadInput(f"--out {out}: name a file that ends in .npz")
    prompts = {str(path): prompts_of(path) for path in files}
    found = index_of([each for some in prompts.values() for each in some], Rule(n=ngram, contain=min(contain, ngram)))
    found.save(out)
    if as_json:
        counts = {path: len(some) for path, some in prompts.items()}
        print_json({"index": str(out), "ngram": ngram, "prompts": counts, "content": found.content_hash()})
        return
    _say([*(f"{path}: {len(some):,} prompts" for path, some in prompts.items()), f"index: {out}"])


@app.command()
def sets(
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.")],
    scale: Annotated[
        float, typer.Option("--scale", help="Share of the published sizes, above 0 and at most 10.")
    ] = 0.01,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other rows.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write generated copies of the seven Skywork sources and of RewardBench: real columns, generated text, known faults."""
    from skyloom.app.output import print_json
    from skyloom.reward.world.sets import counts, write

    paths = write(out, scale, seed)
    rows = counts(out)
    if as_json:
        print_json({name: {"path": str(path), "rows": rows[name]} for name, path in paths.items()})
        return
    _say([f"{path}: {rows[name]:,} rows" for name, path in paths.items()])
    _say([f"what was planted: {out / 'truth'}"])


def _curated(target: str, settings: list[str] | None, out: Path | None, smoke: bool) -> "tuple[Path, RewardConfig]":
    """The run directory and its config; a recipe is generated, collected and curated as far as it is not."""
    from skyloom.app.settings import find_setting
    from skyloom.core.config import from_dict, override
    from skyloom.core.run import open_run, read_manifest
    from skyloom.reward.pipeline import collect_step, curate_step, generate_step
    from skyloom.reward.settings import RewardConfig

    path = Path(target)
    if path.is_dir():
        if settings or out or smoke:
            raise BadInput(f"{target}: is a run directory; --set, --out and --smoke belong to a recipe")
        return path, from_dict(RewardConfig, read_manifest(path)["config"], str(path))
    found, setting, config = find_setting(target, smoke)
    config: Any = override(config, settings or [])  # Any: a recipe of any system
    if not isinstance(config, RewardConfig):
        raise BadInput(f"{target}: is a recipe of {found.system}; sensitivity is of preference pairs")
    name = found.name if setting == "config" else f"{found.name}.{setting}"
    with open_run(name, config, out, config.seed) as run:
        located = generate_step(config, run)
        curate_step(located, run, collect_step(located, run))
        return run.path, config


def _show(found: "Sensitivity") -> None:
    """The sweep as a table, its notes below."""
    from skyloom.reward.sensitivity import overview

    content = overview(found)
    console = Console()
    table = Table(title=content.title, title_justify="left")
    for k, column in enumerate(content.columns[:-1]):
        table.add_column(column, justify="left" if k == 0 else "right", overflow="fold")
    notes = list(dict.fromkeys(str(row[-1]) for row in content.rows if row[-1]))
    last = ""
    for constant, *numbers, note in content.rows:
        mark = f" [{notes.index(str(note)) + 1}]" if note else ""
        name = f"{constant}{mark}" if constant != last else ""
        table.add_row(escape(name), *(escape(_cell(number)) for number in numbers))
        last = constant
    console.print(table)
    told = [f"[{k}] {note}: not fitted again, so approximate" for k, note in enumerate(notes, 1)]
    for line in (*told, content.note):
        console.print(escape(line), style="dim", highlight=False)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _say(lines: list[str]) -> None:
    Console(highlight=False, markup=False, soft_wrap=True).print("\n".join(lines))
