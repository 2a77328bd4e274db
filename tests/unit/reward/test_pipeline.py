"""The reward loop's own pieces: mending, export, plans, refusals."""

from dataclasses import replace

import polars as pl
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.run import open_run
from skyloom.recipes.reward import skywork_reward, skywork_v01
from skyloom.reward import pipeline
from skyloom.reward.annotate import contamination
from skyloom.reward.evals import held_out, reward_bench
from skyloom.reward.settings import RewardConfig
from skyloom.reward.sources import pairs_file, world


def test_mend_flips_and_cuts():
    frame = pl.DataFrame(
        {
            "chosen": ["a", "b <im_start>", "c"],
            "rejected": ["x", "y", "z <|im_end|>"],
            "score_chosen": [1.0, 2.0, 3.0],
            "score_rejected": [0.0, None, 0.5],
            "action": ["flip", "repair", "keep"],
        }
    )
    mended = pipeline.mend(frame)
    assert mended["chosen"].to_list() == ["x", "b", "c"]
    assert mended["rejected"].to_list() == ["a", "y", "z <|im_end|>"]
    assert mended["score_chosen"].to_list() == [0.0, 2.0, 3.0]
    assert mended["score_rejected"].to_list() == [1.0, None, 0.5]


def test_the_published_settings():
    for config, lr in ((skywork_reward.config(), 2e-6), (skywork_reward.gemma_27b(), 1e-6)):
        train = config.train
        assert (train.optim.lr, train.optim.weight_decay, train.batch_pairs, train.epochs) == (lr, 1e-3, 128, 2)
        assert (train.optim.schedule, train.loss.margin) == ("cosine", 0.0)
    assert skywork_reward.gemma_27b().train.backbone.attention == "eager"


def test_plans_at_both_sizes():
    full, small = pipeline.plan(skywork_reward.config()), pipeline.plan(skywork_reward.smoke())
    assert full.lines[0].tokens == pytest.approx(77_016 * 1_247 * 2 * 0.98)
    assert full.total.gpu_hours > 1
    assert small.total.gpu_hours == 0
    assert small.total.core_hours < 0.2
    with pytest.raises(BadInput, match="planned_pairs"):
        pipeline.plan(replace(skywork_reward.config(), planned_pairs=0))


def test_a_benchmark_that_was_trained_on_is_not_reported(tmp_path):
    file = tmp_path / "test.jsonl"
    file.write_text('{"id": 1, "subset": "donotanswer", "prompt": "Q", "chosen": "a", "rejected": "b"}\n')
    config = RewardConfig(
        collect=(pairs_file.Config(path=file, as_train=True),), evaluate=reward_bench.Config(path=file)
    )
    with open_run("x", config, tmp_path / "run", 0) as run, pytest.raises(BadInput, match="nothing is reported"):
        pipeline.run(config, run)


def test_held_out_pairs_cannot_decontaminate(tmp_path):
    config = RewardConfig(
        collect=(world.Config(rows=50),), curate=(contamination.Config(),), evaluate=held_out.Config()
    )
    with open_run("x", config, tmp_path / "run", 0) as run:
        collected = pipeline.collect_step(config, run)
        with pytest.raises(BadInput, match="needs a benchmark"):
            pipeline.curate_step(config, run, collected)


def test_a_benchmark_that_is_not_there_is_told_before_any_download(tmp_path):
    with (
        open_run("x", skywork_v01.config(), tmp_path / "run", 0) as run,
        pytest.raises(BadInput, match="evaluate.path=FILE"),
    ):
        pipeline.run(skywork_v01.config(), run)
