"""The header of a replay: map, version, players with race, rating and result, and counts of what was imported.

Flow  decode -> [header] -> header.json, the Game record
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skyloom.arena.spec import LOOPS_PER_SECOND
from skyloom.starcraft.records import Result, sole_winner
from skyloom.starcraft.replay.decode import Decoded

_RESULTS: Mapping[str | None, Result] = {"Win": "win", "Loss": "loss", "Tie": "tie"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Player:
    """A player as the replay names it."""

    number: int
    """1-based; the number that commands and tracker events carry."""
    name: str
    race: str
    kind: str
    """human or computer."""
    team: int
    mmr: int | None
    result: Result


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a replay says about itself."""

    map: str
    map_hash: str
    release: str
    build: int
    region: str
    teams: str
    """1v1, 2v2, FFA ... as the players stood in teams."""
    loops: int
    seconds: float
    """Real seconds at speed "faster", 22.4 loops each."""
    players: tuple[Player, ...]
    winner: str | None
    """Name of the player who won alone; None for team games, ties and games without a known result."""


def header(decoded: Decoded) -> Header:
    """Header of a decoded replay."""
    replay = decoded.replay
    players = tuple(_player(each) for each in replay.players)
    number = sole_winner(tuple(player.result for player in players))
    return Header(
        map=str(replay.map_name),
        map_hash=str(replay.map_hash),
        release=str(replay.release_string),
        build=int(replay.build),
        region=str(replay.region),
        teams=str(replay.real_type),
        loops=int(replay.frames),
        seconds=round(replay.frames / LOOPS_PER_SECOND, 1),
        players=players,
        winner=players[number - 1].name if number else None,
    )


def _player(player: Any) -> Player:  # Any: sc2reader has no types
    mmr = getattr(player, "mmr", None)
    return Player(
        number=int(player.pid),
        name=str(player.name),
        race=str(player.play_race),
        kind="human" if player.is_human else "computer",
        team=int(player.team_id) if player.team_id is not None else 0,
        mmr=int(mmr) if mmr else None,
        result=_RESULTS.get(player.result, "unknown"),
    )
