"""Training: what moves, what is counted, what is written, and that an interrupted run ends as an uninterrupted one."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from reward_models import CONFIG, TINY, alike, kept, make_pairs, small_tokenizer, talk, with_optim
from skyloom.core import registry
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm.backbones import load_backbone, save_backbone
from skyloom.core.llm.config import AdapterConfig, BackboneConfig
from skyloom.core.records import row_key
from skyloom.core.trainer import CHECKPOINTS, Trainer
from skyloom.reward import calibrate, laplace
from skyloom.reward.losses import bradley_terry
from skyloom.reward.model import load_reward_model, new_reward_model, save_reward_model
from skyloom.reward.records import pair
from skyloom.reward.score import ABOUT, Scorer
from skyloom.reward.settings import ScoreConfig
from skyloom.reward.train import COUNTS, HELD_OUT, MODEL, Example, carve, train

KILLED_AT = 7


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def files_of(folder):
    """Everything that a run leaves, timings aside."""
    parts = [path for path in folder.rglob("*") if path.is_file() and path.name != "timing.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in parts if CHECKPOINTS not in path.parts}


def scores_of(folder, pairs):
    scorer = Scorer.load(folder / MODEL)
    return np.stack(scorer.score([scorer.encode(each.prompt, (each.chosen, each.rejected)) for each in pairs]))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A pretrained backbone, so that the vocabulary does not depend on the pairs."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = small_tokenizer()
    save_backbone(load_backbone(TINY, tokenizer, "causal", seed=4), tokenizer, folder)
    return replace(CONFIG, backbone=BackboneConfig(model=str(folder), max_length=64))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, base):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(kept(make_pairs(60)), replace(base, held_out_share=0.1), folder)


# --- what a run writes ---


def test_a_run_learns_and_counts_every_pair(whole):
    folder, counts = whole
    assert counts.trained + counts.valid + counts.held_out == counts.pairs == 60
    assert counts.updates == 2 * -(-counts.trained // 8) >= counts.best_update
    assert json.loads((folder / COUNTS).read_text())["trained"] == counts.trained
    assert counts.layout == "shared"
    assert 0 < counts.saved < 1
    assert counts.read > 0
    assert (counts.left_out, counts.truncated) == ({}, 0)
    assert counts.trained_weights == counts.weights
    assert pl.read_parquet(folder / HELD_OUT).height == counts.held_out
    chosen, rejected = scores_of(folder, make_pairs(80)[60:]).T
    assert (chosen > rejected).all()
    assert rows_of(folder)[-1]["valid.accuracy"] == 1


def test_reward_json_calibration_and_posterior_stand_beside_the_model(whole):
    folder, counts = whole
    about = json.loads((folder / MODEL / ABOUT).read_text())
    assert about["loss"] == "bradley_terry"
    assert about["max_length"] == 64
    assert about["pairs"] == counts.trained
    scorer = Scorer.load(folder / MODEL)
    assert about["template"] == scorer.encoder.checks["template"]
    assert scorer.calibration == calibrate.Calibration.load(folder / MODEL / calibrate.FILE)
    assert scorer.calibration.n == counts.valid
    assert scorer.laplace.n == counts.trained
    fitted = laplace.Laplace.load(folder / MODEL / laplace.FILE, scorer.model.width)
    assert fitted.temperature == scorer.calibration.temperature


def test_the_model_is_the_one_with_the_best_validation_score(tmp_path, base):
    """An early peak: the rate is so large that later updates undo what the first ones learnt."""
    config = with_optim(replace(base, evaluations=8, epochs=4), lr=0.5, schedule="constant", checkpoint_every=1)
    counts = train(kept(make_pairs(60)), config, tmp_path)
    scored = {row["step"]: row["valid.accuracy"] for row in rows_of(tmp_path) if "valid.accuracy" in row}
    best = max(scored.values())
    assert scored[counts.best_update] == best
    assert counts.best_update == min(step for step, value in scored.items() if value == best)


@pytest.mark.parametrize("name", registry.names("reward.losses"))
def test_every_loss_trains(tmp_path, base, name):
    loss = registry.load("reward.losses", name).Config()
    config = replace(base, loss=loss, epochs=1, batch_pairs=8, evaluations=1, posterior_pairs=0)
    counts = train(kept(make_pairs(24)), config, tmp_path)
    assert counts.updates >= 2
    rows = rows_of(tmp_path)
    assert all(np.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in rows)
    started = new_reward_model(config.backbone, small_tokenizer(), config.seed).state_dict()
    ended = load_reward_model(tmp_path / MODEL)[0].state_dict()
    still = {key for key, value in started.items() if torch.equal(value, ended[key])}
    assert not [key for key in still if "norm" not in key]


# --- labels, weights, margins ---


def first_update(folder, frame, config):
    """Loss and gradient norm of one update over all pairs."""
    config = with_optim(replace(config, batch_pairs=10_000, epochs=1, evaluations=1, posterior_pairs=0), clip_norm=0.0)
    train(frame, config, folder)
    (row,) = rows_of(folder)
    return row


def test_weight_two_is_the_pair_twice(tmp_path, base):
    pairs = make_pairs(40)
    twice = [k % 3 == 0 for k in range(40)]
    weighted = first_update(tmp_path / "a", kept(pairs, [2.0 if each else 1.0 for each in twice]), base)
    repeated = pairs + [each for each, again in zip(pairs, twice, strict=True) if again]
    listed = first_update(tmp_path / "b", kept(repeated), base)
    plain = first_update(tmp_path / "c", kept(pairs), base)
    for name in ("loss", "grad_norm", "win_rate", "gap"):
        assert weighted[name] == pytest.approx(listed[name], rel=1e-5), name
    assert weighted["grad_norm"] != pytest.approx(plain["grad_norm"], rel=1e-3)


def test_a_pair_of_no_weight_teaches_nothing(tmp_path, base):
    pairs = make_pairs(40)
    weights = [float(k % 2) for k in range(40)]
    none = first_update(tmp_path / "a", kept(pairs, weights), base)
    without = first_update(tmp_path / "b", kept([each for each, w in zip(pairs, weights, strict=True) if w]), base)
    assert none["grad_norm"] == pytest.approx(without["grad_norm"], rel=1e-5)


def test_a_label_of_one_half_pulls_the_gap_to_zero_and_a_lower_one_turns_it(tmp_path, base):
    gaps = {}
    for label in (1.0, 0.5, 0.1):
        train(kept(make_pairs(40), label=label), replace(base, epochs=6), tmp_path / str(label))
        gaps[label] = rows_of(tmp_path / str(label))[-1]["gap"]
    assert abs(gaps[0.5]) < 0.2 < 1 < gaps[1.0]
    assert gaps[0.1] < -1


def test_the_sources_score_gap_is_a_margin(tmp_path, base):
    pairs = [replace(each, score_chosen=3.0, score_rejected=1.0) for each in make_pairs(40)]
    plain = first_update(tmp_path / "a", kept(pairs), base)
    asked = first_update(tmp_path / "b", kept(pairs), replace(base, loss=bradley_terry.Config(score_margin=1.5)))
    fixed = first_update(tmp_path / "c", kept(pairs), replace(base, loss=bradley_terry.Config(margin=3.0)))
    assert asked["loss"] == pytest.approx(fixed["loss"], rel=1e-5)
    assert asked["loss"] > plain["loss"] + 1


def test_reading_alone_comes_before_the_reward_loss(tmp_path):
    config = replace(CONFIG, epochs=1, language_weight=0.5, language_epochs=1)
    train(kept(make_pairs(40)), config, tmp_path)
    first, *_, last = rows_of(tmp_path)
    assert first["loss"] == pytest.approx(first["next_token"], rel=1e-4)
    assert last["loss"] == pytest.approx(last["reward_loss"] + 0.5 * last["next_token"], rel=1e-4)


# --- layouts and lengths ---


def test_layouts_give_the_same_curve(tmp_path, base, whole):
    curves = {}
    for layout in ("padded", "shared", "flat"):
        counts = train(kept(make_pairs(60)), replace(base, layout=layout, held_out_share=0.1), tmp_path / layout)
        assert counts.layout == layout
        curves[layout] = rows_of(tmp_path / layout)
    counts = {layout: json.loads((tmp_path / layout / COUNTS).read_text()) for layout in curves}
    assert (
        counts["flat"]["read"] == counts["flat"]["tokens"] < counts["padded"]["read"]
    )  # nothing padded, nothing shared
    assert counts["shared"]["read"] < counts["padded"]["read"]
    assert len({counts[layout]["saved"] for layout in curves}) == 1
    for layout in ("shared", "flat"):
        for one, other in zip(curves["padded"], curves[layout], strict=True):
            assert one["loss"] == pytest.approx(other["loss"], abs=1e-4)
    assert (tmp_path / "shared" / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()


def test_how_pairs_fall_into_micro_batches_changes_nothing(tmp_path, base):
    rows = [
        first_update(tmp_path / str(budget), kept(make_pairs(40)), replace(base, budget=budget))
        for budget in (128, 10_000)
    ]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-5)
    assert rows[0]["grad_norm"] == pytest.approx(rows[1]["grad_norm"], rel=1e-4)


def test_a_layout_that_the_backbone_cannot_take_is_refused(tmp_path, base):
    from reward_models import backbone

    tokenizer = small_tokenizer()
    for kind, layout, attention, message in (
        ("bloom", "flat", "eager", "layout=flat: this backbone"),
        ("sliding", "shared", "sdpa", "layout=shared: this backbone"),
    ):
        model = backbone(kind).backbone
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        save_backbone(model, tokenizer, tmp_path / kind)
        shape = BackboneConfig(model=str(tmp_path / kind), max_length=64, attention=attention)
        with pytest.raises(BadInput, match=message):
            train(kept(make_pairs(30)), replace(base, backbone=shape, layout=layout), tmp_path / "out")
    counts = train(kept(make_pairs(30)), replace(base, backbone=shape, epochs=1), tmp_path / "auto")
    assert counts.layout == "padded"


def long_pairs():
    """60 that fit, 30 whose prompt is too long, 10 whose reply is."""
    long = [pair(talk("question " * 70 + str(k)), "good answer", "bad") for k in range(30)]
    return make_pairs(60) + long + [pair(talk(f"other {k}"), "long answer " * 70, "bad") for k in range(10)]


def test_what_is_too_long_is_left_out_and_counted(tmp_path, base):
    counts = train(kept(long_pairs()), replace(base, epochs=1), tmp_path)
    assert counts.left_out == {"longer than 64 tokens": 40}
    assert counts.trained + counts.valid == 60
    assert json.loads((tmp_path / COUNTS).read_text())["left_out"] == counts.left_out


def test_prompts_are_cut_and_counted_replies_are_not(tmp_path, base):
    counts = train(kept(long_pairs()), replace(base, epochs=1, over_long="truncate"), tmp_path)
    assert counts.left_out == {"the reply alone is longer than 64 tokens": 10}
    assert counts.truncated == 30
    assert counts.trained + counts.valid == 90


def test_what_is_too_long_is_an_error_that_names_the_pair(tmp_path, base):
    with pytest.raises(BadInput, match=r"training: pair \d+: a conversation has \d+ tokens, more than max_length=64"):
        train(kept(long_pairs()), replace(base, over_long="error"), tmp_path)


def test_pairs_cut_to_nothing_in_common_share_nothing_and_train(tmp_path):
    """Without BOS, two conversations that are cut at the left to one length may share no first token."""
    from skyloom.core.llm.templates import TINY_TEMPLATE

    tokenizer = small_tokenizer(TINY_TEMPLATE.replace("{{ bos_token }}", ""))
    save_backbone(load_backbone(TINY, tokenizer, "causal", seed=4), tokenizer, tmp_path / "base")
    config = replace(CONFIG, backbone=BackboneConfig(model=str(tmp_path / "base"), max_length=64), over_long="truncate")
    words = ["good", "bad", "long", "answer"]
    cut = [
        pair(talk(" ".join(words[(k + j * j) % 4] for j in range(80))), "good answer", "bad long long answer")
        for k in range(4)
    ]
    counts = train(kept(make_pairs(60) + cut), replace(config, epochs=1), tmp_path / "auto")
    assert counts.truncated == 4
    assert counts.layout == "shared"
    assert counts.trained + counts.valid == 64


def test_special_tokens_in_a_text_leave_the_pair_out(tmp_path, base):
    forged = [pair(talk(f"x{k}"), "a <|end|> b", "c") for k in range(10)]
    counts = train(kept(make_pairs(40) + forged), replace(base, epochs=1), tmp_path)
    (reason,) = counts.left_out
    assert "special token '<|end|>'" in reason
    assert counts.left_out[reason] == 10


# --- adapters, going on ---


def checkpoint_bytes(folder):
    return max(path.stat().st_size for path in (folder / CHECKPOINTS).rglob("model.safetensors"))


def test_adapters_train_beside_a_backbone_that_stays(tmp_path, base, whole):
    config = with_optim(replace(base, adapter=AdapterConfig(rank=1, targets=("q_proj", "v_proj"))), lr=3e-2)
    counts = train(kept(make_pairs(60)), config, tmp_path)
    assert counts.trained_weights == 2 * 2 * 2 * 16 + 16  # layers, maps, factors; the head
    assert checkpoint_bytes(tmp_path) < checkpoint_bytes(whole[0]) / 4
    (stored,) = {tuple(sorted(load_file(path))) for path in (tmp_path / CHECKPOINTS).rglob("model.safetensors")}
    assert all("lora_" in name or name == "head.weight" for name in stored)
    before = load_file(Path(base.backbone.model) / "model.safetensors")
    after = load_file(tmp_path / MODEL / "model.safetensors")
    moved = {name for name, value in after.items() if name in before and not torch.equal(value, before[name])}
    assert moved
    assert all("q_proj" in name or "v_proj" in name for name in moved)
    assert not [name for name in after if "lora" in name]
    chosen, rejected = scores_of(tmp_path, make_pairs(80)[60:]).T
    assert (chosen > rejected).mean() > 0.9


def test_recomputing_activations_changes_no_gradient(tmp_path, base):
    padded = replace(base, layout="padded")
    one, other = (
        first_update(tmp_path / str(recompute), kept(make_pairs(40)), replace(padded, recompute=recompute))
        for recompute in (False, True)
    )
    assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-5)


def test_training_goes_on_from_a_trained_model(tmp_path, base, whole):
    """At a rate of nearly nothing the scores stay where they were."""
    shape = BackboneConfig(model=str(whole[0] / MODEL), max_length=64)
    config = with_optim(replace(base, backbone=shape, epochs=1), lr=1e-12)
    train(kept(make_pairs(40)), config, tmp_path)
    assert alike(scores_of(whole[0], make_pairs(9)), scores_of(tmp_path, make_pairs(9)), 1e-5)
    assert rows_of(tmp_path)[0]["loss"] < rows_of(whole[0])[0]["loss"] / 2


# --- kills, processes, divergence ---


def killed(folder: str, base: str) -> None:
    """Train as `whole` did, and die in the middle."""
    step = Trainer.step

    def stop(self, *args):
        out = step(self, *args)
        if self.done == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        return out

    Trainer.step = stop
    config = replace(CONFIG, backbone=BackboneConfig(model=base, max_length=64), held_out_share=0.1)
    train(kept(make_pairs(60)), config, Path(folder))


def test_a_run_killed_by_the_system_ends_as_an_uninterrupted_one(tmp_path, base, whole):
    code = "import runpy, sys; runpy.run_path(sys.argv[1])['killed'](*sys.argv[2:])"
    command = [sys.executable, "-c", code, __file__, str(tmp_path), base.backbone.model]
    child = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / MODEL).exists()
    assert len(rows_of(tmp_path)) < len(rows_of(whole[0]))
    counts = train(kept(make_pairs(60)), replace(base, held_out_share=0.1), tmp_path)
    assert counts == whole[1]
    assert files_of(tmp_path) == files_of(whole[0])


def test_a_finished_run_trains_no_further(tmp_path, base, whole, monkeypatch):
    import shutil

    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(Trainer, "step", None)
    counts = train(kept(make_pairs(60)), replace(base, held_out_share=0.1), tmp_path)
    assert counts == whole[1]
    assert files_of(tmp_path) == files_of(whole[0])


def test_two_processes_do_what_one_does(tmp_path, base):
    config = replace(base, layout="padded", budget=128)
    one = train(kept(make_pairs(40)), config, tmp_path / "one")
    two = train(kept(make_pairs(40)), with_optim(config, processes=2), tmp_path / "two")
    assert one == two
    for single, shared in zip(rows_of(tmp_path / "one"), rows_of(tmp_path / "two"), strict=True):
        assert single.keys() == shared.keys()
        for name, value in single.items():
            assert value == pytest.approx(shared[name], rel=1e-3, abs=1e-4), name
    assert alike(scores_of(tmp_path / "one", make_pairs(9)), scores_of(tmp_path / "two", make_pairs(9)), 1e-3)


def test_divergence_names_the_rows_and_leaves_no_model(tmp_path, base):
    tokenizer = small_tokenizer()
    model = new_reward_model(base.backbone, tokenizer, 0)
    torch.nn.init.constant_(model.head.weight, float("nan"))
    save_reward_model(model, tokenizer, tmp_path / "poisoned")
    keys = [row_key(5, 0, place) for place in range(30)]
    frame = kept(make_pairs(30)).with_columns(pl.Series("row", keys), pl.lit("world").alias("source"))
    config = replace(base, backbone=BackboneConfig(model=str(tmp_path / "poisoned"), max_length=64))
    with pytest.raises(
        FailedWork, match=r"diverged at update 1 of \d+: loss nan.*first in micro-batch 1 \(world:0:\d+, "
    ) as error:
        train(frame, config, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / MODEL).exists()


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_rate_far_too_high_stops_and_spares_what_stands(tmp_path, base):
    config = with_optim(replace(base, evaluations=1), lr=1e30, warmup_ratio=0.0, checkpoint_every=1)
    with pytest.raises(FailedWork, match=r"diverged at update \d+ of \d+.*lower lr=1e\+30"):
        train(kept(make_pairs(60)), config, tmp_path)
    assert not (tmp_path / MODEL).exists()


# --- slices and settings ---


def examples(pairs):
    return [Example(each, 1.0, 1.0, f"pair {k}") for k, each in enumerate(pairs)]


def test_carving_is_by_prompt_and_steady():
    config = replace(CONFIG, held_out_share=0.2)
    pairs = make_pairs(300) + [pair(each.prompt, "x", "y") for each in make_pairs(300)]
    slices = carve(examples(pairs), config)
    prompts = [{each.pair.prompt for each in part} for part in slices]
    assert sum(map(len, prompts)) == len(set.union(*prompts)) == 300
    assert [len(part) / 600 for part in slices] == pytest.approx([0.6, 0.2, 0.2], abs=0.1)
    fewer = carve(examples(pairs[:100]), config)
    assert {each.pair for each in fewer.valid} <= {each.pair for each in slices.valid}
    spaced = carve(examples([pair(talk("  QUESTION  7 "), "x", "y")]), config)
    assert [bool(part) for part in spaced] == [talk("question 7") in part for part in prompts]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"valid_share": 0.0}, "valid_share"),
        ({"valid_share": 0.5, "held_out_share": 0.5}, "both together below 1"),
        ({"budget": 50}, "budget must be at least twice"),
        ({"epochs": 0}, "epochs"),
        ({"batch_pairs": 0}, "batch_pairs"),
        ({"language_weight": 1.0, "layout": "shared"}, "language_weight needs layout=padded"),
        ({"language_weight": 1.0, "adapter": AdapterConfig()}, "needs all weights trained"),
    ],
)
def test_senseless_settings_are_refused(tmp_path, fields, message):
    with pytest.raises(BadInput, match=message):
        train(kept(make_pairs(20)), replace(CONFIG, **fields), tmp_path)


def test_too_few_pairs_are_refused(tmp_path):
    with pytest.raises(BadInput, match="pairs to train on and 0 to validate on"):
        train(kept(make_pairs(1)), replace(CONFIG, valid_share=1e-9), tmp_path)
    sizes = {count: len(carve(examples(make_pairs(count)), CONFIG).valid) for count in range(2, 40)}
    one = next(count for count, size in sizes.items() if size == 1)
    with pytest.raises(BadInput, match="and 1 to validate on"):
        train(kept(make_pairs(one)), CONFIG, tmp_path)


def test_flash_attention_without_half_precision_is_refused(tmp_path):
    flash = replace(CONFIG, backbone=replace(CONFIG.backbone, attention="flash_attention_2"))
    with pytest.raises(BadInput, match="no float32 kernels; set optim.dtype=bfloat16"):
        train(kept(make_pairs(20)), flash, tmp_path)


def test_the_scores_of_training_are_those_of_the_scorer(whole, base):
    """The validation curve's last number again, from the files alone."""
    folder, counts = whole
    slices = carve(examples(make_pairs(60)), replace(base, held_out_share=0.1))
    chosen, rejected = scores_of(folder, [each.pair for each in slices.valid]).T
    row = next(row for row in rows_of(folder) if row["step"] == counts.best_update)
    assert float((chosen > rejected).mean()) == row["valid.accuracy"]
    assert float(np.logaddexp(0, rejected - chosen).mean()) == pytest.approx(row["valid.nll"], rel=1e-5)
    other = Scorer.load(folder / MODEL, ScoreConfig(share_prompts=False, budget=1))
    padded = np.stack(
        [other.score([other.encode(e.pair.prompt, (e.pair.chosen, e.pair.rejected))])[0] for e in slices.valid]
    )
    assert alike(np.stack([chosen, rejected], axis=1), padded, 1e-5)


def test_drawn_pairs_stand_for_all_of_them_in_the_posterior(tmp_path, monkeypatch):
    seen: dict = {}
    fit = laplace.fit
    monkeypatch.setattr(laplace, "fit", lambda blocks, head, **told: seen.update(told) or fit(blocks, head, **told))
    counts = train(kept(make_pairs(40), weight=[1.0, 3.0] * 20), replace(CONFIG, epochs=1, posterior_pairs=8), tmp_path)
    each = counts.trained / 8
    assert len(seen["weight_N"]) == 8
    assert set(seen["weight_N"].tolist()) == {each, 3 * each}
