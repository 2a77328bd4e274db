"""Result files: rewardbench's shapes, our scores without loss, and a protocol that two machines write alike."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import Message
from skyloom.reward import results
from skyloom.reward.evals._items import Item

ITEMS = (
    Item(
        name="chat:1",
        subset="chat",
        prompt=(Message(role="user", content="Q"),),
        responses=("good", "bad"),
    ),
    Item(
        name="hard:1",
        subset="hard",
        prompt=(
            Message(role="user", content="A"),
            Message(role="assistant", content="B"),
            Message(role="user", content="C"),
        ),
        responses=("best", "x", "y"),
    ),
    Item(name="hard:2", subset="hard", prompt=(Message(role="user", content="R"),), responses=("good", "bad")),
)
SCORED = [np.asarray([1.5, -0.25]), np.asarray([0.1, 0.1, -3.0]), np.asarray([np.nan, 2.0])]
CREDITS = np.asarray([1.0, 0.5, 0.0])
SCORER = {"dtype": "float32", "attention": "sdpa", "template": "abc", "max_length": 4096, "truncated": 2}


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def folder(tmp_path):
    bench = tmp_path / "bench.jsonl"
    bench.write_text("{}\n")
    protocol = results.manifest("pairs", ITEMS, SCORED, [bench], SCORER)
    results.write(tmp_path / "out", "owner/model", ITEMS, SCORED, CREDITS, protocol)
    return tmp_path / "out"


def test_the_summary_is_rewardbenchs(folder):
    made = json.loads((folder / "rewardbench" / "owner" / "model.json").read_text())
    assert set(made) == {"accuracy", "num_prompts", "model", "ref_model", "tokenizer", "chat_template", "extra_results"}
    assert (made["accuracy"], made["num_prompts"], made["model"]) == (0.5, 3, "owner/model")
    assert made["extra_results"] == {"chat": 1.0, "hard": 0.25}


def test_the_leaderboard_file_is_flat(folder):
    made = json.loads((folder / "rewardbench" / "eval-set" / "owner" / "model.json").read_text())
    about = {"model": "owner/model", "model_type": "Seq. Classifier", "chat_template": "tokenizer"}
    assert made == {"chat": 1.0, "hard": 0.25, **about}


def test_outputs_hold_a_line_a_compared_pair(folder):
    rows = lines(folder / "rewardbench" / "owner" / "model_outputs.jsonl")
    assert [row["results"] for row in rows] == [1, 0, 1, 0]  # a tie and a missing score are not won
    assert [row["id"] for row in rows] == ["chat:1", "hard:1", "hard:1", "hard:2"]
    assert (rows[0]["scores_chosen"], rows[0]["scores_rejected"]) == (1.5, -0.25)
    assert rows[3]["scores_chosen"] is None
    assert rows[0]["prompt"] == "Q"
    assert [turn["content"] for turn in rows[1]["prompt"]] == ["A", "B", "C"]
    assert [turn["content"] for turn in rows[2]["text_rejected"]] == ["A", "B", "C", "y"]
    columns = json.loads((folder / "rewardbench" / "eval-set-scores" / "owner" / "model.json").read_text())
    assert columns["scores_rejected"] == [row["scores_rejected"] for row in rows]
    assert columns["subset"] == ["chat", "hard", "hard", "hard"]


def test_accuracy_of_pairs_is_the_share_of_results(tmp_path):
    pairs, scores = (ITEMS[0], ITEMS[2]), [np.asarray([1.0, 0.0]), np.asarray([1.0, 2.0])]
    results.write(tmp_path, "m", pairs, scores, np.asarray([1.0, 0.0]), {})
    rows = lines(tmp_path / "rewardbench" / "m_outputs.jsonl")
    made = json.loads((tmp_path / "rewardbench" / "m.json").read_text())
    assert made["accuracy"] == sum(row["results"] for row in rows) / len(rows)
    assert made["num_prompts"] == len(rows)


finite = st.floats(allow_nan=True, allow_infinity=False)


@given(st.lists(st.tuples(finite, finite, finite, st.floats(0, 1)), min_size=1, max_size=8))
def test_scores_survive_bit_for_bit(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("scores") / "scores.jsonl"
    items = [
        Item(name=f"é\n{k}", subset="", prompt=(Message(role="user", content="Q"),), responses=("a", "b", "c"))
        for k in range(len(rows))
    ]
    scores = [np.asarray(row[:3]) for row in rows]
    credits = np.asarray([row[3] for row in rows])
    results.write_scores(path, items, scores, credits)
    stored = results.read_scores(path)
    assert [each.name for each in stored] == [item.name for item in items]
    assert [each.credit for each in stored] == credits.tolist()
    for each, score in zip(results.align(items, stored[::-1]), scores, strict=True):
        assert np.array_equal(each, score, equal_nan=True)
        assert [math.copysign(1, value) for value in each[~np.isnan(each)]] == [
            math.copysign(1, value) for value in score[~np.isnan(score)]
        ]


def test_another_benchmarks_scores_are_refused(folder):
    stored = results.read_scores(folder / "scores.jsonl")
    assert len(results.align(ITEMS, stored)) == 3
    with pytest.raises(BadInput, match="no scores of 'hard:2'"):
        results.align(ITEMS, stored[:2])
    with pytest.raises(BadInput, match="'hard:2' is no item"):
        results.align(ITEMS[:2], stored)
    with pytest.raises(BadInput, match="stands there twice"):
        results.align(ITEMS, [*stored, stored[0]])
    with pytest.raises(BadInput, match="has 2 scores for 3 responses"):
        results.align(ITEMS, [stored[0], stored[1]._replace(scores=stored[1].scores[:2]), stored[2]])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"name": "a", "subset": "", "credit": 2, "scores": [1]}', "row 1: credit: expected 0 to 1"),
        ('{"name": "a", "subset": "", "credit": 1, "scores": ["1"]}', "row 1: scores: expected a number"),
        ('{"name": "a", "subset": "", "credit": 1, "scores": [1', "row 1: not valid JSON"),
        ('{"name": "", "subset": "", "credit": 1, "scores": [1]}', "row 1: name: empty"),
    ],
)
def test_a_damaged_file_names_row_and_field(tmp_path, line, message):
    (tmp_path / "scores.jsonl").write_text(line + "\n")
    with pytest.raises(BadInput, match=message):
        results.read_scores(tmp_path / "scores.jsonl")


def test_the_protocol_holds_what_must_be_equal(folder):
    made = results.read_protocol(folder)
    assert made["scorer"] == SCORER
    assert (made["items"], made["responses"], made["unscored_items"]) == (3, 7, 1)
    assert made["unscored_names"] == ["hard:2"]
    assert made["files"] == {"bench.jsonl": "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"}
    assert {"python", "skyloom", "numpy"} <= made["versions"].keys()
    assert str(folder.parent) not in (folder / "protocol.json").read_text()


def test_two_writes_are_equal_byte_for_byte(folder, tmp_path):
    results.write(tmp_path / "again", "owner/model", ITEMS, SCORED, CREDITS, results.read_protocol(folder))
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(paths) == 6
    assert [(folder / path).read_bytes() for path in paths] == [
        (tmp_path / "again" / path).read_bytes() for path in paths
    ]


def test_files_of_a_folder_keep_their_places(tmp_path):
    for part in ("a", "b"):
        (tmp_path / "bench" / part).mkdir(parents=True)
        (tmp_path / "bench" / part / "x.json").write_text(part)
    made = results.manifest("rmb", ITEMS, SCORED, [tmp_path / "bench"], {})["files"]
    assert list(made) == ["bench/a/x.json", "bench/b/x.json"]
    assert len(set(made.values())) == 2


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("owner/model", "owner/model"),
        ("model", "model"),
        ("/data/runs/x/model", "model"),
        ("../x/model/", "model"),
        ("./model", "model"),
        ("runs/x/model", "model"),
    ],
)
def test_where_a_models_files_stand(model, path):
    assert results.model_path(model) == path


@pytest.mark.parametrize("model", ["", "/", "..", "a/.."])
def test_a_model_without_a_name_is_refused(model):
    with pytest.raises(BadInput, match="names no model"):
        results.model_path(model)


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(BadInput, match="3 items, 2 scores"):
        results.write(tmp_path, "m", ITEMS, SCORED[:2], CREDITS, {})
    with pytest.raises(BadInput, match="two items share a name"):
        results.write(tmp_path, "m", [ITEMS[0], ITEMS[0]], [SCORED[0], SCORED[0]], CREDITS[:2], {})
    with pytest.raises(BadInput, match="'chat:1': needs 2 scores, none infinite"):
        results.write(tmp_path, "m", ITEMS[:1], [np.asarray([np.inf, 0.0])], CREDITS[:1], {})
    with pytest.raises(BadInput, match="'chat:1': needs 2 scores"):
        results.write(tmp_path, "m", ITEMS[:1], [np.asarray([1.0])], CREDITS[:1], {})
    assert not list(tmp_path.iterdir())
