"""Plans of every size, and the refusal to report on what was trained on."""

import json
from dataclasses import replace

import pytest

from skyloom.core.errors import BadInput
from skyloom.core.ledger.rows import collect
from skyloom.core.llm.config import AdapterConfig
from skyloom.core.run import open_run, read_manifest
from skyloom.mathqa import pipeline
from skyloom.mathqa.augment import answer_augment, fobar
from skyloom.mathqa.evals import gsm8k as gsm8k_test
from skyloom.mathqa.planning import PADDED
from skyloom.mathqa.records import Problem
from skyloom.mathqa.settings import MathConfig, PassConfig, SynthesizeConfig
from skyloom.mathqa.sources import gsm8k, jsonl
from skyloom.recipes.mathqa import skywork_math


def test_the_published_size_is_planned():
    plan = pipeline.plan(skywork_math.config())
    lines = {line.step: line for line in plan.lines}
    assert "normal: 50,000 seeds to 2,100,000 rows; hard: 9,551 seeds to 400,000 rows" in plan.assumptions[0]
    assert "2,500,000 rows to train on" in plan.assumptions[0]
    assert lines["synthesize"].money > 10_000
    assert lines["train"].tokens == 2_500_000 * 400 * 3
    larger = {line.step: line for line in pipeline.plan(skywork_math.gemma2_27b()).lines}
    assert larger["train"].gpu_hours > 3 * lines["train"].gpu_hours
    assert skywork_math.llama2().train.optim.lr == 2e-5
    assert {line.money for line in pipeline.plan(skywork_math.smoke()).lines} == {0.0}


def test_a_plan_that_cannot_be_made_says_what_is_missing():
    full = skywork_math.config()
    unknown = replace(full, train=replace(full.train, backbone=replace(full.train.backbone, model="who/knows")))
    with pytest.raises(BadInput, match="no size known"):
        pipeline.plan(unknown)
    teacher = replace(full.synthesize.teacher, model="m", price_in=0.0, price_out=0.0)
    with pytest.raises(BadInput, match="no price known"):
        pipeline.plan(replace(full, synthesize=replace(full.synthesize, teacher=teacher)))


def test_a_benchmark_that_was_trained_on_is_not_reported(tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text('{"question": "A?", "answer": "1\\n#### 1"}\n')
    collect([gsm8k.Config(path=path, as_train=True)], Problem, tmp_path / "collect")
    config = MathConfig()
    asked = replace(config, evaluate=replace(config.evaluate, benchmarks=(gsm8k_test.Config(path=path),)))
    with pytest.raises(BadInput, match="trained on the test split of gsm8k"):
        pipeline.refuse_trained_on(asked, tmp_path / "collect")
    with open_run("mathqa.synthesize", asked, tmp_path / "run", 0) as run:
        pipeline.note_test_splits(run, tmp_path / "collect")
    assert read_manifest(tmp_path / "run")["trained_on_test_splits"] == ["gsm8k"]
    pipeline.refuse_trained_on(replace(asked, evaluate=replace(asked.evaluate, as_train=True)), tmp_path / "collect")


def test_replies_outlive_the_step_that_paid_for_them(tmp_path):
    """An edited seed, then one more operator: each asks its own calls only, although the step is made anew."""
    path, texts = tmp_path / "seeds.jsonl", [f"Solve x + {k} = {2 * k} for x." for k in range(3, 13)]

    def calls(augment, edited=()):
        rows = [{"question": text, "answer": "1"} for text in (*edited, *texts[len(edited) :])]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = MathConfig(
            collect=(jsonl.Config(path=path),), synthesize=SynthesizeConfig(passes=(PassConfig(augment=augment),))
        )
        with open_run("mathqa.synthesize", config, tmp_path / "run", 0) as run:
            (made,) = pipeline.make_passes(config, run, pipeline.collect_seeds(config, run))
        return json.loads((made / "timing.json").read_text()).get("calls", 0)

    assert calls((answer_augment.Config(),)) == 10
    assert calls((answer_augment.Config(),), edited=["Solve x + 3 = 9 for x."]) == 1
    assert calls((answer_augment.Config(), fobar.Config())) == 10
    assert calls((answer_augment.Config(samples=2),)) == 10


def test_a_plan_counts_phases_adapters_and_padding():
    full = skywork_math.config()
    plain = {line.step: line for line in pipeline.plan(full).lines}["train"]

    def train(**fields):
        plan = pipeline.plan(replace(full, train=replace(full.train, **fields)))
        return {line.step: line for line in plan.lines}["train"], plan.assumptions[0]

    repeated, told = train(replay=0.1)
    assert "stage 1 (2,100,000 rows), then stage 2 (610,000 rows)" in told
    assert repeated.tokens == plain.tokens + 210_000 * 400 * 3
    assert "one phase (2,500,000 rows)" in train(order="mixed")[1]
    adapted, _ = train(adapter=AdapterConfig(rank=16))
    assert adapted.gpu_hours == pytest.approx(plain.gpu_hours * 6 / 8)
    assert adapted.memory_bytes < plain.memory_bytes / 2
    flash, _ = train(backbone=replace(full.train.backbone, attention="flash_attention_2"))
    assert flash.gpu_hours == pytest.approx(plain.gpu_hours / PADDED)
    assert train(recompute=False)[0].gpu_hours == pytest.approx(plain.gpu_hours * 6 / 8)
    half = {line.step: line for line in pipeline.plan(skywork_math.lora()).lines}["train"]
    assert half.gpu_hours < plain.gpu_hours / 1000
    short = skywork_math.short()
    assert (short.train.backbone.max_length, short.evaluate.generate.max_new_tokens) == (512, 512)
