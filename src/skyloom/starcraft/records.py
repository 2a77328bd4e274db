"""One game: who played, who won, how long it took, what each side built, and the recording where there is one.

Flow  [collect] -> curate -> train -> evaluate -> report
"""

from dataclasses import dataclass
from typing import Literal

Result = Literal["win", "loss", "tie", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """How many units or structures of one type a side finished: one entry of the statistic z of SCC and AlphaStar."""

    type: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One player of a game."""

    name: str
    race: str
    kind: str
    """human, computer (the game's own) or bot."""
    mmr: int | None = None
    """Matchmaking rating; None where the game did not say."""
    result: str
    """win, loss, tie or unknown."""
    commands: int
    """Commands given, repeats and target updates included."""
    built: tuple[Built, ...] = ()
    """Sorted by type."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Game:
    """A game as a row of the ledger; equal games have equal content, wherever their files came from."""

    map: str
    ruleset: str
    """Version of the rules: the engine's ruleset id, or the release of a real replay."""
    loops: int
    """Length in game loops; 22.4 a second."""
    sides: tuple[Side, ...]
    winner: int
    """1-based number of the side that won alone; 0 for a tie, a team game or an unknown result."""
    recording: bytes = b""
    """Our own recording (`arena.recording`), from which the game can be played again; empty for a real replay."""


def sole_winner(results: tuple[str, ...]) -> int:
    """1-based number of the only side that won, else 0."""
    winners = [number for number, result in enumerate(results, 1) if result == "win"]
    return winners[0] if len(winners) == 1 else 0
