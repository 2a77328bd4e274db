"""Adapters: what each reads, what it rejects by name, and which split a file belongs to."""

import json
from pathlib import Path

import pytest

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.ledger.rows import collect
from skyloom.core.records import Raw
from skyloom.mathqa.evals import world as benchmark
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources import gsm8k, math_hendrycks, world
from skyloom.mathqa.verify.extraction import last_boxed


def write(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_gsm8k_strips_calculator_marks_and_takes_the_answer():
    raw = {"question": " A? ", "answer": "1+1=<<1+1=2>>2\n2*2=<<2*2=4>>4\n#### 1,234"}
    assert gsm8k.to_record(raw) == Problem(
        question="A?", answer="1,234", solution="1+1=2\n2*2=4\nThe answer is 1,234", level=None, subject="Word problems"
    )


@pytest.mark.parametrize("answer", ["no mark", "working\n####", "working\n####  \n", "#### 4\nand more"])
def test_gsm8k_rejects_an_answer_without_its_last_line(answer):
    with pytest.raises(BadRow, match="answer"):
        gsm8k.to_record({"question": "A?", "answer": answer})


def test_a_gsm8k_test_file_is_refused_for_training_without_as_train(tmp_path):
    row = {"question": "A?", "answer": "1\n#### 1"}
    test, train = write(tmp_path / "a" / "test.jsonl", [row]), write(tmp_path / "a" / "train.jsonl", [row])
    with pytest.raises(BadInput, match="as-train"):
        collect([gsm8k.Config(path=test)], Problem, tmp_path / "out")
    (report,) = collect([gsm8k.Config(path=test, as_train=True)], Problem, tmp_path / "meant")
    assert (report.split, report.as_train, report.rows) == ("test", True, 1)
    (report,) = collect([gsm8k.Config(path=train)], Problem, tmp_path / "train")
    assert report.split == "train"
    assert gsm8k.split(gsm8k.Config(path=tmp_path / "a")) == "test", "a folder with a test file in it is no train set"


def test_a_bad_row_is_a_counted_reject_that_names_its_field(tmp_path):
    good = {"question": "A?", "answer": "1\n#### 1"}
    path = write(tmp_path / "train.jsonl", [good, {"question": "", "answer": "x"}, {"question": "B?"}, good])
    (report,) = collect([gsm8k.Config(path=path)], Problem, tmp_path / "out")
    assert (report.rows, report.rejected) == (2, 2)
    assert report.reject_reasons == {"answer: missing": 1, "question: empty text": 1}


def test_math_reads_json_lines_and_a_folder_of_problems(tmp_path):
    raw = {"problem": "P", "level": "Level 3", "type": "Algebra", "solution": "So $\\boxed{\\frac{1}{2}}$."}
    record = math_hendrycks.to_record(raw)
    assert (record.answer, record.level) == ("\\frac{1}{2}", 3)
    for number in range(3):
        write(tmp_path / "MATH" / "train" / "algebra" / f"{number}.json", [raw])
    config = math_hendrycks.Config(path=tmp_path / "MATH" / "train")
    assert math_hendrycks.split(config) == "train"
    assert len([row for row in math_hendrycks.rows(config, 0) if isinstance(row, Raw)]) == 3
    write(tmp_path / "MATH" / "test" / "algebra" / "0.json", [raw])
    assert math_hendrycks.split(math_hendrycks.Config(path=tmp_path / "MATH" / "test")) == "test"


def test_math_takes_an_unknown_level_and_rejects_others_by_name():
    raw = {"problem": "P", "level": "Level ?", "type": "Algebra", "solution": "$\\boxed{1}$"}
    assert math_hendrycks.to_record(raw).level is None
    for change, field in (({"level": "Level 9"}, "level"), ({"solution": "so 1"}, "solution"), ({"type": 3}, "type")):
        with pytest.raises(BadRow) as caught:
            math_hendrycks.to_record({**raw, **change})
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("$\\boxed{1}$ then $\\boxed{\\frac{1}{2}}$", "\\frac{1}{2}"),
        ("\\fbox{x}", "x"),
        ("$\\boxed 5$.", "5"),
        ("$\\boxed{\\left\\{1,2\\right\\}}$", "\\left\\{1,2\\right\\}"),
        ("$\\boxed{1", None),
        ("none", None),
        ("$\\boxed{ }$", None),
        ("\\boxedness{3}", None),
    ],
)
def test_the_last_balanced_box(solution, answer):
    assert last_boxed(solution) == answer


def test_the_world_plants_copies_that_only_the_truth_tells(tmp_path):
    config = world.Config(rows=400, leak=0.25, benchmark=benchmark.Config(rows=50))
    raws = list(world.rows(config, 0))
    leaked = [raw.data for raw in raws if world.truth(raw.data)["leaked"]]
    assert 60 < len(leaked) < 140
    assert all(not hasattr(world.to_record(raw), "leaked") for raw in leaked)
    questions = {item.question for item in benchmark.items(benchmark.Config(rows=50))}
    assert {raw["problem"] for raw in leaked} <= questions
    assert not questions & {raw.data["problem"] for raw in raws if not raw.data["leaked"]}


def test_the_world_judges_answers_and_drift():
    told = world.judge_instance("Solve x + 3 = 7 for x.", "4", "4")
    assert told == {"answer": "4", "wrong": False, "drifted": False, "unsound": False}
    assert world.judge_instance("Solve x + 3 = 8 for x.", "5", "4")["drifted"] is True
    assert world.judge_instance("Solve x + 3 = 7 for x.", "5", "4")["wrong"] is True


def test_a_world_that_cannot_be_is_refused():
    for wrong in ({"rows": 0}, {"leak": 2.0}):
        with pytest.raises(ValueError, match="rows"):
            world.Config(**wrong)
