"""What the commands print: tables for people, JSON for scripts."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from skyloom.app.output import print_json
from skyloom.app.settings import SYSTEMS, find_recipe, recipe_names, settings
from skyloom.core import registry
from skyloom.core.config import Config
from skyloom.core.ledger.query import Derived, Difference, Trail
from skyloom.core.metrics import Estimate, Evaluation
from skyloom.core.plan import Plan

_LONGEST: int = 400


def say(line: str) -> None:
    """One plain line on stdout."""
    sys.stdout.write(f"{line}\n")


def seed_of(config: Config) -> int:
    """The seed field that every pipeline config has."""
    return int(getattr(config, "seed", 0))


def verdict(evaluation: Evaluation) -> str:
    """The headline against the best null baseline, in one line."""
    best = evaluation.best_null
    against = f"; best null baseline {best.name} {best.value:.3f}" if best else "; no null baseline was measured"
    word = "beats" if evaluation.beats_null else "does NOT beat"
    return f"{estimate(evaluation.headline)}{against}: {word} it"


def estimate(value: Estimate) -> str:
    """name value [low, high] n method."""
    return f"{value.name} {value.value:.3f} [{value.low:.3f}, {value.high:.3f}] n={value.n:,} ({value.method})"


def run_result(path: Path, evaluation: Evaluation, page: Path, as_json: bool) -> None:
    """The end of `skyloom run`."""
    if as_json:
        beats = evaluation.beats_null
        print_json({"run": str(path), "report": str(page), "beats_null": beats, **evaluation.to_json()})
        return
    say(verdict(evaluation))
    for other in evaluation.others:
        say(f"  {estimate(other)}")
    say(f"run: {path}")
    say(f"report: {page}")


def plans(recipe: str, by_setting: Mapping[str, Plan], as_json: bool) -> None:
    """One table a setting, with its assumptions below."""
    if as_json:
        print_json({"recipe": recipe, "settings": {name: plan.to_json() for name, plan in by_setting.items()}})
        return
    console = Console()
    for name, plan in by_setting.items():
        content = plan.table()
        table = Table(title=escape(f"{recipe}:{name} - {content.title}"), title_justify="left")
        for k, column in enumerate(content.columns):
            table.add_column(column, justify="left" if k == 0 else "right", overflow="fold")
        for row in content.rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        console.print(table)
        console.print(escape(content.note), style="dim", highlight=False)
        console.print()


def plugins(wanted: str | None, as_json: bool) -> None:
    """Groups whose name contains `wanted`, or the recipes with their settings."""
    if wanted == "recipes":
        found = {f"recipes.{system}": _recipes(system) for system in SYSTEMS}
    else:
        chosen = [group for group in registry.groups() if wanted is None or wanted in group]
        if not chosen:
            registry.names(wanted or "")  # raises, listing the known groups
        found = {group: {name: registry.summary(group, name) for name in registry.names(group)} for group in chosen}
    if as_json:
        print_json(found)
        return
    console = Console()
    for group, entries in found.items():
        table = Table("name", "what it is", title=group, title_justify="left", show_header=False, box=None)
        for name, text in entries.items():
            table.add_row(f"[bold]{escape(name)}[/bold]", escape(text))
        console.print(table)


def _recipes(system: str) -> dict[str, str]:
    names = [name for name in recipe_names() if name in registry.names(f"recipes.{system}")]
    return {name: f"settings: {', '.join(settings(find_recipe(name)))}" for name in names}


def trail(found: Trail, as_json: bool) -> None:
    """`skyloom why`."""
    if as_json:
        print_json({**_plain(asdict(found)), "rulings": [ruling._asdict() for ruling in found.rulings]})
        return
    console = Console()
    state = "[green]kept[/green]" if found.kept else "[red]dropped[/red]"
    if not found.decision:
        state = "collected; what was made from it was curated in its place"
    console.print(f"[bold]{found.shown}[/bold] (row {found.row}): {state}")
    for title, values in (
        ("record", found.record),
        ("facts", found.facts),
        ("decision", found.decision),
        ("planted truth", found.truth),
    ):
        _mapping(console, title, values)
    if found.rulings:
        table = Table("decider", "action", "reason", title="verdicts, in order", title_justify="left")
        for ruling in found.rulings:
            table.add_row(ruling.decider, ruling.action, escape(ruling.reason or ""))
        console.print(table)
    for title, rows in (("made from", found.parents), ("made into", found.children), ("used by", found.used_by)):
        if rows:
            console.print(f"{title}: {', '.join(rows)}", highlight=False)


def differences(run_a: Path, run_b: Path, found: Sequence[Difference], limit: int, as_json: bool) -> None:
    """`skyloom diff`."""
    counts: dict[tuple[str, str], int] = {}
    for each in found:
        counts[each.change, each.reason] = counts.get((each.change, each.reason), 0) + 1
    if as_json:
        by_reason = [{"change": c, "reason": r, "rows": n} for (c, r), n in sorted(counts.items())]
        print_json({"a": str(run_a), "b": str(run_b), "counts": by_reason, "rows": [row._asdict() for row in found]})
        return
    gained = sum(each.change == "gained" for each in found)
    say(f"{run_b} against {run_a}: {gained:,} rows gained, {len(found) - gained:,} lost")
    if not found:
        return
    table = Table("change", "reason of the run that does not keep it", "rows")
    for (change, reason), count in sorted(counts.items()):
        table.add_row(change, escape(reason), f"{count:,}")
    Console().print(table)
    for each in found[:limit]:
        say(f"  {each.change} {each.shown}: {each.reason}")
    if len(found) > limit:
        say(f"  ... and {len(found) - limit:,} more (--limit)")


def derived(row: str, found: Derived, applied: bool, as_json: bool) -> None:
    """`skyloom retract`."""
    if as_json:
        print_json({"row": row, "applied": applied, **found._asdict()})
        return
    say(f"{row}: {len(found.rows):,} rows with it and derived from it, {len(found.kept):,} of them kept")
    for each in found.rows[:20]:
        say(f"  {each}{' (kept)' if each in found.kept else ''}")
    say(f"steps built on them: {', '.join(found.steps) or 'none'}")
    say(
        "put on the run's retraction list; run the recipe again" if applied else "nothing was changed; --apply retracts"
    )


def _mapping(console: Console, title: str, values: Mapping[str, Any]) -> None:  # Any: column values
    if not values:
        return
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(escape(name), escape(_short(value)))
    console.print(table)


def _short(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{value[:16].hex()}{f'... ({len(value):,} bytes)' if len(value) > 16 else ''}"
    if isinstance(value, dict):
        parts: dict[str, Any] = value
        return "; ".join(f"{name}: {_short(part)}" for name, part in parts.items())
    if isinstance(value, list):
        items: list[Any] = value
        return "\n".join(_short(item) for item in items) if len(items) < 20 else f"{len(items)} items"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text):,} characters)"


def _plain(value: Any) -> Any:
    """JSON form of column values: bytes as hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        parts: dict[str, Any] = value
        return {name: _plain(part) for name, part in parts.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value
