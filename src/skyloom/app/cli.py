"""The command line: `skyloom demo | run | plan | list | doctor | why | diff | retract | report`, and a sub-command per system.

Errors are one line: exit code 2 for bad input, 1 for failed or interrupted work. `--json` prints what a script would read.

Run   skyloom --help
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from skyloom.core.errors import SkyloomError

app = typer.Typer(
    help="Collect, curate, train, evaluate, report: reward models, math data and StarCraft II.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

RecipeName = Annotated[str, typer.Argument(help="A recipe, or recipe:setting; `skyloom list recipes` shows them.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="path=value, for example train.lr=1e-3; repeatable.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run directory; without it runs/<recipe>-<fingerprint>.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="The laptop-size setting of the recipe.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
RunDir = Annotated[Path | None, typer.Option("--run", help="Run directory; without it the latest below runs/.")]
Plugins = Annotated[Path | None, typer.Option("--plugins", help="Folder with more plug-ins: DIR/reward/losses/x.py.")]


@app.callback()
def _root(plugins: Plugins = None) -> None:
    if plugins is not None:
        from skyloom.core import registry

        before = os.environ.get(registry.PLUGINS_VARIABLE)
        here = str(plugins.resolve())
        os.environ[registry.PLUGINS_VARIABLE] = f"{before}{os.pathsep}{here}" if before else here


@app.command()
def demo(out: Out = None, as_json: AsJson = False) -> None:
    """All three systems on their embedded worlds, end to end, and one HTML report."""
    from skyloom.app import demo as command

    raise typer.Exit(0 if command.run_demo(out or Path("runs/demo"), as_json) else 1)


@app.command()
def run(
    recipe: RecipeName, settings: Sets = None, out: Out = None, smoke: Smoke = False, as_json: AsJson = False
) -> None:
    """Run a recipe from data to report; the same command resumes it."""
    from skyloom.app import show
    from skyloom.app.settings import find_setting, pipeline_of
    from skyloom.core.config import override
    from skyloom.core.report import render
    from skyloom.core.run import open_run

    found, setting, config = find_setting(recipe, smoke)
    config = override(config, settings or [])
    name = found.name if setting == "config" else f"{found.name}.{setting}"
    with open_run(name, config, out, show.seed_of(config)) as opened:
        evaluation = pipeline_of(found.system).run(config, opened)
        page = render(opened.path)
    show.run_result(opened.path, evaluation, page, as_json)


@app.command()
def plan(recipe: RecipeName, settings: Sets = None, as_json: AsJson = False) -> None:
    """Tokens, memory, hours and money of every setting of a recipe, before anything is spent."""
    from skyloom.app import show
    from skyloom.app.settings import find_recipe, find_setting, pipeline_of
    from skyloom.app.settings import settings as all_settings
    from skyloom.core.config import override

    name, _, chosen = recipe.partition(":")
    found = find_recipe(name)
    wanted = [chosen] if chosen else list(all_settings(found))
    plans = {
        each: pipeline_of(found.system).plan(override(find_setting(f"{name}:{each}")[2], settings or []))
        for each in wanted
    }
    show.plans(name, plans, as_json)


@app.command("list")
def list_(
    group: Annotated[str | None, typer.Argument(help="A group such as reward.losses, or a part of its name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every plug-in and recipe, with its first line."""
    from skyloom.app import show

    show.plugins(group, as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine and installation; exit code 1 where something needed is missing."""
    from skyloom.app import doctor as command

    raise typer.Exit(0 if command.examine(as_json) else 1)


@app.command()
def why(
    row: Annotated[str, typer.Argument(help="label:shard:ordinal, for example world:0:17")],
    run: RunDir = None,
    as_json: AsJson = False,
) -> None:
    """The whole trail of one row: where it came from, what was found, who ruled what, where it went."""
    from skyloom.app import show
    from skyloom.core.ledger.query import why as ask
    from skyloom.core.run import latest_run

    show.trail(ask(run or latest_run(), row), as_json)


@app.command()
def diff(run_a: Path, run_b: Path, as_json: AsJson = False, limit: int = 20) -> None:
    """Rows that two runs do not both keep, and by which reason."""
    from skyloom.app import show
    from skyloom.core.ledger.query import diff as ask

    show.differences(run_a, run_b, ask(run_a, run_b), limit, as_json)


@app.command()
def retract(
    row: Annotated[str, typer.Argument(help="label:shard:ordinal")],
    run: RunDir = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Put it on the run's list: the next run leaves it out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What was derived from a row; with --apply the next run of the recipe drops all of it."""
    from skyloom.app import show
    from skyloom.core.ledger.query import retract as ask
    from skyloom.core.run import latest_run

    show.derived(row, ask(run or latest_run(), row, apply), apply, as_json)


@app.command()
def report(run: Annotated[Path | None, typer.Argument(help="Run directory; without it the latest.")] = None) -> None:
    """Write a run's report again: one self-contained HTML file, and its figures as PNG."""
    from skyloom.app import show
    from skyloom.core.report import render
    from skyloom.core.run import latest_run

    show.say(f"report: {render(run or latest_run())}")


for _name in ("reward", "mathqa", "starcraft"):
    _module: Any = importlib.import_module(f"skyloom.app.{_name}")  # Any: modules have no static type
    app.add_typer(_module.app, name=_name)


def main() -> None:
    """Entry point: one line on stderr for what went wrong, and the exit code that says which kind."""
    try:
        app()
    except SkyloomError as error:
        _tell(f"error: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        _tell("interrupted: nothing finished is lost; the same command goes on from there")
        sys.exit(1)
    except SystemExit as stop:
        if stop.code == 130:  # typer's code for Ctrl-C
            _tell("interrupted: nothing finished is lost; the same command goes on from there")
            sys.exit(1)
        raise


def _tell(line: str) -> None:
    sys.stderr.write(" ".join(line.split()) + "\n")


if __name__ == "__main__":
    main()
