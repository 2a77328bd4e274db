"""Xwin: three parts in order, the last one is the question; what the check gives up is refused."""

import pytest

from augmenting import play, recited
from skyloom.mathqa.augment import xwin
from skyloom.mathqa.augment.xwin import Config
from skyloom.mathqa.elimination import Limits
from skyloom.mathqa.operators import Refused
from skyloom.mathqa.records import Problem

SEED = Problem(question="Solve x + 3 = 7 for x.", answer="4", solution="7-3=4\nThe answer is 4", level=1, subject="A")
NEW = "A rope of 12 metres is cut into 4 equal parts. How long is each part?"
PARTS = ("Draft problem: A rope is cut.", "Check: 12/4=3. Give its length. The answer is 3.", f"Final problem: {NEW}")
SOLVED = "12/4=3\nThe answer is 3\n[end]"


def test_the_final_problem_is_answered_without_draft_and_check():
    played = play(xwin, SEED, Config(), recited(["\n".join((*PARTS, "[end]")), SOLVED]))
    assert [(draft.question, draft.answer, draft.gold) for draft in played.drafts] == [(NEW, "3", None)]
    assert played.asked[1].slots == {"question": NEW}
    assert not played.refused


def test_each_answer_is_a_row():
    replies = ["\n".join((*PARTS, "[end]")), SOLVED, "cut", SOLVED.replace("3", "4")]
    played = play(xwin, SEED, Config(answers=3), recited(replies))
    assert [draft.answer for draft in played.drafts] == ["3", "4"]
    assert {draft.question for draft in played.drafts} == {NEW}
    assert played.refused == [("answer", "unclosed")]
    assert [each.draw for each in played.asked[1:]] == [0, 1, 2]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ((1, 0, 2), "no_check"),
        ((0, 2, 1), "no_final"),
        ((2, 1, 0), "no_check"),
        ((1, 2), "no_draft"),
        ((0,), "no_check"),
    ],
)
def test_parts_out_of_order_are_missing(order, reason):
    reply = "\n".join((*(PARTS[k] for k in order), "[end]"))
    played = play(xwin, SEED, Config(), recited([reply]))
    assert played.refused == [("xwin", reason)]
    assert not played.drafts


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("So the draft is impossible.", "impossible"),
        ("Sides 1, 2 and 9: such a triangle cannot be solved.", "impossible"),
        ("The draft is impossible as it stands.\nChange 9 to 2, then it passes.", None),
        ("It is not impossible.", None),
    ],
)
def test_only_a_check_that_ends_in_impossible_is_refused(check, reason):
    reply = "\n".join((PARTS[0], f"Check: {check}", PARTS[2], "[end]"))
    if reason is None:
        assert xwin.create().parse(reply, {"question": SEED.question})["final"] == NEW
    else:
        with pytest.raises(Refused, match=reason):
            xwin.create().parse(reply, {"question": SEED.question})


def test_limits_reach_the_eliminator():
    config = Config(limits=Limits(growth=1.0, slack=0))
    played = play(xwin, SEED, config, recited(["\n".join((*PARTS, "[end]"))]))
    assert played.refused == [("xwin", "too_long")]
    assert xwin.create(Limits()) is xwin.CALLS[0]
    with pytest.raises(ValueError, match="answers"):
        Config(answers=0)
