"""Slow push: one barracks, late depots, half-asleep; attacks once with ten marines and then in fours.

Strategy  14 SCVs, a decision every two seconds of which a fifth is slept through, three units queued at a time
Flow      arena.match, starcraft's recordings and evaluations; the weaker of the two first bots
Run       python -c "from skyloom.arena import match as m; print(m.play('basin', [m.bot('slow_push'), m.bot('slow_push')], seed=1))"
"""

from dataclasses import dataclass

from skyloom.arena.bots._macro import MacroBot, MacroConfig
from skyloom.arena.match import Player


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(MacroConfig):
    """Slow hands and idle habits."""

    cadence: int = 40
    lapse: float = 0.2
    workers: int = 14
    barracks: int = 1
    wave: int = 10
    reinforcement: int = 4
    queue: int = 3
    supply_margin: int = 1


def build(config: Config) -> Player:
    """A player with these settings."""
    return MacroBot(config)
