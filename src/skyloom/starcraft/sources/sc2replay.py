"""Real replays as rows: one game a .SC2Replay file, below a folder or a single one.

What      A row holds map, release, length, players with race, rating, result, command count and what each built.
          Commands and tracker events are tables of their own (`skyloom starcraft replay`), because a ledger row is
          light.
Rejects   A file that cannot be decoded is a reject with the decoder's one-word reason as its field.
Flow      [collect] -> curate -> train -> evaluate -> report
Run       skyloom run scc --set 'collect=[{"plugin": "starcraft.sources/sc2replay", "path": "replays"}]'
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from skyloom.core import store
from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadRow
from skyloom.core.records import Raw, Reject, SourceConfig
from skyloom.starcraft.records import Built, Game, Side, sole_winner
from skyloom.starcraft.replay.decode import ReplayError
from skyloom.starcraft.replay.tables import Tables, built, read_tables

LICENCE: str = "unknown: players and Blizzard may hold rights; local use only"
SUFFIX: str = ".SC2Replay"
FILES_A_SHARD: int = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(SourceConfig):
    """Which replays to read."""

    path: Path = field(default=Path("replays"), metadata=NOT_KEYED)
    """A .SC2Replay file, or a folder that is searched for them; its content enters the collect step's key."""


def inputs(config: Config) -> tuple[Path, ...]:
    """The replay files, in path order."""
    return store.find_files(config.path, (SUFFIX,))


def shards(config: Config) -> int:
    """One shard per sixteen files."""
    return -(-len(inputs(config)) // FILES_A_SHARD)


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """One raw game a file; the row number is the file's number within its shard."""
    files = inputs(config)[shard * FILES_A_SHARD : (shard + 1) * FILES_A_SHARD]
    for number, path in enumerate(files, 1):
        try:
            yield Raw(str(path), number, raw_game(read_tables(path)))
        except ReplayError as error:
            yield Reject(str(path), number, error.reason, error.detail)


def raw_game(tables: Tables) -> dict[str, Any]:  # Any: plain JSON values
    """A decoded replay as plain values, before any check."""
    head = tables.header
    given = cast(dict[int, int], dict(tables.commands.table.group_by("player").len().iter_rows()))
    sides = [
        {
            "name": player.name,
            "race": player.race,
            "kind": player.kind,
            "mmr": player.mmr,
            "result": player.result,
            "commands": given.get(player.number, 0),
            "built": {each.type: each.count for each in built(tables, player.number)},
        }
        for player in head.players
    ]
    return {"map": head.map, "release": head.release, "loops": head.loops, "sides": sides}


def to_record(raw: Mapping[str, Any]) -> Game:  # Any: plain JSON values
    """A game without a recording of ours; raises BadRow for a missing or wrong field."""
    sides = tuple(_side(cast(Mapping[str, Any], side)) for side in store.list_field(raw, "sides"))
    loops = int(store.number_field(raw, "loops"))
    if loops <= 0:
        raise BadRow("loops", "the game has no length")
    return Game(
        map=store.text_field(raw, "map"),
        ruleset=store.text_field(raw, "release"),
        loops=loops,
        sides=sides,
        winner=sole_winner(tuple(side.result for side in sides)),
    )


def _side(raw: Mapping[str, Any]) -> Side:  # Any: plain JSON values
    counts = store.object_field(raw, "built")
    return Side(
        name=store.text_field(raw, "name"),
        race=store.text_field(raw, "race"),
        kind=store.text_field(raw, "kind"),
        mmr=None if raw.get("mmr") is None else int(store.number_field(raw, "mmr")),
        result=store.text_field(raw, "result"),
        commands=int(store.number_field(raw, "commands")),
        built=tuple(Built(type=name, count=int(store.number_field(counts, name))) for name in sorted(counts)),
    )


_RAW_SIDES: list[dict[str, Any]] = [  # Any: plain JSON values
    {
        "name": "Ann",
        "race": "Terran",
        "kind": "human",
        "mmr": 5210,
        "result": "win",
        "commands": 2,
        "built": {"SCV": 12},
    },
    {"name": "Bo", "race": "Zerg", "kind": "human", "mmr": None, "result": "loss", "commands": 0, "built": {}},
]
EXAMPLE: tuple[Mapping[str, Any], Game] = (
    {"map": "Thunder Lake", "release": "4.10.0.75689", "loops": 4480, "sides": _RAW_SIDES},
    Game(
        map="Thunder Lake",
        ruleset="4.10.0.75689",
        loops=4480,
        sides=(
            Side(
                name="Ann",
                race="Terran",
                kind="human",
                mmr=5210,
                result="win",
                commands=2,
                built=(Built(type="SCV", count=12),),
            ),
            Side(name="Bo", race="Zerg", kind="human", result="loss", commands=0),
        ),
        winner=1,
    ),
)
