"""World: games of scripted players on the embedded engine, with planted defects whose truth is known.

What      Game k plays the matchup k modulo their number, sides swapped every second round, with a seed of its own. A
          share of the games is spoilt afterwards, at most one defect each (a copy has its original's too):
            idle_side    the loser's place is taken by somebody who never acts
            truncated    the last tenth of the recording's bytes is missing
            altered      one command of the recording was changed, so another game comes out
            false_winner the row names the other side as the winner
            duplicate    the game is an exact copy of the one before it
Truth     Which defect each game carries, apart from the ledger: curation's precision and recall are measured against
          it.
Flow      [collect] -> curate -> train -> evaluate -> report
Run       skyloom run scc:smoke --set collect.arena_games.games=40
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skyloom.arena import recording as recordings
from skyloom.arena import spec
from skyloom.arena.engine.rules import FOLDER as RULESETS
from skyloom.arena.game_map import FOLDER as MAPS
from skyloom.arena.recording import Recording
from skyloom.core import rng, store
from skyloom.core.errors import BadRow
from skyloom.core.records import Raw, SourceConfig
from skyloom.starcraft.play import Outcome, Pairing, Seat, play_games
from skyloom.starcraft.policies import IdlePolicy
from skyloom.starcraft.records import Built, Game, Side

ABILITY: int = recordings.COLUMNS.index("ability")
X: int = recordings.COLUMNS.index("x")
LICENCE: str = "Apache-2.0 (generated)"
DEFECTS: tuple[str, ...] = ("idle_side", "truncated", "altered", "false_winner", "duplicate")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(SourceConfig):
    """Which games to play."""

    map: str = "basin"
    matchups: tuple[str, ...] = ("marine_push:slow_push",)
    """Pairs of scripted players, FIRST:SECOND; sides swap every second game of a matchup."""
    games: int = 100
    games_a_shard: int = 16
    """Games that one worker plays together."""
    max_loops: int = 20_000
    """A game that lasts longer is a draw."""
    defect_share: float = 0.05
    """Share of the games that gets each defect."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for values that make no games."""
        if self.games < 1 or self.games_a_shard < 1 or self.max_loops < 1:
            raise ValueError("games, games_a_shard and max_loops must be at least 1")
        if not 0 <= self.defect_share <= 0.2:
            raise ValueError(f"defect_share={self.defect_share} must lie within 0 and 0.2")
        if not self.matchups or any(text.count(":") != 1 for text in self.matchups):
            raise ValueError(f"matchups={self.matchups} must be pairs of bots, FIRST:SECOND")


class _Plan(NamedTuple):
    """One game before it is played."""

    bots: tuple[str, str]
    seed: int
    defect: str


def inputs(config: Config) -> tuple[Path, ...]:
    """The map and the ruleset: games are played again when either changes."""
    path = Path(config.map) if config.map.endswith(".toml") else MAPS / f"{config.map}.toml"
    return (path, RULESETS / f"{spec.RULES.ruleset.rpartition('-')[0]}.toml")


