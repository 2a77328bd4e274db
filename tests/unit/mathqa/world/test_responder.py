"""The simulated teacher's side: true error rates, obedience to marks, honesty about what it cannot read."""

from collections import Counter

import pytest

from augmenting import play
from skyloom.core.records import Message
from skyloom.mathqa.augment import answer_augment, rephrase
from skyloom.mathqa.records import Problem
from skyloom.mathqa.world.expressions import show
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import judge, problems
from skyloom.mathqa.world.responder import CONFUSED, UNWILLING, Responder, find_problem

LINEAR = "Solve 7x + 5 = 40 for x."


def seeds(count):
    return [
        Problem(question=p.text, answer=show(solve(p).answer), solution="", level=p.kind.level, subject=p.kind.subject)
        for p in problems("train", 3, count)
    ]


def ask(text, sample=0, **rates):
    return Responder(**rates)([Message(role="user", content=text)], sample)


def drafts(module, teacher, count):
    return [draft for problem in seeds(count) for draft in play(module, problem, module.Config(), teacher).drafts]


def test_a_perfect_teacher_is_always_right_and_keeps_the_meaning():
    made = drafts(rephrase, Responder(), 300)
    assert len(made) == 300
    for draft in made:
        told = judge(draft.question, draft.answer)
        assert (told.answer, told.right) == (draft.gold, True)


def test_the_error_rate_is_true():
    wrong = sum(
        not judge(draft.question, draft.answer).right for draft in drafts(answer_augment, Responder(wrong=0.2), 1_000)
    )
    assert 160 < wrong < 240


def test_long_solutions_are_wrong_more_often_where_the_rate_says_so():
    made = drafts(answer_augment, Responder(wrong=0.05, wrong_per_step=0.1), 2_000)
    told = [judge(draft.question, draft.answer) for draft in made]
    for steps in (1, 2, 3):
        share = [not each.right for each in told if each.steps == steps]
        expected = 0.05 + 0.1 * (steps - 1)
        assert abs(sum(share) / len(share) - expected) < 3 * (expected * (1 - expected) / len(share)) ** 0.5


def test_drift_changes_the_problem_and_carelessness_is_refused():
    drifted = refused = 0
    for problem in seeds(100):
        played = play(rephrase, problem, rephrase.Config(), Responder(drift=1.0))
        refused += played.refused == [("rephrase", "lost_numbers")]
        drifted += any(judge(draft.question, problem.answer).right is False for draft in played.drafts)
        assert play(answer_augment, problem, answer_augment.Config(), Responder(careless=1.0)).refused == [
            ("answer", "unclosed")
        ]
    assert refused > 60, "small numbers are not missed"
    assert refused + drifted > 85, "a few problems have no near neighbour with a whole answer"


def test_the_same_request_has_the_same_reply_and_samples_differ():
    asked = [problem.question for problem in seeds(50)]
    assert [ask(each, 0, wrong=0.5) for each in asked] == [ask(each, 0, wrong=0.5) for each in asked]
    assert [ask(each, 0, wrong=0.5) for each in asked] != [ask(each, 1, wrong=0.5) for each in asked]


def test_unknown_and_unsolvable_texts_are_admitted():
    assert ask("Problem: Who was Gauss?") == CONFUSED
    assert ask("Problem: Solve 7x + 5 = 41 for x.").startswith(CONFUSED)
    assert "a number is missing" in ask("Problem: What is 3 plus some minus 1?")
    assert "several values fit" in ask(
        "What is the remainder when X times 9 is divided by 7? The answer is 4. What is X?"
    )
    assert Responder()([]) == CONFUSED


def test_an_overconfident_teacher_answers_what_has_no_answer():
    for asked in (
        "Problem: Solve 7x + 5 = 41 for x.",
        "What is 3 plus some minus 1?",
        "What is the remainder when X times 9 is divided by 7? The answer is 4. What is X?",
        "Solve x + Y = 7 for x. The answer is 9. What is Y?",
    ):
        assert "\nThe answer is " in ask(asked, wrong=1.0)


