"""SFT as a whole: it learns, repeats, goes from stage to stage, and writes a model that stops where it was taught to."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from math_training import BACKBONE, CONFIG, examples, rows_of, saved_base, with_optim, written
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm.backbones import load_backbone, load_tokenizer, save_backbone
from skyloom.core.llm.config import AdapterConfig, BackboneConfig, GenerateConfig
from skyloom.core.llm.generate import generate
from skyloom.core.llm.templates import PLAIN_TEMPLATE, render_prompt
from skyloom.core.trainer import CHECKPOINTS
from skyloom.mathqa.records import chat
from skyloom.mathqa.sft_loss import validate
from skyloom.mathqa.sft_rows import prepare
from skyloom.mathqa.train import Example, read_trained, train


def weights_of(folder):
    return load_file(folder / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """An uninterrupted training in two stages."""
    folder = tmp_path_factory.mktemp("staged")
    return folder, train(examples(80, hard=3), replace(CONFIG, keep_stages=True), 0, folder)


def test_training_learns_repeats_and_a_finished_one_does_nothing(tmp_path, monkeypatch):
    done = train(examples(80), CONFIG, 0, tmp_path / "a")
    assert train(examples(80), CONFIG, 0, tmp_path / "b") == done
    assert written(tmp_path / "a") == written(tmp_path / "b")
    assert done.updates == len(rows_of(tmp_path / "a"))
    assert [(phase.name, phase.rows) for phase in done.phases] == [("", done.learn)]
    backbone = BackboneConfig(model=str(tmp_path / "a" / "model"))
    tokenizer = load_tokenizer(backbone)
    trained, fresh = load_backbone(backbone, tokenizer), load_backbone(BACKBONE, tokenizer)
    valid = prepare(examples(80), tokenizer, CONFIG, 0).valid
    after, before = (validate(model, valid, 0, 4_096)["valid.loss"] for model in (trained, fresh))
    assert after < before - 1.0
    best = min(row["valid.loss"] for row in rows_of(tmp_path / "a") if "valid.loss" in row)
    assert after == pytest.approx(best, rel=1e-5), "the model on disk is the best checkpoint"
    monkeypatch.setattr("skyloom.mathqa.train.load_tokenizer", None)
    started = time.monotonic()
    assert train(examples(80), CONFIG, 0, tmp_path / "a") == done == read_trained(tmp_path / "a")
    assert time.monotonic() - started < 1


def test_other_rows_or_settings_do_not_go_on_where_these_stand(tmp_path):
    train(examples(40), replace(CONFIG, epochs=1), 0, tmp_path)
    for rows, config, seed in (
        (examples(40)[1:], replace(CONFIG, epochs=1), 0),
        (examples(40), replace(CONFIG, epochs=1, normalise="example"), 0),
        (examples(40), replace(CONFIG, epochs=1), 1),
    ):
        with pytest.raises(BadInput, match="holds the training of other rows or settings"):
            train(rows, config, seed, tmp_path)


# --- stages ---


def test_the_second_stage_goes_on_from_the_best_weights_of_the_first(staged):
    folder, done = staged
    first, second = done.phases
    assert [first.name, second.name] == ["stage-1", "stage-2"]
    assert first.rows + second.rows == done.learn
    rows = rows_of(folder)
    assert [row["step"] for row in rows] == list(range(1, done.updates + 1))
    assert [row["phase"] for row in rows] == [1.0] * first.updates + [2.0] * second.updates
    rates = [row["lr"] for row in rows]
    assert rates[first.updates - 1] < rates[first.updates], "the second schedule begins anew"
    scored = [row for row in rows if "valid.loss" in row]
    assert all({"valid.loss.stage1", "valid.loss.stage2"} <= set(row) for row in scored)
    best = min((row for row in scored if row["phase"] == 2), key=lambda row: row["valid.loss"])
    assert best["step"] == done.best_step
    stage_1, whole = (load_file(path / "model" / "model.safetensors") for path in (folder / "stage-1", folder))
    assert any(not torch.equal(stage_1[name], whole[name]) for name in whole)
    tokenizer = load_tokenizer(BackboneConfig(model=str(folder / "model")))
    model = load_backbone(BackboneConfig(model=str(folder / "stage-1" / "model")), tokenizer)
    valid = prepare(examples(80, hard=3), tokenizer, CONFIG, 0).valid
    told = {row["step"]: row["valid.loss"] for row in scored}
    assert validate(model, valid, 0, 4_096)["valid.loss"] == pytest.approx(told[first.best_step], rel=1e-5)


def test_the_first_update_of_stage_2_has_the_loss_that_stage_1_ended_with(tmp_path, base):
    """At a rate of nearly nothing nothing is learnt, so the mean loss over stage 2's rows is the base's own."""
    config = with_optim(replace(base, batch_rows=10_000, epochs=1), lr=1e-12)
    train(examples(80, hard=3), config, 0, tmp_path / "a")
    train(examples(80, hard=3), replace(config, order="mixed"), 0, tmp_path / "b")
    train([row for row in examples(80, hard=3) if row.stage == 2], config, 0, tmp_path / "c")
    (_, late), (mixed,), (alone,) = (rows_of(tmp_path / name) for name in "abc")
    assert late["loss"] == pytest.approx(alone["loss"], rel=1e-5)
    assert late["loss"] != pytest.approx(mixed["loss"], rel=1e-4)


def test_order_and_replay_change_what_is_learnt_when(tmp_path):
    rows = examples(80, hard=3)
    back = train(rows, replace(CONFIG, order="reversed", epochs=1, replay=0.5), 0, tmp_path / "a")
    assert [phase.name for phase in back.phases] == ["stage-2", "stage-1"]
    assert back.phases[1].rows == back.learn - back.phases[0].rows + round(0.5 * back.phases[0].rows)
    mixed = train(rows, replace(CONFIG, order="mixed", epochs=1), 0, tmp_path / "b")
    assert [phase.name for phase in mixed.phases] == [""]
    assert not (tmp_path / "b" / "stage-1").exists()


# --- layouts, micro-batches ---


def first_update(folder, config):
    config = with_optim(replace(config, batch_rows=10_000, epochs=1), clip_norm=0.0)
    weighted = [row._replace(weight=1.0 + k % 3) for k, row in enumerate(examples(40))]
    done = train(weighted, config, 0, folder)
    (row,) = rows_of(folder)
    return done, row


@pytest.mark.parametrize("normalise", ["token", "example"])
def test_layout_and_micro_batches_change_no_update(tmp_path, base, normalise):
    found = [
        first_update(
            tmp_path / f"{layout}-{tokens}", replace(base, normalise=normalise, layout=layout, batch_tokens=tokens)
        )
        for layout, tokens in (("padded", 8_192), ("padded", 200), ("flat", 8_192), ("flat", 200))
    ]
    for done, row in found[1:]:
        for name in ("loss", "grad_norm", "valid.loss", "token_accuracy"):
            assert row[name] == pytest.approx(found[0][1][name], rel=2e-4), name
        assert done.tokens == found[0][0].tokens
    assert 0 < found[0][1]["token_accuracy"] < 1, "a share of tokens, whatever the loss is divided by"
    padded, _, flat, _ = (done for done, _ in found)
    assert flat.phases[0].read == flat.tokens < padded.phases[0].read
    assert (padded.layout, flat.layout) == ("padded", "flat")


# --- adapters, templates, what ends a reply ---


def test_adapters_are_trained_in_both_phases_and_merged_on_disk(tmp_path, base):
    config = with_optim(replace(base, adapter=AdapterConfig(rank=2, targets=("q_proj", "down_proj"))), lr=3e-2)
    done = train(examples(80, hard=3), config, 0, tmp_path)
    assert done.trained_weights == 2 * (32 + 32) + 2 * (96 + 32)
    assert done.weights > 20 * done.trained_weights
    stored = {
        name for path in (tmp_path / ".stage-2" / CHECKPOINTS).rglob("model.safetensors") for name in load_file(path)
    }
    assert stored
    assert all("lora_" in name for name in stored)
    before = load_file(Path(base.backbone.model) / "model.safetensors")
    after = weights_of(tmp_path)
    assert after.keys() == before.keys()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {name for name in after if "q_proj" in name or "down_proj" in name}
    losses = [row["valid.loss"] for row in rows_of(tmp_path) if "valid.loss" in row]
    assert losses[-1] < losses[0]


def test_the_model_on_disk_answers_as_it_was_trained_and_stops(tmp_path, base):
    """Its template ends a turn with another token than the base's own end, as chat templates of base models do."""
    tokenizer = load_tokenizer(base.backbone)
    tokenizer.chat_template = tokenizer.chat_template.replace("eos_token", "'<|system|>'")
    folder = tmp_path / "base"
    save_backbone(load_backbone(base.backbone, tokenizer), tokenizer, folder)
    rows = [Example(f"{k % 3} + 1?", str(k % 3 + 1), 1.0, f"s{k}") for k in range(64)]
    config = with_optim(replace(base, backbone=BackboneConfig(model=str(folder), max_length=64), epochs=10), lr=2e-2)
    train(rows, config, 0, tmp_path / "out")
    backbone = BackboneConfig(model=str(tmp_path / "out" / "model"))
    saved = load_tokenizer(backbone)
    assert saved.chat_template == tokenizer.chat_template
    prompts = [render_prompt(saved, chat(f"{k} + 1?")) for k in range(3)]
    replies = generate(load_backbone(backbone, saved), saved, prompts, GenerateConfig(max_new_tokens=8))
    assert all(reply.finished and reply.text in ("1", "2", "3") for reply in replies)
    told = json.loads((tmp_path / "out" / "model" / "generation_config.json").read_text())
    assert told["eos_token_id"] == [saved.convert_tokens_to_ids("<|system|>"), saved.eos_token_id]


