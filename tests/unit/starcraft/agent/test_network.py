"""The network: shapes, masks, and what must not change its answers."""

import numpy as np
import pytest
import torch

from skyloom.arena import spec, view
from skyloom.starcraft.agent.config import AgentConfig
from skyloom.starcraft.agent.features import Observed, UnitSet, observe
from skyloom.starcraft.agent.network import Agent

SMALL = AgentConfig(width=16, core=32, blocks=1, channels=8, resblocks=1, queries=2)


def looks(batch: int = 3, seed: int = 0) -> view.View:
    found = view.empty(batch)
    rng = np.random.default_rng(seed)
    for rows, count in ((found.my, 6), (found.enemy, 4), (found.neutral, 5)):
        rows[:, :count] = rng.integers(0, 3000, size=(batch, count, rows.shape[2]))
        rows[:, :count, spec.C_["type"]] = rng.integers(1, spec.N_TYPES, size=(batch, count))
        rows[:, :count, spec.C_["order"]] = rng.integers(0, spec.N_ACTIONS, size=(batch, count))
    found.minimap[:] = rng.integers(0, 2, size=found.minimap.shape)
    found.counts[:] = [6, 4, 5]
    return found


def seen_of(found: view.View) -> Observed:
    return observe(found, np.ones((len(found), spec.N_ACTIONS), dtype=np.bool_))


def answers(network: Agent, seen: Observed) -> dict[str, torch.Tensor]:
    batch = len(seen.scalars_BS)
    with torch.no_grad():
        state = network.encode(seen)
        given = network.condition(state, torch.full((batch,), 3))
        selected = torch.zeros(seen.my.used_BU.shape, dtype=torch.bool)
        selected[:, 0] = True
        joined = network.condition_with(state, given, selected)
        return {
            "kind": network.kind_logits(state),
            "skip": network.skip_logits(given),
            "queued": network.queued_logit(given),
            "units": network.unit_logits(state, given),
            "target": network.target_logits(state, joined),
            "position": network.position_logits(state, joined),
        }


@pytest.fixture
def network() -> Agent:
    torch.manual_seed(0)
    return Agent(SMALL).eval()


def test_heads_have_the_sizes_of_the_spec(network: Agent):
    found = {name: tuple(each.shape) for name, each in answers(network, seen_of(looks())).items()}
    assert found == {
        "kind": (3, spec.N_ACTIONS),
        "skip": (3, len(spec.SKIPS)),
        "queued": (3,),
        "units": (3, 6),
        "target": (3, 15),
        "position": (3, spec.POSITIONS),
    }


def test_unused_rows_change_nothing(network: Agent):
    """A view alone and the same view beside a fuller one, whose padding it shares, get the same logits."""
    alone, full = looks(1), looks(1, seed=5)
    alone.my[0, 3:], alone.enemy[0, :], alone.neutral[0, 2:] = 0, 0, 0
    alone.counts[0] = [3, 0, 2]
    both = view.View(
        **{
            name: np.concatenate([getattr(alone, name), getattr(full, name)])
            for name in ("scalars", "minimap", "my", "enemy", "neutral", "counts")
        }
    )
    one, two = answers(network, seen_of(alone)), answers(network, seen_of(both))
    for name in ("kind", "skip", "queued", "position"):
        torch.testing.assert_close(one[name][0], two[name][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one["units"][0, :3], two["units"][0, :3], rtol=1e-4, atol=1e-5)


def test_units_are_a_set(network: Agent):
    """Reordering own units reorders their logits and changes nothing else."""
    seen = seen_of(looks())
    order = torch.tensor([0, 4, 2, 5, 1, 3])
    mixed = seen._replace(my=UnitSet(*(part[:, order] for part in seen.my)))
    one, two = answers(network, seen), answers(network, mixed)
    torch.testing.assert_close(one["units"][:, order], two["units"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one["kind"], two["kind"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one["position"], two["position"], rtol=1e-4, atol=1e-5)


def test_a_view_without_any_unit_gives_finite_logits_and_gradients(network: Agent):
    seen = seen_of(view.empty(2))
    state = network.encode(seen)
    given = network.condition(state, torch.tensor([0, 3]))
    joined = network.condition_with(state, given, torch.zeros(2, 1, dtype=torch.bool))
    total = network.kind_logits(state).sum() + network.target_logits(state, joined).sum()
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_position_logits_are_row_major_in_y(network: Agent):
    """A map feature at one coarse cell moves the logits of the minimap cells that it covers."""
    seen = seen_of(looks(1))
    with torch.no_grad():
        state = network.encode(seen)
        given = network.condition(state, torch.tensor([3]))
        bumped = state.map_BCGG.clone()
        bumped[0, :, 15, 0] += 5
        change = network.position_logits(state._replace(map_BCGG=bumped), given) - network.position_logits(state, given)
    moved = change.abs().view(spec.MINIMAP, spec.MINIMAP)
    assert moved[60:, :4].max() > 0
    assert moved[:40, 40:].max() == 0


@pytest.mark.parametrize("wrong", [{"width": 15}, {"heads": 0}, {"blocks": -1}])
def test_sizes_that_make_no_network_are_refused(wrong: dict[str, int]):
    with pytest.raises(ValueError, match="must be"):
        AgentConfig(**wrong)
