"""The grader against public labels: GSM8K's example solutions and the extracted golds of MATH-500."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from skyloom.mathqa.verify.grading import Grader

DATA = Path(os.environ.get("SKYLOOM_DATA", "")) / "math"
pytestmark = pytest.mark.skipif(
    not os.environ.get("SKYLOOM_DATA") or not DATA.is_dir(), reason="$SKYLOOM_DATA/math is absent"
)
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader() as shared:
        yield shared


def lines(path: Path) -> list[dict[str, object]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_gsm8k_example_solutions_are_judged_as_labelled(grader: Grader) -> None:
    rows = lines(DATA / "gsm8k" / "example_model_solutions.jsonl")
    pairs = [(row["ground_truth"], row[model]) for row in rows for model in MODELS]
    agree = sum(grader.grade(gold, given["solution"]).equal == given["is_correct"] for gold, given in pairs)
    assert len(pairs) == 5_276
    assert agree == 5_276  # measured: all


def math500() -> list[tuple[str, str]]:
    """(extracted gold, full solution) of each problem of MATH-500."""
    solutions = {row["problem"].strip(): row["solution"] for row in lines(DATA / "MATH" / "test.jsonl")}
    frame = pl.read_parquet(DATA / "MATH500" / "test.parquet")
    asked = [prompt[0]["content"].partition("\n\n")[2].strip() for prompt in frame["prompt"].to_list()]
    golds = [model["ground_truth"] for model in frame["reward_model"].to_list()]
    return [(gold, solutions[question]) for gold, question in zip(golds, asked, strict=True)]


def test_math500_golds_are_found_in_the_solutions(grader: Grader) -> None:
    pairs = math500()
    agree = sum(grader.grade(gold, solution).equal for gold, solution in pairs)
    assert len(pairs) == 500
    assert agree == 500  # measured: all


def test_math500_golds_do_not_fit_other_problems(grader: Grader) -> None:
    """Each gold against the next problem's solution: equal for the 3 whose answers happen to be the same number."""
    pairs = math500()
    shifted = [(pairs[k][0], pairs[(k + 1) % 500][1]) for k in range(500)]
    assert sum(grader.grade(gold, solution).equal for gold, solution in shifted) == 3


def test_graded_outputs_of_other_models(grader: Grader) -> None:
    """Labels of other graders, which have their own errors: agreement at least as measured."""
    for name, least in (("abel_7b", 1319), ("metamath_7b", 1319), ("gpt4", 1317), ("gpt-3.5-turbo", 1314)):
        rows = json.loads((DATA / "samples" / "gsm8k_solutions" / f"{name}.json").read_text(encoding="utf-8"))
        said = [row.get("model_prediction", row.get("completion")) for row in rows]
        right = [str(row["result"]) == "True" for row in rows]
        equal = [grader.grade(str(row["gold"]), text).equal for row, text in zip(rows, said, strict=True)]
        assert sum(a == b for a, b in zip(equal, right, strict=True)) >= least, name


def test_sampled_math_solutions(grader: Grader) -> None:
    """8 samples of 100 MATH problems with the labels of another grader, which lacks thousands separators."""
    rows = lines(DATA / "samples" / "math_cot_100.jsonl")
    pairs = [
        (row["gt"], text, bool(score)) for row in rows for text, score in zip(row["code"], row["score"], strict=True)
    ]
    agree = sum(grader.grade(gold, text).equal == score for gold, text, score in pairs)
    assert (len(pairs), agree >= 797) == (800, True)
