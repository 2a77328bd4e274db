"""Own recordings as rows: one game a .skyr file, below a folder or a single one.

Rejects   A file that is no recording, or a damaged one, is a reject with the reader's reason.
Flow      [collect] -> curate -> train -> evaluate -> report
Run       skyloom starcraft record marine_push slow_push --out DIR; skyloom starcraft imitate --data DIR --out RUN
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skyloom.arena import recording as recordings
from skyloom.core import store
from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Raw, Reject, SourceConfig
from skyloom.starcraft.records import Game, Side

LICENCE: str = "unknown (the user's own recordings)"
SUFFIX: str = ".skyr"
FILES_A_SHARD: int = 256
_PLAYER, _ABILITY = recordings.COLUMNS.index("player"), recordings.COLUMNS.index("ability")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(SourceConfig):
    """Which recordings to read."""

    path: Path = field(default=Path("recordings"), metadata=NOT_KEYED)
    """A .skyr file, or a folder that is searched for them; its content enters the collect step's key."""


def inputs(config: Config) -> tuple[Path, ...]:
    """The recordings, in path order."""
    return store.find_files(config.path, (SUFFIX,))


def shards(config: Config) -> int:
    """One shard per 256 files."""
    return -(-len(inputs(config)) // FILES_A_SHARD)


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """One raw game a file; the row number is the file's number within its shard."""
    files = inputs(config)[shard * FILES_A_SHARD : (shard + 1) * FILES_A_SHARD]
    for number, path in enumerate(files, 1):
        try:
            yield Raw(str(path), number, raw_game(store.read_bytes(path)))
        except BadInput as error:
            yield Reject(str(path), number, "recording", str(error).removeprefix(f"{path}: "))


def raw_game(data: bytes) -> dict[str, Any]:  # Any: plain values
    """A recording's facts; raises arena.recording.BadRecording."""
    found = recordings.from_bytes(data)
    acted_D = found.decisions_D8[:, _ABILITY] > 0
    given = [int(np.count_nonzero(acted_D & (found.decisions_D8[:, _PLAYER] == player))) for player in (1, 2)]
    return {
        "map": found.map,
        "ruleset": found.ruleset,
        "players": list(found.players),
        "loops": found.loops,
        "winner": found.winner,
        "commands": given,
        "recording": data,
    }


def to_record(raw: Mapping[str, Any]) -> Game:  # Any: plain values
    """The game as a ledger row; raises BadRow for a missing or wrong field."""
    names, given = store.list_field(raw, "players"), store.list_field(raw, "commands")
    winner, recording = int(store.number_field(raw, "winner")), raw.get("recording")
    if not isinstance(recording, bytes):
        raise BadRow("recording", f"expected bytes, got {type(recording).__name__}")
    if len(names) != 2 or len(given) != 2 or winner not in (0, 1, 2):
        raise BadRow("players", "two players, two command counts and a winner of 0, 1 or 2 are needed")
    return Game(
        map=store.text_field(raw, "map"),
        ruleset=store.text_field(raw, "ruleset"),
        loops=int(store.number_field(raw, "loops")),
        sides=tuple(
            Side(name=str(name), race="Terran", kind="bot", result=_result(winner, number), commands=int(count))
            for number, (name, count) in enumerate(zip(names, given, strict=True), 1)
        ),
        winner=winner,
        recording=recording,
    )


def _result(winner: int, number: int) -> str:
    return "tie" if winner == 0 else "win" if winner == number else "loss"


EXAMPLE: tuple[Mapping[str, Any], Game] = (
    {
        "map": "basin-00000000",
        "ruleset": "terran_opening-00000000",
        "players": ["marine_push", "slow_push"],
        "loops": 9000,
        "winner": 2,
        "commands": [120, 90],
        "recording": b"SKYR",
    },
    Game(
        map="basin-00000000",
        ruleset="terran_opening-00000000",
        loops=9000,
        sides=(
            Side(name="marine_push", race="Terran", kind="bot", result="loss", commands=120),
            Side(name="slow_push", race="Terran", kind="bot", result="win", commands=90),
        ),
        winner=2,
        recording=b"SKYR",
    ),
)
