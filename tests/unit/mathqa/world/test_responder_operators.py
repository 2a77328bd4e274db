"""Every augmenter's program with the simulated teacher: nothing wrong at rate 0, and the planted share wrong otherwise."""

from itertools import pairwise

import pytest
from scipy.stats import binom

from augmenting import play
from skyloom.core import registry
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources.world import judge_instance
from skyloom.mathqa.world.expressions import show
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import judge, problems
from skyloom.mathqa.world.responder import Responder

NAMES = sorted(registry.names("mathqa.augment"))
SEEDS = [
    Problem(
        question=posed.text,
        answer=show(solve(posed).answer),
        solution=solve(posed).text,
        level=posed.kind.level,
        subject=posed.kind.subject,
    )
    for posed in problems("train", 3, 300)
]
UNDETERMINED = {("answer", "unclosed"), ("start", "no_number"), ("start", "not_used"), ("start", "no_question")}
EXPECTED = {"fobar": UNDETERMINED, "self_verification": UNDETERMINED}
"""Several values of a masked number may fit, and then the teacher admits it; a problem may have no number to mask."""
LEAST = {"fobar": 0.85, "self_verification": 0.85}
"""Share of seeds that give a row."""


def made(name, seeds, teacher):
    module = registry.load("mathqa.augment", name)
    played = [play(module, problem, module.Config(), teacher) for problem in seeds]
    return [draft for each in played for draft in each.drafts], {reason for each in played for reason in each.refused}


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_teacher_makes_only_right_rows(name):
    drafts, refused = made(name, SEEDS, Responder())
    assert refused <= EXPECTED.get(name, set())
    assert len(drafts) >= LEAST.get(name, 1.0) * len(SEEDS)
    for draft in drafts:
        told = judge_instance(draft.question, draft.answer, draft.gold)
        assert told["answer"] == draft.answer, draft
        assert not told["unsound"], draft
        assert told["steps"] == draft.response.count("\n")


@pytest.mark.parametrize("name", NAMES)
def test_the_share_of_wrong_rows_is_the_planted_one(name):
    drafts, _ = made(name, SEEDS, Responder(wrong=0.3))
    told = [judge_instance(draft.question, draft.answer, draft.gold) for draft in drafts]
    answerable = [each for each in told if each["answer"]]
    low, high = binom.interval(0.99, len(answerable), 0.3)
    assert low <= sum(bool(each["wrong"]) for each in answerable) <= high
    assert all(each["unsound"] for each in told if not each["answer"])


@pytest.mark.parametrize("first", NAMES)
def test_rows_serve_as_seeds_again(first):
    drafts, _ = made(first, SEEDS[:12], Responder())
    again = [
        Problem(question=each.question, answer=each.answer, solution=each.response, level=None, subject="x")
        for each in drafts
    ]
    for name in NAMES:
        rows, _ = made(name, again, Responder())
        for draft in rows:
            assert not judge_instance(draft.question, draft.answer, draft.gold)["unsound"], draft


def test_evolution_makes_problems_longer_round_by_round():
    module = registry.load("mathqa.augment", "evol")
    weights = module.Weights(breadth=0, concretise=0)
    added = []
    for problem in SEEDS[:60]:
        rows = play(module, problem, module.Config(rounds=5, weights=weights), Responder()).drafts
        steps = [judge(text, "").steps for text in (problem.question, *(row.question for row in rows))]
        assert len(rows) == 5
        added += [after - before for before, after in pairwise(steps)]
    assert set(added) == {1, 2, 3}


@pytest.mark.parametrize("name", ["evol", "xwin"])
def test_the_eliminator_finds_every_weak_evolution(name):
    module = registry.load("mathqa.augment", name)
    played = [play(module, problem, module.Config(), Responder(weak=1.0)) for problem in SEEDS[:100]]
    assert not [draft for each in played for draft in each.drafts]
    assert {reason for each in played for _, reason in each.refused} == {
        "sorry",
        "same_as_parent",
        "solved",
        "no_question",
    }


def test_what_keeps_a_number_back_is_refused_or_unsound():
    module = registry.load("mathqa.augment", "evol")
    drafts = [
        draft
        for problem in SEEDS[:100]
        for draft in play(module, problem, module.Config(rounds=1), Responder(unsolvable=0.5, wrong=0.5)).drafts
    ]
    told = [judge_instance(draft.question, draft.answer, draft.gold) for draft in drafts]
    lacking = [each for each in told if not each["answer"]]
    assert len(lacking) > 10
    assert all(each["readable"] and each["wrong"] and not each["drifted"] for each in lacking)
