"""The simulated teacher's side: true error rates, obedience to marks, honesty about what it cannot read."""

import pytest

from skyloom.core.records import Message
from skyloom.mathqa.augment import answer_augment, rephrase
from skyloom.mathqa.operators import Refused
from skyloom.mathqa.records import Problem
from skyloom.mathqa.world.expressions import show
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import judge, problems
from skyloom.mathqa.world.responder import CONFUSED, Responder, find_problem


def seeds(count):
    return [
        Problem(question=p.text, answer=show(solve(p).answer), solution="", level=p.kind.level, subject=p.kind.subject)
        for p in problems("train", 3, count)
    ]


def test_a_perfect_teacher_is_always_right_and_keeps_the_meaning():
    teacher = Responder()
    for problem in seeds(300):
        slots = rephrase.read_rewording(teacher(rephrase.ask_rewording(problem, {})), problem, {})
        slots = {**slots, **rephrase.read_answer(teacher(rephrase.ask_answer(problem, slots)), problem, slots)}
        assert judge(slots["question"], slots["answer"]) == (problem.answer, True)


def test_the_error_rate_is_true():
    teacher = Responder(wrong=0.2)
    wrong = 0
    for problem in seeds(1_000):
        slots = answer_augment.parse(teacher(answer_augment.prompt(problem, {})), problem, {})
        wrong += not judge(problem.question, slots["answer"]).right
    assert 160 < wrong < 240


def test_drift_changes_the_problem_and_carelessness_is_refused():
    drifting, careless = Responder(drift=1.0), Responder(careless=1.0)
    drifted = 0
    for problem in seeds(100):
        slots = rephrase.read_rewording(drifting(rephrase.ask_rewording(problem, {})), problem, {})
        drifted += judge(slots["question"], problem.answer).right is False
        with pytest.raises(Refused):
            answer_augment.parse(careless(answer_augment.prompt(problem, {})), problem, {})
    assert drifted > 85, "a few problems have no near neighbour with a whole answer"


def test_the_same_request_has_the_same_reply_and_samples_differ():
    teacher = Responder(wrong=0.5)
    asked = [answer_augment.prompt(problem, {}) for problem in seeds(50)]
    assert [teacher(each, 0) for each in asked] == [teacher(each, 0) for each in asked]
    assert [teacher(each, 0) for each in asked] != [teacher(each, 1) for each in asked]


def test_unknown_and_unsolvable_texts_are_admitted():
    teacher = Responder()
    assert teacher([Message(role="user", content="Problem: Who was Gauss?")]) == CONFUSED
    assert teacher([Message(role="user", content="Problem: Solve 7x + 5 = 41 for x.")]).startswith(CONFUSED)
    assert teacher([]) == CONFUSED


def test_a_problem_is_found_behind_labels_in_paragraphs_and_alone():
    text = "Solve 7x + 5 = 40 for x."
    for asked in (text, f"Please help.\n\n{text}", f"Solve this.\nQuestion: {text}", f"Problem:\n{text}\n"):
        posed = find_problem(asked)
        assert posed is not None
        assert posed.content == "linear:a=7,b=5,c=40"


def test_a_plain_question_gets_a_plain_answer():
    assert Responder()([Message(role="user", content="Solve 7x + 5 = 40 for x.")]) == "40-5=35\n35/7=5\nThe answer is 5"


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_rates_outside_0_to_1_are_refused(rate):
    with pytest.raises(ValueError, match="wrong"):
        Responder(wrong=rate)
