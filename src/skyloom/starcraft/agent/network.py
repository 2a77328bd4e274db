"""The agent's network: SCC's structure at laptop size, from a batch of views to the logits of six heads.

Formula  unit heads: score_i = v_a . tanh(W_q q + W_u u_i), the vector v_a being an embedding of the chosen action
         (conditioned concat-attention); target position: FiLM of the map by the condition, then sub-pixel upsampling
Source   SCC (arXiv 2012.13169, appendix A): three unit sets with a group transformer, attention pooling with trainable
         queries, units scattered onto the minimap, a single FC for the action, all heads conditioned on the action by
         concatenation + FC, target heads also on the selected units. Perez et al. 2018 (FiLM); Shi et al. 2016
         (sub-pixel)
Limits   Ours, not SCC's: no LSTM (behaviour cloning without memory did better in AlphaStar Unplugged, 84 against 70 per
         cent), and each unit is selected by an independent sigmoid instead of a pointer network's sequence
Flow     features -> [network] -> imitate (losses), policy (actions)
Shapes   B views, U rows of one set, X rows of the three sets, D unit width, H state, A actions, K skip classes, C
         channels, G coarse map side, N = M * M minimap cells, Q queries
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from skyloom.arena import spec
from skyloom.starcraft.agent.config import AgentConfig
from skyloom.starcraft.agent.features import GRID, N_NUMBERS, N_SCALARS, Observed, UnitSet

_EMBEDDING: int = 16
_UP: int = spec.MINIMAP // GRID
MASKED: float = -1e9
"""Logit of what is not legal."""


class State(NamedTuple):
    """What the encoder makes of a batch of views; every head reads it."""

    core_BH: Float[Tensor, "B H"]
    my_BUD: Float[Tensor, "B U D"]
    targets_BXD: Float[Tensor, "B X D"]
    map_BCGG: Float[Tensor, "B C G G"]


class Condition(NamedTuple):
    """The state together with a chosen action kind."""

    query_BH: Float[Tensor, "B H"]
    action_BD: Float[Tensor, "B D"]
    """The embedding that replaces the fixed vector of concat-attention."""


class Agent(nn.Module):
    """Encoder and six heads. Heads return unmasked logits; masks are applied where they are known."""

    def __init__(self, config: AgentConfig) -> None:
        super().__init__()
        width, core = config.width, config.core
        self.units = nn.ModuleList(UnitEncoder(width) for _ in spec.SETS)
        self.group = nn.ModuleList(GroupBlock(width, config.heads) for _ in range(config.blocks))
        self.pools = nn.ModuleList(AttentionPool(width, config.heads, config.queries) for _ in spec.SETS)
        self.scalars = nn.Sequential(nn.Linear(N_SCALARS, core), nn.ReLU(), nn.Linear(core, core), nn.ReLU())
        self.minimap = MapEncoder(config)
        pooled = len(spec.SETS) * config.queries * width + core + core
        self.merge = nn.Sequential(nn.Linear(pooled, core), nn.ReLU(), ResidualMlp(core), nn.ReLU())
        self.kind = nn.Linear(core, spec.N_ACTIONS)
        self.embed_kind = nn.Embedding(spec.N_ACTIONS, width)
        self.condition_on_kind = nn.Sequential(nn.Linear(core + width, core), nn.ReLU())
        self.skip = nn.Linear(core, len(spec.SKIPS))
        self.queued = nn.Linear(core, 1)
        self.select = ConcatAttention(core, width)
        self.condition_on_units = nn.Sequential(nn.Linear(core + 2 * width, core), nn.ReLU())
        self.target = ConcatAttention(core, width)
        self.position = PositionHead(core, config.channels)

    def encode(self, seen: Observed) -> State:
        """The shared trunk: three unit sets, scalars, minimap with scattered units, merged."""
        vectors = [encoder(part) for encoder, part in zip(self.units, seen.sets, strict=True)]
        used = [part.used_BU for part in seen.sets]
        for block in self.group:
            vectors = block(vectors, used)
        pooled = [pool(v, u) for pool, v, u in zip(self.pools, vectors, used, strict=True)]
        cells = torch.cat([part.cells_BU for part in seen.sets], dim=1)
        every, every_used = torch.cat(vectors, dim=1), torch.cat(used, dim=1)
        map_BCGG, map_BH = self.minimap(seen.planes_BPMM, every, cells, every_used)
        core = self.merge(torch.cat([*pooled, self.scalars(seen.scalars_BS), map_BH], dim=1))
        return State(core_BH=core, my_BUD=vectors[0], targets_BXD=every, map_BCGG=map_BCGG)

    def kind_logits(self, state: State) -> Float[Tensor, "B A"]:
        """Head 1, the action kind: a single FC."""
        return self.kind(state.core_BH)

    def condition(self, state: State, kind_B: Int[Tensor, " B"]) -> Condition:
        """The state with an action kind chosen (by the policy, or by the teacher in training)."""
        action = self.embed_kind(kind_B)
        return Condition(self.condition_on_kind(torch.cat([state.core_BH, action], dim=1)), action)

    def skip_logits(self, given: Condition) -> Float[Tensor, "B K"]:
        """Head 2, loops until the next decision, as classes of spec.SKIPS."""
        return self.skip(given.query_BH)

    def queued_logit(self, given: Condition) -> Float[Tensor, " B"]:
        """Head 3, whether the order is appended."""
        return self.queued(given.query_BH).squeeze(1)

    def unit_logits(self, state: State, given: Condition) -> Float[Tensor, "B U"]:
        """Head 4, one logit per own unit: in the selection or not."""
        return self.select(given, state.my_BUD)

    def condition_with(self, state: State, given: Condition, selected_BU: Bool[Tensor, "B U"]) -> Condition:
        """The condition of the two target heads: mean and maximum of the selected units' vectors join it."""
        chosen = selected_BU.unsqueeze(2)
        mean = (state.my_BUD * chosen).sum(1) / chosen.sum(1).clamp(min=1)
        peak = state.my_BUD.masked_fill(~chosen, MASKED).amax(1).masked_fill(~chosen.any(1), 0.0)
        return Condition(self.condition_on_units(torch.cat([given.query_BH, mean, peak], dim=1)), given.action_BD)

    def target_logits(self, state: State, given: Condition) -> Float[Tensor, "B X"]:
        """Head 5, one logit per row of the three sets."""
        return self.target(given, state.targets_BXD)

    def position_logits(self, state: State, given: Condition) -> Float[Tensor, "B N"]:
        """Head 6, one logit per minimap cell, y * M + x."""
        return self.position(given.query_BH, state.map_BCGG)


