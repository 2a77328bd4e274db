"""The math loop end to end at toy size: it runs, repeats to the byte, tells every row's trail, and beats being untrained."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from skyloom.core.config import override
from skyloom.core.ledger.curate import read_decisions, read_kept
from skyloom.core.ledger.query import retract, why
from skyloom.core.run import open_run, output_digests
from skyloom.mathqa import pipeline
from skyloom.mathqa.evals import world
from skyloom.recipes.mathqa.skywork_math import smoke

SETTINGS = [
    "collect.world.rows=120",
    "collect.world.leak=0.1",
    "collect.world.benchmark.rows=40",
    "evaluate.benchmarks.world.rows=40",
    "train.epochs=1",
    "train.valid_share=0.1",
    "evaluate.generate.max_new_tokens=24",
    "synthesize.passes.seed.rows=260",
    "synthesize.passes.normal.rows=60",
    "synthesize.passes.hard.rows=40",
    "synthesize.simulated.faults.rate_429=0.0",
]


def toy():
    return override(smoke(), SETTINGS)


def run(out, config):
    with open_run("skywork_math.smoke", config, out, config.seed) as opened:
        return pipeline.run(config, opened)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("mathqa")
    return out, run(out, toy())


def differing(one, other):
    """Files of finished steps that are not the same in both runs."""
    files = {path.relative_to(root) for root in (one, other) for path in root.rglob("*") if path.is_file()}
    return [
        str(f)
        for f in sorted(files)
        if (one / f).exists() != (other / f).exists() or (one / f).read_bytes() != (other / f).read_bytes()
    ]


def test_the_loop_runs_and_repeats_to_the_byte(done, tmp_path):
    out, evaluation = done
    passes = {f"{what}-{each}" for what in ("select", "synthesize") for each in ("seed", "normal", "hard")}
    assert set(output_digests(out)) == {"collect", "benchmarks", *passes, "curate", "train", "evaluate"}
    assert evaluation.headline.n <= 40
    assert run(tmp_path, toy()) == evaluation
    assert output_digests(tmp_path) == output_digests(out), differing(tmp_path, out)


def test_planted_defects_are_found(done):
    told = {row["defect"]: row for row in json.loads((done[0] / "curate" / "truth.json").read_text())}
    assert told["leaked"]["planted"] > 5
    assert told["leaked"]["hits"] == told["leaked"]["planted"] == told["leaked"]["found"]
    assert told["unsound"]["planted"] > 10
    assert told["unsound"]["hits"] >= 0.85 * told["unsound"]["planted"], (
        "all but wrong answers to new questions, which have no gold"
    )
    assert told["unsound"]["found"] == told["unsound"]["hits"], "a sound row was called wrong"
    kept = read_kept(done[0] / "curate")
    questions = {item.question for item in world.items(world.Config(rows=40, shares=smoke().collect[0].shares))}
    assert not questions & {*kept["question"], *kept["seed_question"]}


def test_a_row_tells_its_trail_and_a_seed_takes_its_rows_along(done):
    out, _ = done
    row = read_kept(out / "curate").filter(made_in="hard")["row"][0]
    trail = why(out, str(row))
    assert trail.kept
    assert [ruling.decider for ruling in trail.rulings] == [
        "contamination",
        "validity",
        "wrong_answer",
        "duplicates",
        "correct",
        "too_long",
    ]
    (parent,) = trail.parents
    assert parent.startswith("world:0:")
    assert trail.record["seed"] == parent
    assert trail.shown in retract(out, parent).kept


def test_a_changed_threshold_recomputes_no_annotator(done):
    out, _ = done
    before = {path: path.stat().st_mtime_ns for path in (out.parent / ".skyloom-cache").rglob("*.parquet")}
    config = override(toy(), ["curate.too_long.max_words=12"])
    changed = out.with_name(
        f"{out.name}-changed"
    )  # beside it: the same cache, and the run itself stays as other tests know it
    shutil.copytree(out, changed)
    run(changed, config)
    assert read_decisions(changed / "curate").filter(reason="too_long").height > 10
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list((out.parent / ".skyloom-cache").rglob("*.parquet"))) == len(before)


def test_the_pieces_by_themselves(done, tmp_path):
    from skyloom.app.cli import app

    def call(*arguments):
        result = CliRunner().invoke(app, ["mathqa", *map(str, arguments), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    made = call(
        "synthesize", "--out", tmp_path / "made", "--operator", "answer_augment", "--set", "collect.world.rows=60"
    )
    (told,) = made["passes"]
    assert [(label, each["rows"] + each["rejected"]) for label, each in told["operators"].items()] == [
        ("answer_augment", 60)
    ]
    checked = call("verify", "--run", tmp_path / "made")
    assert 0 < checked["kept"] < checked["rows_in"]
    rows = tmp_path / "made" / "curate" / "data.jsonl"
    settings = [
        f"--set=train.{each}" for each in ("backbone.hidden=32", "backbone.vocab=320", "epochs=1", "valid_share=0.2")
    ]
    tuned = call("sft", "--data", rows, "--out", tmp_path / "tuned", *settings)
    assert tuned["learn"] > 20
    scored = call(
        "eval",
        "--model",
        tmp_path / "tuned",
        "--limit",
        5,
        "--out",
        tmp_path / "scored",
        "--set=generate.max_new_tokens=8",
    )
    assert scored["headline"]["n"] == 5
    stored = tmp_path / "scored" / "evaluate" / "outputs-world.jsonl"
    again = call("eval", "--predictions", stored, "--limit", 5, "--out", tmp_path / "again")
    assert again["headline"] == scored["headline"]
    graded = tmp_path / "graded.jsonl"
    graded.write_text('{"gold": "1/2", "prediction": "The answer is 0.5"}\n{"gold": "3", "prediction": "4"}\n')
    counts = call("grade", graded)
    assert (counts["rows"], counts["equal"]) == (2, 1)
