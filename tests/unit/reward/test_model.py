"""The reward model and its short training loop on a handful of pairs."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from skyloom.core.errors import BadInput
from skyloom.core.llm.backbones import load_backbone, train_tokenizer
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import Message, schema, to_row
from skyloom.reward.losses import focal
from skyloom.reward.model import (
    RewardModel,
    encode,
    load_reward_model,
    pad_id_of,
    pad_sides,
    save_reward_model,
    score_sides,
)
from skyloom.reward.records import Pair, pair
from skyloom.reward.settings import TrainConfig
from skyloom.reward.train import carve, next_token_loss, train

TINY = BackboneConfig(hidden=16, layers=1, heads=2, max_length=48, vocab=300)
CONFIG = TrainConfig(
    backbone=TINY,
    optim=TrainerConfig(lr=1e-2, checkpoint_every=4),
    epochs=2,
    batch_pairs=8,
    budget=256,
    valid_share=0.2,
    held_out_share=0.2,
    evaluations=2,
)


def make_pairs(count, words=("good", "bad")):
    prompts = [(Message(role="user", content=f"question {k}"),) for k in range(count)]
    return [
        pair(prompt, f"{words[0]} answer", f"{words[1]} {'long ' * (k % 4)}answer") for k, prompt in enumerate(prompts)
    ]


def kept(pairs):
    import pyarrow as pa

    frame = pl.from_arrow(pa.Table.from_pylist([to_row(each) for each in pairs], schema=schema(Pair)))
    return frame.with_columns(pl.lit(1.0).alias("weight"), pl.lit(1.0).alias("label"))


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["good answer bad long question"], 300)


@pytest.fixture
def model(tokenizer):
    return RewardModel(load_backbone(TINY, tokenizer, "none", seed=1), seed=1)


def test_one_seed_one_head(tokenizer, model):
    again = RewardModel(load_backbone(TINY, tokenizer, "none", seed=1), seed=1)
    other = RewardModel(load_backbone(TINY, tokenizer, "none", seed=1), seed=2)
    assert torch.equal(model.head.weight, again.head.weight)
    assert not torch.equal(model.head.weight, other.head.weight)


def test_padding_and_batching_change_no_score(tokenizer, model):
    sides = [encode(tokenizer, each) for each in make_pairs(9)]
    alone = np.concatenate([score_sides(model, [side], pad_id_of(tokenizer), 64) for side in sides])
    together = score_sides(model, sides, pad_id_of(tokenizer), 10_000)
    assert np.allclose(alone, together, atol=1e-5)
    other_pad = score_sides(model, sides, 7, 10_000)  # the mask alone says what is real
    assert np.allclose(together, other_pad, atol=1e-5)


def test_a_saved_model_gives_the_same_scores(tokenizer, model, tmp_path):
    sides = [encode(tokenizer, each) for each in make_pairs(4)]
    save_reward_model(model, tokenizer, tmp_path / "model")
    loaded, again = load_reward_model(tmp_path / "model")
    assert [encode(again, each) for each in make_pairs(4)] == sides
    before, after = (score_sides(each, sides, pad_id_of(tokenizer), 512) for each in (model, loaded))
    assert np.allclose(before, after, atol=1e-6)
    with pytest.raises(BadInput, match="reward_head"):
        load_reward_model(tmp_path)


def test_next_token_loss_does_not_depend_on_the_micro_batch(tokenizer, model):
    sides = [encode(tokenizer, each) for each in make_pairs(4)]

    def mean(part):
        batch = pad_sides(part, 0)
        hidden = model.hidden(batch.ids_BT, batch.mask_BT)
        return float(next_token_loss(model, hidden[: len(part)], batch, len(part)).detach())

    assert mean(sides) == pytest.approx((3 * mean(sides[:3]) + mean(sides[3:])) / 4, rel=1e-4)
    assert mean(sides) == pytest.approx(np.log(len(tokenizer)), rel=0.2)  # random weights guess


def test_carving_is_by_prompt_and_steady():
    pairs = make_pairs(300) + [pair(each.prompt, "x", "y") for each in make_pairs(300)]
    slices = carve(pairs, CONFIG)
    prompts = [{each.prompt for each in part} for part in slices]
    assert sum(map(len, prompts)) == 300
    assert [len(part) / 600 for part in slices] == pytest.approx([0.6, 0.2, 0.2], abs=0.1)
    fewer = carve(pairs[:100], CONFIG)
    assert set(fewer.valid) <= set(slices.valid)


def test_training_learns_resumes_nothing_and_counts(tmp_path):
    counts = train(kept(make_pairs(120)), CONFIG, tmp_path)
    assert counts.trained + counts.valid + counts.held_out == counts.pairs == 120
    assert counts.best_update <= counts.updates == 2 * -(-counts.trained // 8)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["valid.accuracy"] > 0.9
    held_out = pl.read_parquet(tmp_path / "held_out.parquet")
    assert held_out.height == counts.held_out
    assert (tmp_path / "model" / "reward_head.safetensors").is_file()


def test_over_long_pairs_are_counted_or_refused(tmp_path):
    from dataclasses import replace

    pairs = make_pairs(60) + [pair((Message(role="user", content=f"q{k}"),), "word " * 90, "b") for k in range(30)]
    counts = train(kept(pairs), replace(CONFIG, epochs=1, held_out_share=0.0), tmp_path / "a")
    assert sum(counts.left_out.values()) == 30
    assert list(counts.left_out) == ["longer than 48 tokens"]
    with pytest.raises(BadInput, match="max_length=48"):
        train(kept(pairs), replace(CONFIG, over_long="refuse"), tmp_path / "b")


def test_special_tokens_in_text_are_left_out_and_another_loss_plugs_in(tmp_path):
    from dataclasses import replace

    pairs = [*make_pairs(40), *(pair((Message(role="user", content=f"x{k}"),), "a <|end|> b", "c") for k in range(10))]
    config = replace(
        CONFIG, epochs=1, held_out_share=0.0, loss=focal.Config(gamma=1.0), language_weight=0.5, language_epochs=1
    )
    counts = train(kept(pairs), config, tmp_path)
    assert sum(counts.left_out.values()) == 10
    first, *_, last = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert first["loss"] == pytest.approx(first["next_token"], rel=1e-4)  # the first pass reads only
    assert last["loss"] == pytest.approx(last["reward_loss"] + 0.5 * last["next_token"], rel=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"valid_share": 0.0}, "valid_share"),
        ({"budget": 50}, "budget"),
        ({"epochs": 0}, "epochs"),
        ({"batch_pairs": 0}, "batch_pairs"),
    ],
)
def test_senseless_settings_are_refused(tmp_path, fields, message):
    from dataclasses import replace

    with pytest.raises(BadInput, match=message):
        train(kept(make_pairs(10)), replace(CONFIG, **fields), tmp_path)


def test_weights_are_refused_rather_than_ignored(tmp_path):
    frame = kept(make_pairs(10)).with_columns(pl.lit(0.5).alias("weight"))
    with pytest.raises(BadInput, match="weights"):
        train(frame, CONFIG, tmp_path)