class UnitEncoder(nn.Module):
    """Type and order embeddings with the unit's numbers, through one hidden layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed_type = nn.Embedding(spec.N_TYPES, _EMBEDDING)
        self.embed_order = nn.Embedding(spec.N_ACTIONS, _EMBEDDING)
        self.mlp = nn.Sequential(nn.Linear(2 * _EMBEDDING + N_NUMBERS, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, part: UnitSet) -> Float[Tensor, "B U D"]:
        """Vectors of one set; unused rows are zero."""
        parts = [self.embed_type(part.types_BU), self.embed_order(part.orders_BU), part.numbers_BUF]
        return self.mlp(torch.cat(parts, dim=2)) * part.used_BU.unsqueeze(2)


class Attention(nn.Module):
    """Multi-head attention of queries over the used rows of a set; a set without any gives zeros."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def forward(
        self, query_BQD: Float[Tensor, "B Q D"], rows_BUD: Float[Tensor, "B U D"], used_BU: Bool[Tensor, "B U"]
    ) -> Float[Tensor, "B Q D"]:
        """Attended vectors, heads side by side."""
        batch, queries, width = query_BQD.shape
        split = (batch, -1, self.heads, width // self.heads)
        q = self.query(query_BQD).view(split).transpose(1, 2)
        k, v = (part.reshape(split).transpose(1, 2) for part in self.key_value(rows_BUD).chunk(2, dim=2))
        some = used_BU.any(1)
        # An empty set would make softmax divide zero by zero: let it look at its zero rows and drop the result.
        mask = (used_BU | ~some.unsqueeze(1))[:, None, None, :]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return out.transpose(1, 2).reshape(batch, queries, width) * some[:, None, None]


class GroupBlock(nn.Module):
    """One block of the group transformer: every set attends to itself and to the two others."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        sets = range(len(spec.SETS))
        self.attend = nn.ModuleList(Attention(width, heads) for _ in sets for _ in sets)
        self.mix = nn.ModuleList(nn.Linear(len(spec.SETS) * width, width) for _ in sets)
        self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in sets)

    def forward(self, vectors: list[Tensor], used: list[Tensor]) -> list[Tensor]:
        """New vectors of each set, residual, unused rows zero."""
        count = len(vectors)
        out: list[Tensor] = []
        for i in range(count):
            seen = [self.attend[i * count + j](vectors[i], vectors[j], used[j]) for j in range(count)]
            mixed = vectors[i] + F.relu(self.mix[i](torch.cat(seen, dim=2)))
            out.append(self.norm[i](mixed) * used[i].unsqueeze(2))
        return out


class AttentionPool(nn.Module):
    """Several trainable queries attend over a set; their results side by side."""

    def __init__(self, width: int, heads: int, queries: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width) * width**-0.5)
        self.attend = Attention(width, heads)

    def forward(self, rows_BUD: Float[Tensor, "B U D"], used_BU: Bool[Tensor, "B U"]) -> Float[Tensor, "B QD"]:
        """One vector a view, of size queries * width."""
        queries = self.queries.expand(len(rows_BUD), -1, -1)
        return self.attend(queries, rows_BUD, used_BU).flatten(1)


class MapEncoder(nn.Module):
    """Minimap planes and scattered units to a coarse map and a vector."""

    def __init__(self, config: AgentConfig) -> None:
        super().__init__()
        channels = config.channels
        self.patch = nn.Conv2d(len(spec.PLANES), channels, kernel_size=_UP, stride=_UP)
        self.scatter = nn.Linear(config.width, channels)
        self.merge = nn.Conv2d(2 * channels, channels, kernel_size=1)
        self.blocks = nn.ModuleList(ResidualConv(channels) for _ in range(config.resblocks))
        self.reduce = nn.Conv2d(channels, 8, kernel_size=1)
        self.flat = nn.Sequential(nn.Linear(8 * GRID * GRID // 4, config.core), nn.ReLU())

    def forward(
        self,
        planes_BPMM: Float[Tensor, "B P M M"],
        rows_BXD: Float[Tensor, "B X D"],
        cells_BX: Int[Tensor, "B X"],
        used_BX: Bool[Tensor, "B X"],
    ) -> tuple[Float[Tensor, "B C G G"], Float[Tensor, "B H"]]:
        """The coarse map for the position head, and the flattened vector for the merge."""
        units = self.scatter(rows_BXD) * used_BX.unsqueeze(2)
        batch, _, channels = units.shape
        index = cells_BX.unsqueeze(2).expand(-1, -1, channels)
        scattered = torch.zeros(batch, GRID * GRID, channels, dtype=units.dtype, device=units.device)
        scattered = scattered.scatter_add(1, index, units).transpose(1, 2).view(batch, channels, GRID, GRID)
        grid = F.relu(self.merge(torch.cat([F.relu(self.patch(planes_BPMM)), scattered], dim=1)))
        for block in self.blocks:
            grid = block(grid)
        vector = self.flat(F.avg_pool2d(F.relu(self.reduce(grid)), 2).flatten(1))
        return grid, vector


class ResidualConv(nn.Module):
    """Two 3x3 convolutions with a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, grid: Float[Tensor, "B C G G"]) -> Float[Tensor, "B C G G"]:
        """Same shape."""
        return F.relu(grid + self.second(F.relu(self.first(grid))))


