"""A key-value cache with room behind its last token: a new token is written in place, where transformers' copies all before it.

Formula  a layer holds buffers of B x H x C x D, of which the first T tokens are in use; C grows by ROOM when it is full
Why own  DynamicCache concatenates: T tokens cost T * (T + 1) / 2 copies, as much as the model's own work on long replies of small models
Flow     core.llm.generate makes one a batch
Run      python benchmarks/generate.py
Limits   Layers of sliding windows and other kinds stay transformers' own.
Shapes   B rows, H heads of keys, C capacity and T tokens, D width of a head
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

ROOM: int = 128
"""Tokens by which a full layer grows."""


class RoomyLayer(DynamicLayer):
    """One layer."""

    _layer_type = None  # not for transformers' own table of layers

    def __init__(self) -> None:
        super().__init__()
        self._rooms: tuple[Tensor, ...] = ()
        """Of keys and of values; `keys` and `values` are their first T tokens."""

    def update(
        self,
        key_states: Float[Tensor, "B H Q D"],
        value_states: Float[Tensor, "B H Q D2"],
        *args: Any,  # Any: transformers' own
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Append tokens; returns all keys and values."""
        del args, kwargs
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        have, need = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        if not self._rooms or need > self._rooms[0].shape[-2]:
            larger = tuple(_larger(states, need + ROOM) for states in (key_states, value_states))
            for room, old in zip(larger, self._rooms, strict=False):  # none yet before the first tokens
                room[:, :, :have] = old[:, :, :have]
            self._rooms = larger
        self._rooms[0][:, :, have:need], self._rooms[1][:, :, have:need] = key_states, value_states
        return self._shown(need)

    def batch_select_indices(self, indices: Int[Tensor, " B2"]) -> None:
        """Keep these rows, in this order; one may stand several times."""
        have = self.get_seq_length()
        if have:
            self._rooms = tuple(torch.index_select(room, 0, indices) for room in self._rooms)
            self._shown(have)

    def _shown(self, tokens: int) -> tuple[Tensor, Tensor]:
        self.keys, self.values = (room[:, :, :tokens] for room in self._rooms)
        return self.keys, self.values


def _larger(states: Tensor, capacity: int) -> Tensor:
    return states.new_empty((*states.shape[:2], capacity, states.shape[-1]))


def roomy_cache(config: PreTrainedConfig) -> DynamicCache:
    """A cache for a model of this config, with room in every plain layer."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
