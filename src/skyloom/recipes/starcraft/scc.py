"""SCC's supervised stage (arXiv 2012.13169, section 5): imitate winners, measure wins against scripted players.

`config()` keeps what the paper publishes and the thin loop supports: three group-transformer blocks with 2 heads of
size 32,
batch 15,400, learning rate 1e-3, about 140,000 updates, 100 games an opponent. Its phase 2 (1e-5 on the winners of the
best players' games) needs `train` run again on fewer games. `smoke()` is the same on a laptop, within two minutes.

Run   skyloom run scc:smoke
"""

from skyloom.core.execute import ExecuteConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import SourceConfig
from skyloom.starcraft.agent.config import AgentConfig, ImitateConfig
from skyloom.starcraft.annotate import duplicate as find_duplicates
from skyloom.starcraft.annotate import game, verified
from skyloom.starcraft.decide import duplicate, idle_side, short_games, unverified, winners_only
from skyloom.starcraft.evals.win_rate import Config as WinRateConfig
from skyloom.starcraft.settings import ScConfig
from skyloom.starcraft.sources import arena_games

CHAIN = (
    game.Config(),
    find_duplicates.Config(),
    duplicate.Config(),
    winners_only.Config(),
    short_games.Config(),
    idle_side.Config(),
    verified.Config(),
    unverified.Config(),
)
"""Cheap rules first; re-simulation comes last."""


def config() -> ScConfig:
    """The published size, on games of the embedded engine."""
    return ScConfig(
        collect=(
            arena_games.Config(
                matchups=("marine_push:slow_push", "marine_push:marine_push"), games=100_000, games_a_shard=64
            ),
        ),
        curate=CHAIN,
        train=ImitateConfig(
            agent=AgentConfig(width=64, core=384, blocks=3, heads=2, channels=64, resblocks=4),
            optim=TrainerConfig(lr=1e-3, schedule="constant", checkpoint_every=1000),
            batch=15_400,
            micro_batch=512,
            updates=140_000,
            valid_share=0.01,
            valid_every=2_000,
        ),
        evaluate=WinRateConfig(opponents=("slow_push", "marine_push"), games=100, null_games=100),
    )


def smoke() -> ScConfig:
    """Laptop size: a small network learns the stronger scripted player and must beat the weaker one."""
    return ScConfig(
        collect=(arena_games.Config(matchups=("marine_push:slow_push",), games=64, games_a_shard=16),),
        curate=CHAIN,
        train=ImitateConfig(
            agent=AgentConfig(width=32, core=96, blocks=0, channels=16, resblocks=1),
            optim=TrainerConfig(lr=3e-3, checkpoint_every=175, threads=1),
            batch=32,
            micro_batch=32,
            updates=700,
            valid_share=0.1,
            valid_every=350,
            valid_samples=500,
        ),
        evaluate=WinRateConfig(opponents=("slow_push",), games=40, null_games=20, width=40),
        execute=ExecuteConfig(kind="processes"),
    )


def from_source(source: SourceConfig, seed: int) -> ScConfig:
    """The laptop setting on another source of games."""
    small = smoke()
    return ScConfig(collect=(source,), curate=small.curate, train=small.train, evaluate=small.evaluate, seed=seed)
