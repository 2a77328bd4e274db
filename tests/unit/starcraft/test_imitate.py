"""Behaviour cloning: splits, weights, order of the samples, and that the loss can be learnt down."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from skyloom.arena import spec
from skyloom.core.errors import BadInput
from skyloom.starcraft import imitate
from skyloom.starcraft.agent.config import AgentConfig, ImitateConfig
from skyloom.starcraft.agent.network import Agent
from skyloom.starcraft.play import Outcome
from skyloom.starcraft.samples import SampleStore, write_game

TINY = ImitateConfig(agent=AgentConfig(width=16, core=32, blocks=1, channels=8, resblocks=1), batch=16)


def games(count: int, won: int = 10**6) -> pl.DataFrame:
    return pl.DataFrame(
        {"row": list(range(count)), "recording": [b""] * count, "winner": [1 if k < won else 0 for k in range(count)]}
    )


def test_no_game_is_in_both_slices_and_none_is_lost():
    split = imitate.split_games(games(20), replace(TINY, valid_share=0.2), 7)
    assert len(split.valid) == 4
    assert sorted(split.train + split.valid) == list(range(20))
    assert imitate.split_games(games(20), replace(TINY, valid_share=0.2), 8).valid != split.valid


def test_undecided_games_teach_nothing_when_winners_are_learnt():
    split = imitate.split_games(games(10, won=6), TINY, 0)
    assert set(split.train + split.valid) == set(range(6))
    both = imitate.split_games(games(10, won=6), replace(TINY, sides="both"), 0)
    assert len(both.train + both.valid) == 10


def test_one_game_is_too_few():
    with pytest.raises(BadInput, match="1 games to learn from"):
        imitate.split_games(games(1), TINY, 0)


def test_weights_have_mean_one_and_rare_kinds_weigh_more():
    kinds = np.array([0] * 90 + [3] * 9 + [5])
    flat = imitate.kind_weights(kinds, replace(TINY, rare_power=0.0, keep_no_ops=1.0))
    assert flat == pytest.approx(np.ones(spec.N_ACTIONS))
    rare = imitate.kind_weights(kinds, replace(TINY, rare_power=0.5, keep_no_ops=1.0))
    assert rare[kinds].mean() == pytest.approx(1.0)
    assert rare[5] / rare[3] == pytest.approx(3.0)
    assert rare[3] / rare[0] == pytest.approx(10**0.5)


def test_a_kept_no_op_weighs_for_those_left_out():
    kinds = np.array([0] * 10 + [3] * 10)
    weight = imitate.kind_weights(kinds, replace(TINY, rare_power=0.0, keep_no_ops=0.25))
    assert weight[0] / weight[3] == pytest.approx(4.0)


def test_an_epoch_shows_every_sample_once_and_is_a_function_of_the_step():
    drawn = np.concatenate([imitate._draw(50, step, replace(TINY, batch=10), 3) for step in range(10)])
    assert sorted(drawn[:50]) == sorted(drawn[50:]) == list(range(50))
    assert drawn[:50].tolist() != drawn[50:].tolist()
    assert imitate._draw(50, 4, replace(TINY, batch=10), 3).tolist() == drawn[40:50].tolist()


@pytest.fixture(scope="module")
def samples(short_game: Outcome, tmp_path_factory: pytest.TempPathFactory) -> SampleStore:
    path = tmp_path_factory.mktemp("samples") / "game"
    write_game(short_game.recording.to_bytes(), (1,), 0.1, path)
    return SampleStore([path])


def test_the_loss_does_not_depend_on_how_a_batch_is_cut(samples: SampleStore):
    torch.manual_seed(0)
    network, weight = Agent(TINY.agent), imitate.kind_weights(samples.kind_N, TINY)
    rows = np.arange(12)
    whole = imitate.loss(network, samples.batch(rows, weight))
    parts = [imitate.loss(network, samples.batch(rows[k : k + 5], weight)) for k in (0, 5, 10)]
    assert float(sum(part.loss.detach() for part in parts)) == pytest.approx(float(whole.loss.detach()), rel=1e-4)
    for name, value in whole.metrics.items():
        assert float(sum(part.metrics[name] for part in parts)) == pytest.approx(float(value), rel=1e-3, abs=1e-5)


def test_a_few_updates_teach_a_few_samples(samples: SampleStore):
    torch.manual_seed(0)
    network, batch = Agent(TINY.agent), samples.batch(np.arange(min(16, len(samples))), np.ones(spec.N_ACTIONS))
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        out = imitate.loss(network, batch)
        torch.autograd.backward(out.loss)
        optimiser.step()
        losses.append(float(out.loss.detach()))
    assert losses[-1] < 0.4 * losses[0]


def test_validation_counts_each_head_where_it_is_used(samples: SampleStore):
    torch.manual_seed(0)
    heads = imitate.validate(Agent(TINY.agent), samples, 10**6, batch=7)
    acted = int((samples.kind_N != spec.NO_OP).sum())
    assert heads["kind"]["n"] == heads["skip"]["n"] == len(samples)
    assert heads["units"]["n"] == heads["queued"]["n"] == acted
    assert 0 < heads["position"]["n"] < acted
    assert all(0 <= each["accuracy"] <= 1 for each in heads.values())


def test_training_resumes_with_the_same_result(short_game: Outcome, tmp_path: Path):
    from skyloom.core.execute import ExecuteConfig
    from skyloom.core.optim import TrainerConfig

    data = short_game.recording.to_bytes()
    table = pl.DataFrame({"row": [1, 2], "recording": [data, data], "winner": [1, 1]})
    config = replace(
        TINY, updates=4, batch=8, valid_every=2, keep_no_ops=0.1, optim=TrainerConfig(checkpoint_every=1, threads=1)
    )
    imitate.train(table, config, 0, tmp_path / "whole", ExecuteConfig())

    class Killed(Exception):
        pass

    true_validate, calls = imitate.validate, []

    def dies_at_first(*args: object, **kwargs: object) -> dict[str, dict[str, float]]:
        calls.append(1)
        if len(calls) == 1:
            raise Killed
        return true_validate(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imitate, "validate", dies_at_first)
        with pytest.raises(Killed):
            imitate.train(table, config, 0, tmp_path / "cut", ExecuteConfig())
    imitate.train(table, config, 0, tmp_path / "cut", ExecuteConfig())
    for name in ("agent.safetensors", "validation.json", "metrics.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
