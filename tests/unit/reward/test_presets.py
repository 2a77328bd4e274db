"""Presets: every one gives a config that trains, and says what its source says."""

import pytest

from skyloom.core.errors import BadInput
from skyloom.reward.presets import PRESETS, preset
from skyloom.reward.settings import TrainConfig


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_changes_settings_and_keeps_what_it_does_not_state(name):
    base = TrainConfig(seed=7, held_out_share=0.3)
    found = preset(name, base)
    assert found != base
    assert (found.seed, found.held_out_share, found.backbone.model) == (7, 0.3, "tiny")
    assert found.budget >= 2 * found.backbone.max_length


def test_what_the_sources_state():
    assert preset("skywork_27b", TrainConfig()).optim.lr == 1e-6
    assert preset("openrlhf", TrainConfig()).optim.final_lr_ratio == 0.1
    assert preset("nemo_rl", TrainConfig()).optim.betas == (0.9, 0.98)
    assert preset("open_instruct", TrainConfig(epochs=5)).epochs == 5  # not stated


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(BadInput, match="rlhflow"):
        preset("nobody", TrainConfig())
