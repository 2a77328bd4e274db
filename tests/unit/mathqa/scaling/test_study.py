"""From a finished run to its curve and its groups: the command line, the bill, and what is refused."""

import json

import pytest
from typer.testing import CliRunner

from skyloom.app.cli import app
from skyloom.core.errors import BadInput
from skyloom.core.llm.config import BackboneConfig, GenerateConfig
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.run import open_run
from skyloom.mathqa import pipeline
from skyloom.mathqa.annotate import duplicates
from skyloom.mathqa.augment import answer_augment, rephrase
from skyloom.mathqa.decide import duplicates as drop_duplicates
from skyloom.mathqa.evals import world as world_test
from skyloom.mathqa.scaling.study import study
from skyloom.mathqa.scaling.value import bills_of, overhead, value
from skyloom.mathqa.settings import EvaluateConfig, MathConfig, PassConfig, SynthesizeConfig, TrainConfig
from skyloom.mathqa.sources import world

EASY = (1.0, 0.0, 0.0, 0.0, 0.0)
CONFIG = MathConfig(
    collect=(world.Config(rows=40, shares=EASY),),
    synthesize=SynthesizeConfig(
        passes=(
            PassConfig(name="first", augment=(rephrase.Config(),), train=False),
            PassConfig(name="main", augment=(answer_augment.Config(), rephrase.Config())),
            PassConfig(name="late", stage=2, augment=(answer_augment.Config(samples=2),)),
        ),
        teacher=TeacherConfig(price_in=2.0, price_out=8.0),
    ),
    curate=(duplicates.Config(), drop_duplicates.Config()),
    train=TrainConfig(
        backbone=BackboneConfig(hidden=16, layers=1, heads=2, vocab=300, max_length=160),
        epochs=1,
        valid_share=0.3,
        optim=TrainerConfig(lr=1e-2, threads=1),
    ),
    evaluate=EvaluateConfig(
        benchmarks=(world_test.Config(rows=6, shares=EASY),), generate=GenerateConfig(max_new_tokens=4)
    ),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("scaling") / "run"
    with open_run("skywork_math.toy", CONFIG, path, 0) as opened:
        made = pipeline.make_passes(CONFIG, opened, pipeline.collect_seeds(CONFIG, opened))
        pipeline.curate_step(CONFIG, CONFIG.curate, made, opened)
    return path


def invoke(*words):
    return CliRunner().invoke(app, ["mathqa", *map(str, words)])


def test_the_bill_of_every_grouping_adds_up_to_what_the_teacher_was_paid(run, tmp_path):
    told = study(run, tmp_path)
    assert told.money > 0
    for by in ("operator", "stage", "level"):
        bills = bills_of(told, by)
        assert sum(each.money for each in bills.values()) == pytest.approx(told.money)
        assert sum(each.tokens for each in bills.values()) == pytest.approx(told.tokens)
    assert set(bills_of(told, "stage")) == {"1", "2"}
    assert overhead(told).money > 0


def test_a_run_becomes_a_curve_that_grows_by_a_size_without_training_again(run, tmp_path):
    words = ("scaling", run, "--out", tmp_path / "out", "--seeds", 2, "--reach", 0.5, "--json")
    done = invoke(*words, "--sizes", "20,40")
    assert done.exit_code == 0, done.output
    curve = json.loads(done.stdout)["curves"][0]
    assert curve["measure"] == "accuracy"
    assert curve["not_offered"] == {"saturating": "needs 4 sizes, there are 2", "broken": "needs 5 sizes, there are 2"}
    assert any(line.startswith("asymptote: not told") for line in curve["lines"])
    stamps = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out" / "cells").glob("*.json")}
    assert len(stamps) == 4
    grown = invoke(*words, "--sizes", "20,40,60")
    assert grown.exit_code == 0, grown.output
    after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out" / "cells").glob("*.json")}
    assert len(after) == 6
    assert {name: after[name] for name in stamps} == stamps
    for name in ("results.json", "tables.json", "plots.json", "answer.json"):
        assert (tmp_path / "out" / "evaluate" / name).is_file()
    assert "what twice the data buys" in (tmp_path / "out" / "report" / "index.html").read_text()


def test_groups_are_valued_and_called_undecided_where_noise_decides(run, tmp_path):
    done = invoke("value", run, "--out", tmp_path / "out", "--by", "stage", "--seeds", 2, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert {each["name"] for each in told["groups"]} == {"1", "2"}
    assert told["unit"] == "1 of money"
    for each in told["groups"]:
        assert each["per"]["value"] == pytest.approx(each["gain"]["value"] / each["bill"]["money"])
        assert each["decided"] == (each["gain"]["low"] > 0 or each["gain"]["high"] < 0)


def test_what_cannot_be_studied_is_one_line(run, tmp_path):
    told = study(run, tmp_path)
    with pytest.raises(BadInput, match="--by colour: known: operator, stage, level"):
        value(told, "colour", 2, print)
    with pytest.raises(BadInput, match="two or more, or the noise"):
        value(told, "operator", 1, print)
    with pytest.raises(BadInput, match="not a run directory"):
        study(tmp_path, tmp_path)
    for words, said in (
        (("scaling", "--out", tmp_path / "x"), "give either a run directory or --points"),
        (("scaling", run, "--out", tmp_path / "x", "--sizes", "a,b"), "--sizes a,b: give whole numbers"),
        (("scaling", run, "--out", tmp_path / "x", "--updates", "some"), "--updates some: known: epochs, fixed"),
        (("scaling", "--points", tmp_path / "no.csv", "--out", tmp_path / "x"), "no such file"),
    ):
        failed = invoke(*words)
        assert isinstance(failed.exception, BadInput)
        assert said in str(failed.exception)


def test_points_of_a_file_make_a_report(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("rows,right,n,model\n" + "".join(f"{500 * 2**k},{100 + 60 * k},1000,m\n" for k in range(6)))
    done = invoke("scaling", "--points", path, "--out", tmp_path / "out", "--reach", 0.5, "--price", 0.01)
    assert done.exit_code == 0, done.output
    for part in (
        "slope: +6.0 [",
        "twice the rows: +6.0 [",
        "to reach 0.5:",
        "of money at 0.01 a row",
        "asymptote: not identifiable",
        "hold-out",
    ):
        assert part in done.output
