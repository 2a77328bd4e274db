"""The settings of a starcraft run: torch-free, so that recipes, plans and the command line can import them.

Flow  recipes build `pipeline.Config` from these; `--set train.updates=500` changes them
Run   skyloom plan scc
"""

from dataclasses import dataclass, field

from skyloom.core.config import Config
from skyloom.core.execute import ExecuteConfig
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.records import SourceConfig
from skyloom.starcraft.agent.config import ImitateConfig
from skyloom.starcraft.evals.win_rate import Config as WinRateConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class ScConfig(Config):
    """One run from games to a win rate."""

    collect: tuple[SourceConfig, ...]
    """Where games come from."""
    curate: tuple[AnnotatorConfig | DeciderConfig, ...]
    """Annotators and deciders, in order."""
    train: ImitateConfig = field(default_factory=ImitateConfig)
    evaluate: WinRateConfig = field(default_factory=WinRateConfig)
    execute: ExecuteConfig = field(default_factory=ExecuteConfig)
    seed: int = 0
    """Seed of training and evaluation; a world has its own."""