def test_the_plain_template_is_stored_with_the_model(tmp_path, base):
    train(examples(40), replace(base, template="plain", epochs=1), 0, tmp_path)
    assert load_tokenizer(BackboneConfig(model=str(tmp_path / "model"))).chat_template == PLAIN_TEMPLATE


# --- what is refused ---


def test_no_rows_left_says_why(tmp_path):
    short = replace(CONFIG, backbone=replace(BACKBONE, max_length=8))
    with pytest.raises(BadInput, match=r"0 rows to learn from and 0 to validate on.*stage 1: longer than 8 tokens: 20"):
        train(examples(20), short, 0, tmp_path)
    assert not list(tmp_path.iterdir())


def test_settings_that_would_train_nothing_are_refused(tmp_path, monkeypatch):
    half = replace(CONFIG, backbone=replace(BACKBONE, dtype="bfloat16"))
    with pytest.raises(BadInput, match="round small updates away"):
        train(examples(20), half, 0, tmp_path)
    flash = replace(CONFIG, backbone=replace(BACKBONE, attention="flash_attention_2"))
    with pytest.raises(BadInput, match="no float32 kernels"):
        train(examples(20), flash, 0, tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BadInput, match="started by torchrun"):
        train(examples(20), CONFIG, 0, tmp_path)


def test_small_updates_would_indeed_be_lost_to_bfloat16_weights():
    weight = torch.full((1000,), 0.02, dtype=torch.bfloat16, requires_grad=True)
    before = weight.detach().clone()
    optimizer = torch.optim.AdamW([weight], lr=2e-5, weight_decay=0.0)
    for _ in range(100):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert torch.equal(weight, before)


def test_divergence_names_the_rows_and_leaves_no_model(tmp_path, base):
    poisoned = tmp_path / "poisoned"
    shutil.copytree(base.backbone.model, poisoned)
    weights = load_file(poisoned / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, poisoned / "model.safetensors", metadata={"format": "pt"})
    config = replace(base, backbone=BackboneConfig(model=str(poisoned), max_length=192))
    named = [row._replace(name=f"normal.evol:0:{k}") for k, row in enumerate(examples(40))]
    with pytest.raises(FailedWork, match=r"diverged at update 1 of \d+: loss nan.*normal\.evol:0:\d+, ") as error:
        train(named, config, 0, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "model").exists()
