"""Import one .SC2Replay: all tables of it, and their files.

Layout  header.json, commands.parquet, tracker.parquet, player_stats.parquet
Flow    file -> decode -> [tables] -> DIR
Run     skyloom starcraft replay GAME.SC2Replay --out DIR
"""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import polars as pl

from skyloom.core import store
from skyloom.starcraft.records import Built
from skyloom.starcraft.replay.commands import Commands, commands
from skyloom.starcraft.replay.decode import DAMAGE, Decoded, ReplayError, decode
from skyloom.starcraft.replay.header import Header, header
from skyloom.starcraft.replay.tracker import player_stats, tracker


class Tables(NamedTuple):
    """One imported replay."""

    header: Header
    commands: Commands
    tracker: pl.DataFrame
    player_stats: pl.DataFrame
    game_events: int
    """Events of the game stream that the readers know (camera moves, selections and commands among them)."""


def read_tables(path: Path) -> Tables:
    """Decode a replay into tables; raises ReplayError (a BadInput) with file and reason."""
    decoded = decode(path)
    try:
        return _tables(decoded)
    except (*DAMAGE, pl.exceptions.PolarsError) as error:
        first = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ReplayError(str(path), "unreadable_events", first[:200]) from error


def write_tables(tables: Tables, out: Path) -> None:
    """Write the four files into a folder."""
    store.write_json(out / "header.json", {**dataclasses.asdict(tables.header), "counts": counts(tables)})
    store.write_parquet(out / "commands.parquet", tables.commands.table)
    store.write_parquet(out / "tracker.parquet", tables.tracker)
    store.write_parquet(out / "player_stats.parquet", tables.player_stats)


def counts(tables: Tables) -> dict[str, int]:
    """What was imported, by kind."""
    table = tables.commands.table
    kinds = Counter(table["kind"].to_list())
    selected = table["selected_tags"].list.len() > 0
    return {
        "game_events": tables.game_events,
        "commands": table.height,
        **{f"commands.{kind}": kinds[kind] for kind in ("command", "update", "repeat")},
        "commands_with_selection": int(selected.sum()),
        "selection_errors": tables.commands.selection_errors,
        "tracker_events": tables.tracker.height,
        **{f"tracker.{kind}": count for kind, count in sorted(Counter(tables.tracker["kind"].to_list()).items())},
    }


def built(tables: Tables, player: int) -> tuple[Built, ...]:
    """Units born and structures finished by one player, sorted by type: the counts of the statistic z.

    The game's invisible helpers (Beacon...) are left out.
    """
    events = tables.tracker.filter(
        pl.col("player") == player,
        pl.col("kind").is_in(["born", "done"]),
        ~pl.col("unit_type").str.starts_with("Beacon"),
    )
    found = Counter(events["unit_type"].drop_nulls().to_list())
    return tuple(Built(type=name, count=found[name]) for name in sorted(found))


def _tables(decoded: Decoded) -> Tables:
    return Tables(
        header=header(decoded),
        commands=commands(decoded),
        tracker=tracker(decoded),
        player_stats=player_stats(decoded),
        game_events=len(decoded.replay.game_events),
    )
