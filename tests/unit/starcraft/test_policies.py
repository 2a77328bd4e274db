"""Null policies and the adapter: legal, reproducible, one action a view."""

import numpy as np

from skyloom.arena import spec, view
from skyloom.starcraft.policies import DRAWS, NEEDS, IdlePolicy, PolicyPlayer, RandomPolicy, as_batch


def test_random_actions_are_legal_and_follow_their_draws(two_views: view.View):
    looks = two_views
    legal = view.masks(looks)
    rng = np.random.default_rng(0)
    kinds: set[int] = set()
    for _ in range(200):
        draws = rng.random((2, DRAWS))
        action, nothing = RandomPolicy().act(looks, draws)
        assert RandomPolicy().act(looks, draws)[0] == action
        assert nothing.kind == spec.NO_OP
        assert legal.kinds[0, action.kind]
        assert spec.MIN_SKIP <= action.skip <= spec.MAX_SKIP
        assert all(legal.units[0, action.kind, row] for row in action.units)
        if NEEDS.target_A[action.kind]:
            assert legal.targets[0, action.kind, action.target]
        if NEEDS.position_A[action.kind]:
            assert view.position_mask(looks[0], action.kind).ravel()[action.position]
        kinds.add(action.kind)
    assert kinds == set(np.flatnonzero(legal.kinds[0]).tolist())


def test_the_idle_policy_never_acts(two_views: view.View):
    actions = IdlePolicy().act(two_views, np.zeros((2, DRAWS)))
    assert [action.kind for action in actions] == [spec.NO_OP, spec.NO_OP]


def test_needs_follow_the_tables():
    named = {action.name: action.index for action in spec.ACTIONS}
    assert NEEDS.units_A[named["train_scv"]]
    assert not NEEDS.units_A[spec.NO_OP]
    assert NEEDS.target_A[named["harvest"]]
    assert not NEEDS.position_A[named["harvest"]]
    assert NEEDS.position_A[named["attack"]]


def test_a_policy_as_a_player_repeats_its_game(two_views: view.View):
    looks = two_views
    player = PolicyPlayer(RandomPolicy())

    def game(seed: int) -> list[spec.Action]:
        player.reset(seed, 1, None)
        return [player.act(looks[0]) for _ in range(20)]

    assert game(3) == game(3)
    assert game(3) != game(4)


def test_as_batch_adds_the_leading_axis_without_a_copy(two_views: view.View):
    single = two_views[0]
    batch = as_batch(single)
    assert batch.my.shape == (1, *single.my.shape)
    assert np.shares_memory(batch.minimap, single.minimap)