def shards(config: Config) -> int:
    """One shard per chunk of games."""
    return -(-config.games // config.games_a_shard)


def rows(config: Config, shard: int) -> Iterator[Raw]:
    """Games of one chunk, in order."""
    plans = [plan_game(config, k) for k in _numbers(config, shard)]
    pairings = [Pairing(plan.seed, *_seats(plan)) for plan in plans]
    before: dict[str, Any] | None = None  # Any: plain values
    played = play_games(config.map, pairings, config.max_loops, width=config.games_a_shard)
    for number, (plan, outcome) in enumerate(zip(plans, played, strict=True), 1):
        raw = raw_game(plan, outcome)
        if plan.defect == "duplicate" and before is not None:
            raw = {**before, "defects": [*before["defects"], "duplicate"]}
        yield Raw(f"arena_games/{config.map}/{shard}", number, raw)
        before = raw


def plan_game(config: Config, k: int) -> _Plan:
    """Who plays game k, with which seed, and what will be wrong with it."""
    first, _, second = config.matchups[k % len(config.matchups)].partition(":")
    bots = (second, first) if (k // len(config.matchups)) % 2 else (first, second)
    draw = float(rng.stream(config.seed, "arena_games", "defect", k).random())
    index = int(draw / config.defect_share) if config.defect_share else len(DEFECTS)
    defect = DEFECTS[index] if index < len(DEFECTS) else ""
    # A shard's first game has no game before it to copy.
    spared = defect == "duplicate" and k % config.games_a_shard == 0
    return _Plan(bots, rng.derive(config.seed, "arena_games", "game", k) % 2**31, "" if spared else defect)


def truth(raw: Mapping[str, Any]) -> Mapping[str, bool]:  # Any: plain values
    """Which defect was planted."""
    return {defect: defect in raw["defects"] for defect in DEFECTS}


def to_record(raw: Mapping[str, Any]) -> Game:  # Any: plain values
    """The game as a ledger row; raises BadRow for a missing or wrong field."""
    recording = raw.get("recording")
    if not isinstance(recording, bytes):
        raise BadRow("recording", f"expected bytes, got {type(recording).__name__}")
    winner = int(store.number_field(raw, "winner"))
    names = [str(name) for name in store.list_field(raw, "bots")]
    if len(names) != 2 or winner not in (0, 1, 2):
        raise BadRow("winner", f"two players and a winner of 0, 1 or 2 are needed, got {names} and {winner}")
    return Game(
        map=store.text_field(raw, "map"),
        ruleset=store.text_field(raw, "ruleset"),
        loops=int(store.number_field(raw, "loops")),
        sides=tuple(_side(raw, number, name) for number, name in enumerate(names, 1)),
        winner=winner,
        recording=recording,
    )


def _side(raw: Mapping[str, Any], number: int, name: str) -> Side:  # Any: plain values
    winner = int(raw["winner"])
    built = store.object_field(raw, f"built_{number}")
    return Side(
        name=name,
        race="Terran",
        kind="bot",
        result="tie" if winner == 0 else "win" if winner == number else "loss",
        commands=int(store.number_field(raw, f"actions_{number}")),
        built=tuple(Built(type=kind, count=int(built[kind])) for kind in sorted(built)),
    )


def _numbers(config: Config, shard: int) -> range:
    first = shard * config.games_a_shard
    return range(first, min(first + config.games_a_shard, config.games))


def _seats(plan: _Plan) -> tuple[Seat, Seat]:
    """Who plays; in a game with an idle side the second player of the plan never acts."""
    return (plan.bots[0], IdlePolicy()) if plan.defect == "idle_side" else plan.bots


def raw_game(plan: _Plan, outcome: Outcome) -> dict[str, Any]:  # Any: plain values
    """A played game as plain values, its defect planted."""
    recording = outcome.recording
    data = alter(recording).to_bytes() if plan.defect == "altered" else recording.to_bytes()
    swap = {0: 1, 1: 2, 2: 1}
    return {
        "map": recording.map,
        "ruleset": recording.ruleset,
        "bots": list(plan.bots),
        "loops": outcome.loops,
        "winner": swap[outcome.winner] if plan.defect == "false_winner" else outcome.winner,
        "recording": data[: len(data) * 9 // 10] if plan.defect == "truncated" else data,
        "actions_1": outcome.actions[0],
        "actions_2": outcome.actions[1],
        "built_1": outcome.built[0],
        "built_2": outcome.built[1],
        "defects": [plan.defect] if plan.defect not in ("", "duplicate") else [],
    }


def alter(recording: Recording) -> Recording:
    """The same recording with the first command that has a place moved by two cells."""
    decisions_D8 = recording.decisions_D8.copy()
    placed = np.flatnonzero((decisions_D8[:, ABILITY] > 0) & (decisions_D8[:, X] >= 0))
    if len(placed):
        decisions_D8[placed[0], X] += 2 * spec.CELL * (1 if decisions_D8[placed[0], X] < spec.CELL * 32 else -1)
    return dataclasses.replace(recording, decisions_D8=decisions_D8)


_RAW: Mapping[str, Any] = {  # Any: plain values
    "map": "basin-00000000",
    "ruleset": "terran_opening-00000000",
    "bots": ["marine_push", "slow_push"],
    "loops": 9000,
    "winner": 1,
    "recording": b"SKYR",
    "actions_1": 210,
    "actions_2": 180,
    "built_1": {"SCV": 20, "Barracks": 3},
    "built_2": {},
    "defects": [],
}
EXAMPLE: tuple[Mapping[str, Any], Game] = (
    _RAW,
    Game(
        map="basin-00000000",
        ruleset="terran_opening-00000000",
        loops=9000,
        sides=(
            Side(
                name="marine_push",
                race="Terran",
                kind="bot",
                result="win",
                commands=210,
                built=(Built(type="Barracks", count=3), Built(type="SCV", count=20)),
            ),
            Side(name="slow_push", race="Terran", kind="bot", result="loss", commands=180),
        ),
        winner=1,
        recording=b"SKYR",
    ),
)