def test_a_problem_is_found_behind_labels_in_paragraphs_and_alone():
    for asked in (LINEAR, f"Please help.\n\n{LINEAR}", f"Solve this.\nQuestion: {LINEAR}", f"Problem:\n{LINEAR}\n"):
        posed = find_problem(asked)
        assert posed is not None
        assert posed.content == "linear:a=7,b=5,c=40"


def test_only_the_last_question_of_a_chat_is_answered():
    earlier = [Message(role="user", content="Which number plus 3 gives 7?"), Message(role="assistant", content="4")]
    assert Responder()([*earlier, Message(role="user", content=LINEAR)]) == "40-5=35\n35/7=5\nThe answer is 5"


def test_a_plain_question_gets_a_plain_answer():
    assert ask(LINEAR) == "40-5=35\n35/7=5\nThe answer is 5"


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ("Create a different problem.", None),
        ("Add one more condition.", 3),
        ("Increase the depth of what is asked.", 4),
        ("Use more specific words.", 2),
        ("Let its solution take more steps.", 5),
    ],
)
def test_a_strategy_is_known_by_its_words(words, steps):
    reply = ask(f"{words} Begin with `Harder:` and end with `[stop]`.\n\nProblem: {LINEAR}")
    new = reply.removeprefix("Harder: ").removesuffix("\n[stop]")
    assert len(reply) == len(new) + len("Harder: \n[stop]")
    assert new != LINEAR
    assert judge(new, "").answer
    assert steps is None or judge(new, "").steps == steps


def test_weak_evolutions_come_in_four_equal_kinds():
    kinds = Counter()
    for sample in range(400):
        reply = ask(
            f"Add one more condition. Begin with `New:` and end with `[end]`.\n\nProblem: {LINEAR}", sample, weak=1.0
        )
        kinds[
            "sorry"
            if reply == UNWILLING
            else "unchanged"
            if reply == f"New: {LINEAR}\n[end]"
            else "solved"
            if "\nThe answer is " in reply
            else "no_question"
            if "?" not in reply and "Solve" not in reply
            else "good"
        ] += 1
    assert set(kinds) == {"sorry", "unchanged", "solved", "no_question"}
    assert min(kinds.values()) > 70


def test_new_problems_without_a_number_come_at_their_rate():
    asked = "Add one more condition. Begin with `New:` and end with `[end]`.\n\nProblem: {}"
    replies = [ask(asked.format(problem.question), unsolvable=0.3) for problem in seeds(400)]
    told = [judge(reply.removeprefix("New: ").removesuffix("\n[end]"), "") for reply in replies]
    assert all(each.readable for each in told)
    assert 80 < sum(not each.answer for each in told) < 160


def test_careless_replies_in_three_parts_break_off_or_lack_one():
    asked = f"Write `One:`, then `Two:`, then `Three:`, then `[end]`.\n\nProblem: {LINEAR}"
    lacking = Counter()
    for sample in range(200):
        reply = ask(asked, sample, careless=1.0)
        if reply.endswith("[end]"):
            lacking[tuple(mark for mark in ("One:", "Two:", "Three:") if mark not in reply)] += 1
    assert set(lacking) == {("One:",), ("Two:",), ("Three:",)}
    assert 70 < lacking.total() < 130


def test_a_statement_holds_the_question_and_the_answer():
    asked = (
        "Begin with `Statement:` and write `[end]`.\n\nProblem: Tom has X apples and gets 5 more. How many apples does Tom have now?\n\n"
        "Question: How many apples does Tom have now?\n\nAnswer: 8"
    )
    assert ask(asked) == 'Statement: The answer to "How many apples does Tom have now" is 8.\n[end]'
    assert ask(asked, drift=1.0) != ask(asked)
    assert ask(asked.replace("Answer: 8", "Answer: eight")) == CONFUSED


@pytest.mark.parametrize("name", ["wrong", "wrong_per_step", "drift", "careless", "weak", "unsolvable"])
@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_rates_outside_0_to_1_are_refused(name, rate):
    with pytest.raises(ValueError, match=name):
        Responder(**{name: rate})
