"""What a starcraft run will cost: core-hours from rates that were measured, printed beside the numbers.

Formula  items / (items a core-second); learning and acting slow down with the square root of the network's size
Flow     skyloom plan scc -> pipeline.plan -> [plan]
"""

import math

from skyloom.core.plan import Plan, core_line, machine, state_memory
from skyloom.core.records import SourceConfig
from skyloom.starcraft.agent.config import AgentConfig
from skyloom.starcraft.settings import ScConfig

MACHINE: str = "laptop (2 cores)"
LOOPS_A_GAME: int = 5_400
"""Mean length of a game between the two scripted players; measured on `basin`."""
DECISIONS_A_SIDE: int = 440
"""Decisions of the stronger side of such a game, those to do nothing included; measured."""
ACTING: float = 0.12
"""Share of these decisions that do something; measured."""
BOT_LOOPS: float = 22_000.0
"""Game loops a core-second with two scripted players and a recording; measured."""
VERIFIED_LOOPS: float = 60_000.0
"""Game loops a core-second when a recording is played again without looking; measured."""
ENCODED: float = 900.0
"""Stored decisions a core-second: simulated again, masked and packed; measured."""
TRAINED: float = 640.0
"""Decisions a core-second that a network of 0.25M parameters learns from; measured."""
ACTED: float = 700.0
"""Decisions a core-second that this network makes, view and masks included; measured."""
REFERENCE: int = 250_000
"""Parameters of the network that the two rates belong to."""
SAMPLE_BYTES: int = 2_750
"""Bytes of a packed decision; measured."""


def plan(config: ScConfig) -> Plan:
    """Cost of every step on the laptop; real replays are counted when they are collected, so they cost nothing here."""
    games = sum(_games(source) for source in config.collect)
    size = parameters(config.train.agent)
    where, slower = machine(MACHINE), math.sqrt(size / REFERENCE)
    kept = ACTING + (1 - ACTING) * config.train.keep_no_ops
    samples = round(games * DECISIONS_A_SIDE * kept * (1 if config.train.sides == "winner" else 2))
    seen = config.train.batch * config.train.updates
    played = config.evaluate.games * len(config.evaluate.opponents) + 2 * config.evaluate.null_games
    acting = played * DECISIONS_A_SIDE / (ACTED / slower)
    lines = (
        core_line("collect", games * LOOPS_A_GAME, BOT_LOOPS, where),
        core_line("curate", games * LOOPS_A_GAME, VERIFIED_LOOPS, where),
        core_line("encode", samples, ENCODED, where),
        core_line("train", seen, TRAINED / slower, where, memory_bytes=state_memory(size)),
        core_line("evaluate", acting + played * LOOPS_A_GAME / BOT_LOOPS, 1.0, where),
    )
    assumptions = (
        f"{games:,} games of {LOOPS_A_GAME:,} loops, {DECISIONS_A_SIDE} decisions a side; {size:,} parameters",
        f"{config.train.updates:,} updates of {config.train.batch:,} decisions; packed samples take "
        f"{samples * SAMPLE_BYTES / 1e6:,.0f} MB of disk",
        f"measured a core-second: {BOT_LOOPS:,.0f} loops between bots, {ENCODED:,.0f} decisions encoded, "
        f"{TRAINED:,.0f} learnt and {ACTED:,.0f} made by {REFERENCE:,} parameters; scaled by the square root of size, "
        "which fits 215 learnt by 2.9M",
        where.assumption,
    )
    return Plan(title=f"starcraft, {games:,} games", lines=lines, assumptions=assumptions)


def parameters(agent: AgentConfig) -> int:
    """About how many parameters a network of this size has, without building it: the large matrices only."""
    width, core, channels = agent.width, agent.core, agent.channels
    group = agent.blocks * (9 * 3 * width**2 + 3 * 3 * width**2)
    pools = 3 * 3 * width**2 + 3 * agent.queries * width * core
    maps = (2 * agent.resblocks + 2) * 9 * channels**2 + 512 * core
    heads = 4 * width**2 + 4 * width * core + 2 * core * channels
    return group + pools + maps + heads + 7 * core**2


def _games(source: SourceConfig) -> int:
    return int(getattr(source, "games", 0))
