"""From logits to actions: a policy answers a batch of views, one structured action each.

Formula  kind ~ softmax(logits / temperature) over legal kinds; then, given the kind: skip sampled; units with
         probability above 1/2, the likeliest one where none is; target and position ~ softmax(logits /
         aim_temperature) over what fits
Source   The order of the heads is SCC's: the action first, then the units, then the targets given both.
Flow     arena.view -> features -> network -> [policy] -> arena.match
Shapes   B views, A kinds, U own rows, X target rows, N minimap cells, R random numbers
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from skyloom.arena import spec
from skyloom.arena.view import View, masks, position_mask
from skyloom.starcraft.agent.config import PolicyConfig
from skyloom.starcraft.agent.features import cut_targets, full_target, observe, set_sizes
from skyloom.starcraft.agent.network import MASKED, Agent, Condition, State
from skyloom.starcraft.policies import NEEDS


class NetworkPolicy:
    """The agent as a policy: one forward pass a batch."""

    def __init__(self, network: Agent, config: PolicyConfig) -> None:
        self._network = network.eval()
        self._config = config

    @torch.no_grad()
    def act(self, views: View, draws_BR: Float[np.ndarray, "B R"]) -> list[spec.Action]:
        """See Policy."""
        legal = masks(views)
        seen = observe(views, legal.kinds)
        sizes = set_sizes(seen)
        state = self._network.encode(seen)
        warm, aim = self._config.temperature, self._config.aim_temperature
        kind_B = sample(self._network.kind_logits(state), torch.from_numpy(legal.kinds), draws_BR[:, 0], warm)
        given = self._network.condition(state, kind_B)
        skip_B = sample(self._network.skip_logits(given), None, draws_BR[:, 1], warm)
        queued_B = self._network.queued_logit(given) > 0
        rows, kinds = np.arange(len(views)), kind_B.numpy()
        unit_legal = torch.from_numpy(legal.units[rows, kinds][:, : sizes[0]])
        selected_BU = select(self._network.unit_logits(state, given), unit_legal)
        given = self._network.condition_with(state, given, selected_BU)
        target_legal = torch.from_numpy(cut_targets(legal.targets[rows, kinds], sizes))
        target_B = sample(self._network.target_logits(state, given), target_legal, draws_BR[:, 2], aim)
        position_B = self._positions(views, state, given, kinds, draws_BR[:, 3])
        # A structure for which there is no room any more: look again later instead.
        kinds = np.where(NEEDS.position_A[kinds] & (position_B < 0), spec.NO_OP, kinds)
        return [
            spec.Action(
                kind=int(kinds[b]),
                units=tuple(np.flatnonzero(selected_BU[b].numpy())[: spec.MAX_SELECTED].tolist()),
                position=int(position_B[b]),
                target=full_target(int(target_B[b]), sizes) if NEEDS.target_A[kinds[b]] else -1,
                queued=bool(queued_B[b]) and bool(NEEDS.units_A[kinds[b]]),
                skip=spec.SKIPS[int(skip_B[b])],
            )
            for b in range(len(views))
        ]

    def _positions(
        self, views: View, state: State, given: Condition, kinds_B: NDArray[np.int64], draws_B: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Target cells of the views whose kind needs one, -1 elsewhere; a structure without a free place gets none."""
        positions = np.full(len(views), -1, dtype=np.int64)
        rows = np.flatnonzero(NEEDS.position_A[kinds_B])
        if not len(rows):
            return positions
        at = torch.from_numpy(rows)
        sub_state = State(*(part[at] for part in state))
        logits = self._network.position_logits(sub_state, Condition(*(part[at] for part in given)))
        fits = np.stack([position_mask(views[int(b)], int(kinds_B[b])).ravel() for b in rows])
        chosen = sample(logits, torch.from_numpy(fits), draws_B[rows], self._config.aim_temperature).numpy()
        positions[rows] = np.where(fits.any(1), chosen, -1)
        return positions


def sample(
    logits_BL: Float[Tensor, "B L"], legal_BL: Bool[Tensor, "B L"] | None, draws_B: NDArray[np.float64], heat: float
) -> Int[Tensor, " B"]:
    """Inverse-CDF draws from softmax(logits / heat) over what is legal (everything where nothing is)."""
    if legal_BL is not None:
        logits_BL = logits_BL.masked_fill(~legal_BL & legal_BL.any(1, keepdim=True), MASKED)
    chance_BL = torch.softmax(logits_BL.double() / heat, dim=1)
    # Scaled to the last entry: rounding must never leave a draw above the whole sum.
    total_BL = chance_BL.cumsum(1)
    level_B = torch.from_numpy(draws_B) * total_BL[:, -1]
    return torch.searchsorted(total_BL, level_B.unsqueeze(1), right=True).squeeze(1).clamp(max=logits_BL.shape[1] - 1)


def select(logits_BU: Float[Tensor, "B U"], legal_BU: Bool[Tensor, "B U"]) -> Bool[Tensor, "B U"]:
    """Legal units with a positive logit; the best legal one where none has; nobody where nobody is legal."""
    masked = logits_BU.masked_fill(~legal_BU, MASKED)
    chosen = masked > 0
    best = torch.zeros_like(chosen).scatter(1, masked.argmax(1, keepdim=True), value=True)
    return torch.where(chosen.any(1, keepdim=True), chosen, best & legal_BU)
