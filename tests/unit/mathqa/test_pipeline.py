"""Plans of every size, and the refusal to report on what was trained on."""

from dataclasses import replace

import pytest

from skyloom.core.errors import BadInput
from skyloom.core.ledger.rows import collect
from skyloom.core.run import open_run, read_manifest
from skyloom.mathqa import pipeline
from skyloom.mathqa.evals import gsm8k as gsm8k_test
from skyloom.mathqa.records import Problem
from skyloom.mathqa.settings import MathConfig
from skyloom.mathqa.sources import gsm8k
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
