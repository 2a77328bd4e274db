"""Policies: whatever answers a batch of views, the two null ones, and the adapter to a single player.

Flow    arena.view -> [policy] -> arena.match; agent/policy.py is the learnt one. Torch-free.
Shapes  B views, R random numbers a decision
"""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from skyloom.arena import spec
from skyloom.arena.engine.rules import Target
from skyloom.arena.view import Masks, View, masks, position_mask

DRAWS: int = 5
"""Random numbers of one decision: kind, skip, target unit, position, unit."""


@runtime_checkable
class Policy(Protocol):
    """Whatever plays many games at once."""

    def act(self, views: View, draws_BR: Float[np.ndarray, "B R"]) -> list[spec.Action]:
        """One action a view; `draws_BR` are uniform numbers from each game's own stream, so batching changes no game."""
        ...


class Needs(NamedTuple):
    """Which kinds use which head, as arrays over the action kinds."""

    units_A: NDArray[np.bool_]
    target_A: NDArray[np.bool_]
    position_A: NDArray[np.bool_]


NEEDS: Needs = Needs(
    np.array([action.selects for action in spec.ACTIONS]),
    np.array([action.target == Target.UNIT for action in spec.ACTIONS]),
    np.array([action.target == Target.POSITION for action in spec.ACTIONS]),
)


class RandomPolicy:
    """Null baseline: a uniformly drawn legal kind, with uniformly drawn unit, target and place."""

    def act(self, views: View, draws_BR: Float[np.ndarray, "B R"]) -> list[spec.Action]:
        """See Policy."""
        legal = masks(views)
        return [_random_action(views[b], _at(legal, b), draws_BR[b]) for b in range(len(views))]


class IdlePolicy:
    """Null baseline: never acts."""

    def act(self, views: View, draws_BR: Float[np.ndarray, "B R"]) -> list[spec.Action]:
        """See Policy."""
        del draws_BR
        return [spec.Action(kind=spec.NO_OP, skip=spec.MAX_SKIP)] * len(views)


class PolicyPlayer:
    """A policy as a player of arena.match: one game, one view at a time."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._rng = np.random.Generator(np.random.PCG64(0))

    def reset(self, seed: int, player_id: int, start: object) -> None:
        """A new game: the random stream starts at its seed."""
        del start
        self._rng = np.random.Generator(np.random.PCG64([seed, player_id]))

    def act(self, view: View) -> spec.Action:
        """The action for one view."""
        (action,) = self._policy.act(as_batch(view), self._rng.random((1, DRAWS)))
        return action


def as_batch(view: View) -> View:
    """A single view as a batch of one."""
    return View(
        scalars=view.scalars[None],
        minimap=view.minimap[None],
        my=view.my[None],
        enemy=view.enemy[None],
        neutral=view.neutral[None],
        counts=view.counts[None],
    )


def _at(legal: Masks, index: int) -> Masks:
    return Masks(*(part[index] for part in legal))


def _random_action(view: View, legal: Masks, draws_R: NDArray[np.float64]) -> spec.Action:
    kind = _pick(np.flatnonzero(legal.kinds), draws_R[0])
    skip = spec.MIN_SKIP + int(draws_R[1] * (spec.MAX_SKIP - spec.MIN_SKIP + 1))
    unit = _pick(np.flatnonzero(legal.units[kind]), draws_R[4])
    target = _pick(np.flatnonzero(legal.targets[kind]), draws_R[2]) if NEEDS.target_A[kind] else -1
    fits = position_mask(view, kind).ravel() if NEEDS.position_A[kind] else np.zeros(0, dtype=np.bool_)
    position = _pick(np.flatnonzero(fits), draws_R[3])
    if kind == spec.NO_OP or (NEEDS.position_A[kind] and position < 0):
        return spec.Action(skip=skip)
    return spec.Action(kind=kind, units=(unit,), target=target, position=position, skip=skip)


def _pick(among: NDArray[np.int64], draw: float) -> int:
    return int(among[int(draw * len(among))]) if len(among) else -1
