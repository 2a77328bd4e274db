"""A trained model from the command line: benchmarks, comparisons, scores, and what a user may get wrong."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from skyloom.app.reward import app
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import Message, to_row
from skyloom.reward.records import pair
from skyloom.reward.settings import TrainConfig
from skyloom.reward.train import train
from skyloom.reward.world import benchmarks


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that has learnt to say "good"."""
    folder = tmp_path_factory.mktemp("model")
    pairs = [pair((Message(role="user", content=f"Say word {k}."),), f"good {k}", f"bad {k}") for k in range(120)]
    frame = pl.DataFrame([{**to_row(each), "weight": 1.0, "label": 1.0} for each in pairs], infer_schema_length=None)
    backbone = BackboneConfig(hidden=16, layers=1, heads=2, max_length=256, vocab=300)
    train(frame, TrainConfig(backbone=backbone, optim=TrainerConfig(lr=1e-2), epochs=2, batch_pairs=8), folder)
    return str(folder / "model")


def invoke(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def bench(folder, count=40, flipped=0):
    words = [("bad", "good") if k < flipped else ("good", "bad") for k in range(count)]
    turns = [[{"role": "user", "content": f"Say it, {k}."}] if k % 2 else f"Say it, {k}." for k in range(count)]
    return jsonl(
        folder / "bench.jsonl",
        [
            {"id": f"x{k}", "subset": "ab"[k % 2], "prompt": turns[k], "chosen": f"{c} {k}", "rejected": f"{r} {k}"}
            for k, (c, r) in enumerate(words)
        ],
    )


def test_any_jsonl_is_a_benchmark(model, tmp_path):
    result = invoke("eval", model, "--bench", bench(tmp_path, flipped=4), "--json", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    found = told["benchmarks"]["pairs"]
    assert found["headline"]["value"] == pytest.approx(0.9, abs=0.05)
    assert found["headline"]["low"] < found["headline"]["value"] < found["headline"]["high"]
    assert {each["name"] for each in found["baselines"]} >= {"longest", "constant"}
    assert {"ECE", "length-matched accuracy"} & {each["name"] for each in found["others"]}
    assert told["protocol"]["dtype"] == "float32"
    protocol = json.loads((tmp_path / "out" / "protocol.json").read_text())
    assert protocol["items"] == 40
    assert protocol["scorer"]["template"] == told["protocol"]["template"]
    outputs = list((tmp_path / "out" / "rewardbench").glob("*_outputs.jsonl"))
    assert len(outputs[0].read_text().splitlines()) == 40


def test_touched_items_are_told_apart(model, tmp_path):
    file = bench(tmp_path)
    train_rows = [{"prompt": "Say it, 3.", "chosen": "x", "rejected": "y"}] * 2
    train_rows += [{"prompt": f"Other question {k}", "chosen": "x", "rejected": "y"} for k in range(4)]
    pairs = jsonl(tmp_path / "pairs.jsonl", train_rows)
    result = invoke("eval", model, "--bench", file, "--trained-on", pairs, "--ngram", "3", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["benchmarks"]["pairs"]
    names = {each["name"]: each["n"] for each in found["others"]}
    assert names["mean credit, touched items"] == 1
    assert names["mean credit, clean items"] == 39


def test_two_models_are_compared_item_by_item(model, tmp_path):
    file = bench(tmp_path)
    for name in ("one", "two"):
        assert invoke("eval", model, "--bench", file, "--out", tmp_path / name).exit_code == 0
    result = invoke("compare", tmp_path / "one", tmp_path / "two", "--bench", file, "--json")
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout)["table"]
    row = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert row["one"] == row["two"]
    assert row["p"] == 1
    assert invoke("eval", model, "--bench", file, "--out", tmp_path / "three", "--max-length", "200").exit_code == 0
    result = invoke("compare", *(tmp_path / name for name in ("one", "two", "three")), "--bench", file, "--json")
    assert [row[0] for row in json.loads(result.stdout)["table"]["rows"]] == ["one - two", "one - three", "two - three"]
    result = invoke("compare", tmp_path / "one", tmp_path / "three", "--bench", file, "--json")
    assert "max_length 256 against 200" in json.loads(result.stdout)["table"]["note"]
    other = invoke("compare", tmp_path / "one", tmp_path / "two", "--bench", jsonl(tmp_path / "o.jsonl", [
        {"id": "zz", "prompt": "p", "chosen": "a", "rejected": "b"}]))  # fmt: skip
    assert getattr(other.exception, "exit_code", 0) == 2


def test_generated_benchmarks_are_found_by_their_columns_and_say_what_they_are(model, tmp_path):
    only = ("reward_bench", "reward_bench_2", "rm_bench", "judge_bench", "llm_bar")
    paths = benchmarks.write(tmp_path / "sets", scale=0.02, only=only)
    asked = [part for name in only for part in ("--bench", paths[name])]
    result = invoke("eval", model, *asked, "--json", "--max-length", "256", "--over-long", "truncate")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["benchmarks"]
    assert set(found) == set(only)
    assert all("not run on the real set" in each["headline"]["name"] for each in found.values())


def test_conversations_are_scored(model, tmp_path):
    turns = [{"role": "user", "content": "Say it."}, {"role": "assistant", "content": "good 1"}]
    rows = [
        {"messages": turns},
        {"prompt": "Say it.", "responses": ["good 1", "bad 1", "bad bad"]},
        {"prompt": "Say it.", "response": "bad 1"},
        {"prompt": "Say it."},
        {"messages": turns[:1]},
    ]
    file = jsonl(tmp_path / "rows.jsonl", rows)
    result = invoke("score", model, file, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    scores = [row["scores"] for row in told["scores"]]
    assert (told["rows"], told["rejected"]) == (3, 2)
    assert scores[0][0] == pytest.approx(scores[1][0], rel=1e-5)
    assert scores[1][1] == pytest.approx(scores[2][0], rel=1e-5)
    assert scores[1][0] > scores[1][1]
    assert sum(told["scores"][1]["p_win"]) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "nowhere", "--bench", "FILE"], "nowhere"),
        (["eval", "MODEL", "--bench", "nowhere.jsonl"], "no such file"),
        (["eval", "MODEL", "--bench", "BROKEN"], "row 2"),
        (["eval", "MODEL", "--bench", "FILE", "--max-length", "3"], "no response could be scored"),
        (["eval", "MODEL", "--bench", "FILE", "--max-length", "3", "--over-long", "error"], "max_length=3"),
        (["score", "MODEL", "nowhere.jsonl"], "no such file"),
        (["score", "MODEL", "EMPTY"], "no usable row"),
        (["train", "--data", "FILE", "--preset", "nobody"], "skywork_8b"),
    ],
)
def test_mistakes_are_told_in_one_line(model, tmp_path, arguments, message):
    broken = jsonl(tmp_path / "broken.jsonl", [{"prompt": "p", "chosen": "a", "rejected": "b"}, {"prompt": "p"}])
    empty = jsonl(tmp_path / "empty.jsonl", [{"prompt": "p", "responses": []}])
    places = {"MODEL": model, "FILE": bench(tmp_path), "BROKEN": broken, "EMPTY": empty}
    result = invoke(*(places.get(each, each) for each in arguments))
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert getattr(result.exception, "exit_code", 0) == 2


def test_pairs_that_also_bring_messages_are_read_as_pairs(model, tmp_path):
    turns = [{"role": "user", "content": "Say it."}]
    rows = [
        {"prompt": f"Say it, {k}.", "messages": turns, "chosen": f"good {k}", "rejected": f"bad {k}"} for k in range(6)
    ]
    result = invoke("score", model, jsonl(tmp_path / "p.jsonl", rows), "--source", "", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["rows"], told["chosen_above_rejected"]["n"]) == (6, 6)
