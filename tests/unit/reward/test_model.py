"""The reward model: its head, its adapters, and the directory it becomes."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reward_models import TINY, alike, backbone, groups, make_pairs, small_tokenizer
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm.adapters import add_adapter, merge_adapter
from skyloom.core.llm.backbones import END, PAD, load_backbone, save_backbone
from skyloom.core.llm.config import AdapterConfig, BackboneConfig
from skyloom.reward import model as reward_model
from skyloom.reward.encoding import Encoder
from skyloom.reward.layout import arrange
from skyloom.reward.model import (
    RewardModel,
    export_pad_id,
    load_reward_model,
    new_reward_model,
    save_reward_model,
)
from skyloom.reward.train import next_token_loss

TOKENIZER = small_tokenizer()


@pytest.fixture
def model():
    return new_reward_model(TINY, TOKENIZER, seed=1)


def batch_of(pairs, layout="padded"):
    encoder = Encoder(TOKENIZER, 64, "error")
    return arrange([encoder(each.prompt, (each.chosen, each.rejected)).group for each in pairs], layout, 0)


def scores(model, batch=None):
    with torch.no_grad():
        return model.eval()(batch_of(make_pairs(4)) if batch is None else batch)


def trainable(model):
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_one_seed_one_model(model):
    again, other = (new_reward_model(TINY, TOKENIZER, seed) for seed in (1, 2))
    assert torch.equal(scores(model), scores(again))
    assert not torch.equal(model.head.weight, other.head.weight)


def test_the_head_is_drawn_as_documented():
    shell = load_backbone(TINY, TOKENIZER, "none")
    heads = torch.cat([RewardModel(shell, seed).head.weight.detach() for seed in range(400)])
    assert float(heads.std()) == pytest.approx((16 + 1) ** -0.5, rel=0.05)
    assert float(heads.mean()) == pytest.approx(0, abs=0.02)
    assert "head.bias" not in RewardModel(shell, 0).state_dict()


def test_building_a_model_draws_nothing_from_the_global_generator():
    torch.manual_seed(5)
    add_adapter(new_reward_model(TINY, TOKENIZER, 0).backbone, AdapterConfig(rank=2), 0)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))


def test_the_last_real_token_is_read_even_where_it_is_the_pad_token():
    model = backbone("llama")
    some = [group._replace(branches=[[*branch, 2] for branch in group.branches]) for group in groups("eos")]
    for layout in ("padded", "shared"):
        assert torch.equal(scores(model, arrange(some, layout, 0)), scores(model, arrange(some, layout, 2)))


def test_writing_a_model_leaves_it_as_it_was(model, tmp_path):
    before = (scores(model), copy.deepcopy(model.backbone.config.to_dict()), model.backbone.config.pad_token_id)
    pad = TOKENIZER.pad_token
    save_reward_model(model, TOKENIZER, tmp_path)
    assert torch.equal(before[0], scores(model))
    assert before[1:] == (model.backbone.config.to_dict(), model.backbone.config.pad_token_id)
    assert pad == TOKENIZER.pad_token
    loaded, again = load_reward_model(tmp_path)
    assert alike(before[0], scores(loaded), 1e-6)
    assert again.get_vocab() == TOKENIZER.get_vocab()


def test_a_trained_model_is_taken_up_where_it_stood(model, tmp_path):
    save_reward_model(model, TOKENIZER, tmp_path)
    taken = new_reward_model(BackboneConfig(model=str(tmp_path)), TOKENIZER, seed=99)
    assert torch.equal(taken.head.weight, model.head.weight)
    assert torch.equal(scores(taken), scores(model))


@pytest.mark.parametrize(
    "kind", ["gpt2", "mistral", "gemma3"]
)  # transformers gives a Qwen directory Qwen's own tokenizer
def test_every_kind_of_backbone_is_written_and_read_back(tmp_path, kind):
    model = backbone(kind)
    model.backbone.resize_token_embeddings(len(TOKENIZER), mean_resizing=False)
    save_reward_model(model, TOKENIZER, tmp_path)
    loaded, _ = load_reward_model(tmp_path)
    assert type(loaded.backbone) is type(model.backbone)
    assert alike(scores(model), scores(loaded), 1e-5)


def test_a_backbone_that_cannot_be_written_is_refused_before_training(tmp_path):
    mamba = backbone("mamba").backbone
    mamba.resize_token_embeddings(len(TOKENIZER), mean_resizing=False)
    save_backbone(mamba, TOKENIZER, tmp_path)
    with pytest.raises(BadInput, match="no sequence classifier"):
        new_reward_model(BackboneConfig(model=str(tmp_path), attention="eager"), TOKENIZER, 0)


def test_the_pad_token_of_an_export_ends_no_conversation():
    assert export_pad_id(TOKENIZER) == TOKENIZER.convert_tokens_to_ids(PAD)
    assert export_pad_id(small_tokenizer(pad=END)) == TOKENIZER.convert_tokens_to_ids(PAD)
    taken = "{{ '" + PAD + "<|system|><|user|><|assistant|>' }}"  # every special token has a meaning in this template
    with pytest.raises(BadInput, match="add a pad token of its own"):
        export_pad_id(small_tokenizer(template=taken, pad=END))


def test_adapters_and_the_head_alone_are_trained(model):
    before = scores(model)
    full = sum(weight.numel() for weight in model.parameters())
    add_adapter(model.backbone, AdapterConfig(rank=2), seed=0)
    assert all("lora_" in name or name == "head.weight" for name in trainable(model))
    assert "head.weight" in trainable(model)
    assert sum(weight.numel() for weight in model.parameters() if weight.requires_grad) < full / 4
    assert torch.equal(scores(model), before)  # an adapter begins as zero


def test_a_merged_model_scores_as_the_adapters_did(model, tmp_path):
    add_adapter(model.backbone, AdapterConfig(rank=2, alpha=4.0), seed=0)
    plain = scores(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.linspace(-1, 1, weight.numel()).view_as(weight))
    adapted = scores(model)
    assert not alike(plain, adapted, 1e-3)
    merge_adapter(model)
    assert alike(adapted, scores(model), 1e-5)
    save_reward_model(model, TOKENIZER, tmp_path)
    assert not [name for name in load_file(tmp_path / "model.safetensors") if "lora" in name]
    assert alike(adapted, scores(load_reward_model(tmp_path)[0]), 1e-5)
    merged = scores(model)
    merge_adapter(model)
    assert torch.equal(merged, scores(model))  # there is nothing left to merge


def test_adapters_stand_where_they_are_told_or_the_name_is_refused(model):
    add_adapter(model.backbone, AdapterConfig(rank=2, targets=("q_proj",)), seed=0)
    assert all("q_proj" in name or name == "head.weight" for name in trainable(model))
    with pytest.raises(BadInput, match="train.adapter.targets=nowhere"):
        add_adapter(new_reward_model(TINY, TOKENIZER, 0).backbone, AdapterConfig(targets=("nowhere",)), seed=0)


@pytest.mark.parametrize("fields", [{"rank": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_adapters_that_cannot_train_are_refused(fields):
    with pytest.raises(ValueError, match="rank="):
        AdapterConfig(**fields)


def test_next_token_loss_does_not_depend_on_the_micro_batch(model):
    pairs = make_pairs(4)

    def mean(part):
        batch = batch_of(part)
        return float(next_token_loss(model, model.hidden(batch), batch, len(part)).detach())

    assert mean(pairs) == pytest.approx((3 * mean(pairs[:3]) + mean(pairs[3:])) / 4, rel=1e-5)
    assert mean(pairs) == pytest.approx(np.log(len(TOKENIZER)), rel=0.2)  # random weights guess


def test_next_token_loss_is_that_of_transformers_own_language_model():
    """The chosen rows alone, padding and rejected rows without a say."""
    causal = load_backbone(TINY, TOKENIZER, "causal", seed=3)
    model = RewardModel(causal.model, seed=0)
    (each,) = make_pairs(1)
    batch = batch_of([each])
    chosen = batch.ids_BT[:1][batch.mask_BT[:1]][None]
    ours = next_token_loss(model, model.hidden(batch), batch, 1)
    assert float(ours.detach()) == pytest.approx(float(causal(chosen, labels=chosen).loss.detach()), rel=1e-5)


def test_next_token_loss_needs_tied_embeddings(model):
    model.backbone.config.tie_word_embeddings = False
    batch = batch_of(make_pairs(1))
    with pytest.raises(BadInput, match="language_weight"):
        next_token_loss(model, model.hidden(batch), batch, 1)


def test_autocast_leaves_scores_in_float32():
    model = backbone("llama")
    batch = arrange(groups("autocast"), "padded", 0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        hidden_BTD = model.hidden(batch)
        score_K = model.pooled(hidden_BTD, batch)
    assert score_K.dtype == torch.float32
    own_K = hidden_BTD[batch.row_K, batch.column_K].float() @ model.head.weight[0]
    assert torch.allclose(score_K, own_K, rtol=1e-6, atol=1e-6)


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reward_model, "save_backbone", full)
    model = new_reward_model(TINY, small_tokenizer(), 0)
    trained_with = model.backbone.config
    with pytest.raises(FailedWork, match="model not written .*No space left on device.* free space"):
        save_reward_model(model, small_tokenizer(), tmp_path / "model")
    assert model.backbone.config is trained_with


def test_saving_leaves_the_tokenizer_as_it_was(tmp_path):
    tokenizer = small_tokenizer(pad=END)
    save_reward_model(new_reward_model(TINY, tokenizer, 0), tokenizer, tmp_path / "model")
    assert tokenizer.pad_token == END
    assert load_reward_model(tmp_path / "model")[1].pad_token == PAD
