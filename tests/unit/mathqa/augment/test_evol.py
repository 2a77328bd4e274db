"""Evol: rounds build on one another, a failed one leaves its parent in place, and nothing is asked twice."""

from dataclasses import replace

import pytest

from augmenting import play, recited
from skyloom.core.config import override
from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.mathqa.augment import evol
from skyloom.mathqa.augment.evol import STRATEGIES, Config, Weights, drawn
from skyloom.mathqa.elimination import Limits
from skyloom.mathqa.operators import messages
from skyloom.mathqa.records import Problem

SEED = Problem(question="Solve x + 3 = 7 for x.", answer="4", solution="7-3=4\nThe answer is 4", level=1, subject="A")
FURTHER = (" Then double the result.", " After that take 5 away.", " Now divide it by the larger number.")
SOLVED = "2*4=8\nThe answer is 8\n[end]"
AGAIN = "4+4=8\nThe answer is 9\n[end]"


def told(rounds):
    question = "First solve x + 3 = 7 for x." + "".join(FURTHER[:rounds])
    return question, f"New problem: {question}\n[end]"


def alone(strategy):
    return Weights(**{name: float(name == strategy) for name in STRATEGIES})


def test_every_round_evolves_the_question_before_it():
    replies = [each for k in (1, 2, 3) for each in (told(k)[1], SOLVED)]
    played = play(evol, SEED, Config(rounds=3), recited(replies))
    assert [draft.question for draft in played.drafts] == [told(k)[0] for k in (1, 2, 3)]
    assert [(draft.round, draft.parent, draft.gold) for draft in played.drafts] == [
        (1, None, None),
        (2, 0, None),
        (3, 1, None),
    ]
    asked = [each.slots["question"] for each in played.asked]
    assert asked == [SEED.question, told(1)[0], told(1)[0], told(2)[0], told(2)[0], told(3)[0]]
    assert [draft.strategy for draft in played.drafts] == [each.call.name for each in played.asked[::2]]
    assert not played.refused


def test_a_failed_round_leaves_the_parent_and_tries_another_strategy():
    replies = [told(1)[1], SOLVED, told(1)[1], "I'm sorry, I can't.", "New problem: hm", told(2)[1], SOLVED]
    played = play(evol, SEED, Config(rounds=5), recited(replies))
    assert [reason for _, reason in played.refused] == ["same_as_parent", "sorry", "unclosed"]
    assert [(draft.question, draft.round, draft.parent) for draft in played.drafts] == [
        (told(1)[0], 1, None),
        (told(2)[0], 5, 0),
    ]
    again = [each for each in played.asked if each.call.name != "answer" and each.slots["question"] == told(1)[0]]
    assert len({each.call.name for each in again}) == len(again) == 4


def test_a_question_without_an_answer_is_a_failed_round():
    played = play(evol, SEED, Config(rounds=2), recited([told(1)[1], "No idea.\n[end]", told(2)[1], SOLVED]))
    assert played.refused == [("answer", "no_answer")]
    assert [(draft.question, draft.round, draft.parent) for draft in played.drafts] == [(told(2)[0], 2, None)]
    assert played.asked[2].slots["question"] == SEED.question


def test_one_strategy_alone_is_asked_for_other_replies():
    played = play(evol, SEED, Config(rounds=3, weights=alone("deepen")), recited(["no", "no", "no"]))
    assert [(each.call.name, each.draw) for each in played.asked] == [("deepen", 0), ("deepen", 1), ("deepen", 2)]
    assert played.refused == [("deepen", "unclosed")] * 3
    assert not played.drafts


def test_a_new_question_is_untried():
    replies = [each for k in (1, 2) for each in (told(k)[1], SOLVED)]
    played = play(evol, SEED, Config(rounds=2, weights=alone("deepen")), recited(replies))
    assert [(each.call.name, each.draw) for each in played.asked] == [("deepen", 0), ("answer", 0)] * 2


def test_several_answers_are_rows_of_one_question():
    replies = [told(1)[1], SOLVED, "cut", AGAIN, told(2)[1], "cut", AGAIN, SOLVED]
    played = play(evol, SEED, Config(rounds=2, answers=3), recited(replies))
    assert [(draft.answer, draft.round, draft.parent) for draft in played.drafts] == [
        ("8", 1, None),
        ("9", 1, None),
        ("9", 2, 0),
        ("8", 2, 0),
    ]
    assert len({draft.meaning or draft.question for draft in played.drafts}) == 2
    assert [each.draw for each in played.asked if each.call.name == "answer"] == [0, 1, 2] * 2


def test_no_request_of_a_job_is_made_twice():
    replies = ["no", told(1)[1], SOLVED, AGAIN, "no", "no", told(2)[1], SOLVED, AGAIN]
    played = play(evol, SEED, Config(rounds=5, answers=2), recited(replies))
    assert len(played.asked) == len({(each.messages, each.draw) for each in played.asked}) == len(replies)


def test_strategies_come_by_weight_and_never_at_weight_0():
    weights = Weights(breadth=0, constrain=3, deepen=1, concretise=0, reasoning=0)
    draws = stream(0, "test")
    many = [drawn(weights, {}, draws) for _ in range(4_000)]
    assert set(many) == {"constrain", "deepen"}
    assert abs(many.count("deepen") - 1_000) < 4 * (4_000 * 0.25 * 0.75) ** 0.5
    assert {drawn(weights, {"constrain": 1}, draws) for _ in range(50)} == {"deepen"}


def test_the_draws_are_the_jobs_own():
    names = [
        [each.call.name for each in play(evol, SEED, Config(rounds=5), lambda *_: "no", sample=s).asked]
        for s in (0, 0, 1, 2)
    ]
    assert names[0] == names[1]
    assert len({tuple(each) for each in names}) > 1
    assert sorted(names[0]) == sorted(STRATEGIES)


def test_limits_reach_the_eliminator():
    lax = Config(rounds=1, weights=alone("constrain"), limits=Limits(growth=1.0, slack=0))
    played = play(evol, SEED, lax, recited([told(1)[1]]))
    assert played.refused == [("constrain", "too_long")]
    assert evol.evolve("constrain", Limits()) is evol.CALLS[1]


def test_each_strategy_names_its_own_task_alone():
    texts = [messages(evol.TEMPLATE, strategy, {"question": "Q"})[-1].content for strategy in STRATEGIES]
    assert len(set(texts)) == len(STRATEGIES)
    for text in texts:
        assert text.endswith("\n\nProblem: Q")
        assert text.count("`New problem:`") == text.count("`[end]`") == 1


@pytest.mark.parametrize(
    ("field", "changed"),
    [("rounds", {"rounds": 0}), ("rounds", {"rounds": 6}), ("answers", {"answers": 0}), ("samples", {"samples": 0})],
)
def test_settings_out_of_range_are_refused(field, changed):
    with pytest.raises(ValueError, match=field):
        replace(Config(), **changed)


def test_weights_and_limits_are_settings():
    changed = override(Config(), ["weights.breadth=0", "limits.gain=5"])
    assert (changed.weights.breadth, changed.limits.gain) == (0, 5)
    with pytest.raises(BadInput, match="deepen=-1"):
        override(Config(), ["weights.deepen=-1"])
    with pytest.raises(BadInput, match="at least one weight"):
        override(Config(), [f"weights.{name}=0" for name in STRATEGIES])
    with pytest.raises(BadInput, match="growth"):
        override(Config(), ["limits.growth=0.5"])
