"""Backward consistency: right answers lead back, wrong ones do not, backward questions are left alone, no call is paid for twice."""

import polars as pl
import pytest

from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.mathqa.annotate import backward
from skyloom.mathqa.world.expressions import show
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import problems
from skyloom.mathqa.world.responder import Responder

BACKWARD = (
    "Tom has X apples and gets 5 more. How many apples does Tom have now?\n"
    "Here X is an unknown number, and the problem is known to have the answer 8. What is the value of X?"
)


def rows(off):
    posed = list(problems("train", 5, 60, (1, 1, 1, 0, 0)))
    told = [(each.text, solve(each).text, show(solve(each).answer + off)) for each in posed]
    return pl.DataFrame(told, schema=["question", "response", "answer"], orient="row")


@pytest.fixture(scope="module")
def teacher():
    with SimulatedTeacher(Responder(), Faults(), seed=0) as server:
        yield TeacherConfig(url=server.url, in_flight=16)


def test_a_right_answer_leads_back_and_a_wrong_one_seldom(teacher):
    right = backward.annotate(rows(0), backward.Config(teacher=teacher))
    wrong = backward.annotate(rows(1), backward.Config(teacher=teacher))
    back = right["backward.right"].sum() / right["backward.asked"].sum()
    astray = wrong["backward.right"].sum() / wrong["backward.asked"].sum()
    assert back > 0.7
    assert astray < 0.1
    for found in (right, wrong):
        whole = found.filter(pl.col("backward.asked") == pl.col("backward.right"), pl.col("backward.asked") > 0)
        assert whole["backward.why"].null_count() == whole.height
        missed = found.filter(pl.col("backward.asked") > pl.col("backward.right"))
        assert set(missed["backward.why"]) <= {"another_number", "unclosed"}


def test_what_cannot_be_asked_is_named(teacher):
    frame = pl.DataFrame(
        {
            "question": [BACKWARD, "What is pi?"],
            "response": ["3+5=8\nThe answer is 3", "The answer is pi"],
            "answer": ["3", "pi"],
        }
    )
    found = backward.annotate(frame, backward.Config(teacher=teacher))
    assert found["backward.why"].to_list() == ["backward_question", "no_number"]
    assert found["backward.asked"].to_list() == [0, 0]


def test_several_numbers_are_asked_for_up_to_what_there_is(teacher):
    frame = pl.DataFrame(
        {
            "question": ["Tom has 3 apples and gets 5 more. How many apples does Tom have now?"],
            "response": ["3+5=8\nThe answer is 8"],
            "answer": ["8"],
        }
    )
    found = backward.annotate(frame, backward.Config(teacher=teacher, masks=5))
    assert found.row(0) == (2, 2, None)


def test_the_log_answers_the_second_time(teacher, tmp_path):
    frame, log = rows(0), tmp_path / "log.sqlite"
    first = backward.annotate(frame, backward.Config(teacher=teacher, log=log))
    # A budget of nothing but known replies: each new call would be over it.
    poor = TeacherConfig(url=teacher.url, in_flight=16, price_in=1.0, price_out=1.0, budget=1e-9)
    again = backward.annotate(frame, backward.Config(teacher=poor, log=log))
    assert again.equals(first)


def test_without_masks_nothing_would_be_asked():
    with pytest.raises(ValueError, match="masks=0"):
        backward.Config(masks=0)