class ResidualMlp(nn.Module):
    """Normalised two-layer residual block: the place of SCC's residual LSTM."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))

    def forward(self, core_BH: Float[Tensor, "B H"]) -> Float[Tensor, "B H"]:
        """Same shape."""
        return core_BH + self.inner(core_BH)


class ConcatAttention(nn.Module):
    """Conditioned concat-attention: the action's embedding scores the mix of query and unit."""

    def __init__(self, core: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(core, width)
        self.unit = nn.Linear(width, width, bias=False)
        self.gain = nn.Linear(width, width)

    def forward(self, given: Condition, rows_BUD: Float[Tensor, "B U D"]) -> Float[Tensor, "B U"]:
        """One score a row."""
        mixed = torch.tanh(self.query(given.query_BH).unsqueeze(1) + self.unit(rows_BUD))
        return torch.einsum("bud,bd->bu", mixed, self.gain(given.action_BD))


class PositionHead(nn.Module):
    """FiLM of the coarse map by the condition, one residual block, sub-pixel upsampling to minimap cells."""

    def __init__(self, core: int, channels: int) -> None:
        super().__init__()
        self.film = nn.Linear(core, 2 * channels)
        self.block = ResidualConv(channels)
        self.out = nn.Conv2d(channels, _UP * _UP, kernel_size=1)

    def forward(self, query_BH: Float[Tensor, "B H"], map_BCGG: Float[Tensor, "B C G G"]) -> Float[Tensor, "B N"]:
        """Logits of the cells, y * M + x."""
        scale, shift = self.film(query_BH)[:, :, None, None].chunk(2, dim=1)
        grid = self.block(F.relu(map_BCGG * (1 + scale) + shift))
        return F.pixel_shuffle(self.out(grid), _UP).flatten(1)
