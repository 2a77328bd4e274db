"""Sizes of the agent's network: torch-free, so that recipes and plans can import it.

Source  SCC (arXiv 2012.13169, appendix A) where a field says so; SCC does not publish widths, depths or the number of
        queries.
Flow    recipes -> [AgentConfig] -> agent/network.py
Run     skyloom run scc --set train.agent.width=128
"""

from dataclasses import dataclass, field
from typing import Literal

from skyloom.core.config import Config
from skyloom.core.optim import TrainerConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentConfig(Config):
    """One network; the defaults make about 0.25M parameters."""

    width: int = 64
    """Size of a unit's vector; a multiple of `heads`."""
    core: int = 128
    """Size of the aggregated state vector."""
    blocks: int = 1
    """Group-transformer blocks; SCC has 3."""
    heads: int = 2
    """Attention heads; 2 in SCC, each of size 32."""
    queries: int = 4
    """Trainable queries of the attention pooling of each unit set."""
    channels: int = 24
    """Channels of the minimap's residual blocks."""
    resblocks: int = 2
    """Residual blocks of the minimap encoder."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for sizes that make no network."""
        sizes = ("width", "core", "heads", "queries", "channels")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"width={self.width} must be a multiple of heads={self.heads}")
        if self.blocks < 0 or self.resblocks < 0:
            raise ValueError(f"blocks={self.blocks} and resblocks={self.resblocks} must be 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyConfig(Config):
    """How logits become actions."""

    temperature: float = 1.0
    """Of the action kind and the skip; 1 plays as the network believes, towards 0 takes the likeliest."""
    aim_temperature: float = 0.5
    """Of target unit and target position."""

    def __post_init__(self) -> None:
        """Raise ValueError for temperatures that divide by zero."""
        if self.temperature <= 0 or self.aim_temperature <= 0:
            raise ValueError("temperature and aim_temperature must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImitateConfig(Config):
    """Behaviour cloning."""

    agent: AgentConfig = AgentConfig()
    optim: TrainerConfig = field(default_factory=TrainerConfig)
    """SCC: 1e-3 for the full set, then 1e-5 on the winners of the best players' games."""
    batch: int = 256
    """Decisions an update; SCC 15,400."""
    micro_batch: int = 256
    """Decisions in one forward pass; changes memory, not results."""
    updates: int = 1000
    sides: Literal["winner", "both"] = "winner"
    """Whose decisions are learnt; SCC fine-tunes on winners."""
    keep_no_ops: float = 0.25
    """Share of the decisions to do nothing that is learnt from, each weighing for those left out. AlphaStar Unplugged
    keeps none of them, which shortens its games twelvefold; without any, an agent that looks too early must act."""
    rare_power: float = 0.25
    """How strongly rare action kinds weigh: 0 not at all, 1 all kinds alike."""
    valid_share: float = 0.1
    """Share of the games that is carved out for validation."""
    valid_every: int = 200
    """Updates between two validations."""
    valid_samples: int = 2048
    """Decisions that a validation looks at; the last one looks at all."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for values that cannot train."""
        for name in ("batch", "micro_batch", "updates", "valid_every", "valid_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not 0 < self.valid_share < 1:
            raise ValueError(f"valid_share={self.valid_share} must lie between 0 and 1")
        if not 0 < self.keep_no_ops <= 1:
            raise ValueError(f"keep_no_ops={self.keep_no_ops} must lie above 0 and at most at 1")
        if not 0 <= self.rare_power <= 1:
            raise ValueError(f"rare_power={self.rare_power} must lie within 0 and 1")
