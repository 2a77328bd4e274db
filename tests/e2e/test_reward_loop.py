"""The whole reward loop at a toy size: every step, its files, planted against found, and nothing done twice."""

import json

import pytest
from typer.testing import CliRunner

from skyloom.app.reward import app
from skyloom.core.config import override
from skyloom.core.ledger.curate import read_kept
from skyloom.core.metrics import read_evaluation, read_tables
from skyloom.core.run import open_run, output_digests
from skyloom.recipes.reward.skywork_reward import smoke
from skyloom.reward import pipeline

SMALL = (
    "collect.world.rows=500",
    "collect.world.eval_rows=120",
    "evaluate.world.rows=120",
    "train.epochs=1",
    "train.backbone.hidden=32",
    "train.evaluations=2",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reward") / "run"
    config = override(smoke(), SMALL)
    with open_run("skywork_reward.smoke", config, folder, 0) as run:
        pipeline.run(config, run)
    return folder, config


def read(path):
    return json.loads(path.read_text())


def test_every_row_is_accounted_for(finished):
    folder, _ = finished
    waterfall, counts = read(folder / "curate" / "waterfall.json"), read(folder / "train" / "counts.json")
    dropped = sum(step["dropped"] for step in waterfall["steps"])
    assert waterfall["rows_in"] == 500 == waterfall["kept"] + dropped
    assert (
        counts["trained"] + counts["valid"] + sum(counts["left_out"].values()) == counts["pairs"] == waterfall["kept"]
    )


def test_planted_defects_are_found(finished):
    found = {row["defect"]: row for row in read(finished[0] / "curate" / "truth.json")}
    for defect in ("copy", "contradiction", "artefact", "leak"):
        row = found[defect]
        assert row["planted"] > 0, defect
        assert row["hits"] / row["planted"] == 1, defect
        assert row["hits"] / row["found"] > 0.9, defect
    assert found["length"]["hits"] / found["length"]["planted"] > 0.8
    assert found["near_copy"]["found"] == found["near_copy"]["hits"]  # those of Jaccard 0.8 or more, and nothing else


def test_the_evaluation_names_baselines_and_intervals(finished):
    evaluation = read_evaluation(finished[0] / "evaluate")
    assert {each.name for each in evaluation.baselines} == {
        "longest",
        "shortest",
        "most markdown",
        "constant",
        "random",
    }
    assert all(each.value < 0.62 for each in evaluation.baselines)
    assert {"chat", "chat_hard", "safety", "reasoning"} <= {each.name for each in evaluation.others}
    assert read_tables(finished[0] / "evaluate")[0].rows[0][0] == "chat"


def test_no_control_token_reaches_training(finished):
    kept = read_kept(finished[0] / "curate")
    assert not any("<im_start>" in text for text in (*kept["chosen"], *kept["rejected"]))


def test_the_same_command_again_does_nothing_and_a_threshold_redoes_no_annotator(finished):
    folder, config = finished
    before = output_digests(folder)
    steps = {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/step.json")}
    with open_run("skywork_reward.smoke", config, folder, 0) as run:
        pipeline.run(config, run)
        assert output_digests(folder) == before
        assert {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/step.json")} == steps
        cached = {path: path.stat().st_mtime_ns for path in run.cache.rglob("*.parquet")}
        other = override(config, ["curate.top_k.share=0.5"])
        pipeline.curate_step(other, run, folder / "collect")
        assert {path: path.stat().st_mtime_ns for path in run.cache.rglob("*.parquet")} == cached
    assert read(folder / "curate" / "waterfall.json")["kept"] < 500 * 0.5


def pairs_file(folder, name="pairs.jsonl"):
    rows = [
        {"prompt": f"Say the word {k}.", "chosen": f"good {k}", "rejected": f"bad {k} {'!' * (k % 3)}"}
        for k in range(150)
    ]
    rows += [{"prompt": "p", "chosen": "same", "rejected": "same"}, rows[0]]
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_train_eval_and_score_on_a_file(tmp_path):
    file, run = pairs_file(tmp_path), tmp_path / "run"
    small = ["--set", "train.backbone.hidden=16", "--set", "train.backbone.layers=1", "--set", "train.optim.lr=1e-2"]
    result = CliRunner().invoke(
        app, ["train", "--data", str(file), "--out", str(run), "--epochs", "2", "--json", *small]
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["sources"][0]["rows"], told["sources"][0]["rejected"]) == (151, 1)
    reasons = {step["step"]: step["reasons"] for step in told["waterfall"]["steps"]}
    assert reasons["duplicates"] == {"duplicate": 1}
    assert told["train"]["trained"] + told["train"]["valid"] + told["train"]["held_out"] == 150
    assert told["evaluation"]["headline"]["value"] > 0.9
    model, out = str(run / "train" / "model"), tmp_path / "scores.jsonl"
    result = CliRunner().invoke(app, ["score", model, str(file), "--out", str(out)])
    assert "151 rows scored, 1 rejected" in result.output
    assert "identical to chosen" in result.output
    first = json.loads(out.read_text().splitlines()[0])
    assert first["row"] == 1
    assert first["scores"][0] > first["scores"][1]
    assert first["normalized"][0] > first["normalized"][1]
    assert sum(first["p_win"]) == pytest.approx(1)
    assert first["p_win"][0] > 0.5


def test_a_test_split_is_refused_in_one_line_and_noted_when_forced(tmp_path):
    file = pairs_file(tmp_path, "pairs-test.jsonl")
    result = CliRunner().invoke(app, ["curate", "--data", str(file), "--out", str(tmp_path / "a")])
    assert "--as-train" in str(result.exception)
    assert getattr(result.exception, "exit_code", 0) == 2
    result = CliRunner().invoke(app, ["curate", "--data", str(file), "--as-train", "--out", str(tmp_path / "b")])
    assert result.exit_code == 0
    assert "a test split trained on purpose" in result.output
    assert read(tmp_path / "b" / "run.json")["trained_on_test_splits"] == ["reward.sources/pairs_file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere.jsonl"], "no such file"),
        (["--data", "FILE", "--source", "world"], "reads no files"),
        (["--data", "FILE", "--source", "nonsense"], "unknown plug-in"),
        (["--data", "FILE", "--set", "train.nonsense=1"], "unknown key"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, arguments, message):
    file = str(pairs_file(tmp_path))
    result = CliRunner().invoke(app, ["train", *(file if each == "FILE" else each for each in arguments)])
    assert result.exit_code != 0
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
