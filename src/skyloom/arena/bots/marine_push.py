"""Marine push: depots on time, three barracks, SCVs and marines without a break, waves of attack-moves.

Strategy  20 SCVs on one base, first attack with 12 marines at about loop 5,000, reinforcements in sixes
Flow      arena.match, starcraft's recordings and evaluations; the stronger of the two first bots
Run       python -c "from skyloom.arena import match as m; print(m.play('basin', [m.bot('marine_push'), m.bot('slow_push')], seed=1))"
"""

from dataclasses import dataclass

from skyloom.arena.bots._macro import MacroBot, MacroConfig
from skyloom.arena.match import Player


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(MacroConfig):
    """Two decisions a second, no lapses."""


def build(config: Config) -> Player:
    """A player with these settings."""
    return MacroBot(config)
