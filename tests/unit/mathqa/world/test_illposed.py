"""Questions that are no problems: each wording is read back as what it is, each kind is planted at its rate, and answers scatter."""

from collections import Counter

import pytest

from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.mathqa.records import MARK
from skyloom.mathqa.sources.world import judge_instance
from skyloom.mathqa.world.backward import read_backward
from skyloom.mathqa.world.grammar import draw, grammar, read, read_illposed, reword
from skyloom.mathqa.world.illposed import RATES, planted, pretended, sayings
from skyloom.mathqa.world.problems import judge, problems
from skyloom.mathqa.world.responder import CONFUSED, Responder
from skyloom.mathqa.world.understanding import invalid, understand

KINDS = grammar().illposed
NEW = "Add one more condition. Begin with `New:` and end with `[end]`.\n\nProblem: {}"


def ask(text, sample=0, **rates):
    return Responder(**rates)([Message(role="user", content=text)], sample)


def test_each_reason_has_kinds_wordings_and_sayings():
    assert {kind.invalid for kind in KINDS} == set(RATES.values()) == set(sayings())
    assert min(len(kind.forms) for kind in KINDS) >= 2
    assert min(len(kind.answers) for kind in KINDS) >= 2
    assert min(Counter(kind.invalid for kind in KINDS).values()) >= 5


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_wording_is_read_back_and_has_no_answer(kind):
    rng = stream(0, "test", kind.name)
    for _ in range(20):
        posed = draw(kind, rng)
        for form in range(len(kind.forms)):
            text = reword(posed, form, 3).text
            assert read(text) is None, text
            assert read_backward(text) is None, text
            again = read_illposed(text)
            assert again is not None, text
            assert again.content == posed.content
            assert judge(text, "3") == ("", False, 0, True, kind.invalid)


def test_the_same_words_with_fair_numbers_are_not_called_ill_posed():
    fair = "If x + 3 = 7 and x + 13 = 17, what is x?"
    assert read_illposed(fair) is None
    assert judge(fair, "4").readable is False
    assert judge("If x + 3 = 7 and x + 13 = 18, what is x?", "4").invalid == "contradiction"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Solve x + 3 = 7 for x.", ""),
        ("Solve x + some = 7 for x.", "missing_condition"),
        ("Tom has 3 apples and loses 5 of them. How many apples are left?", "unsolvable"),
        ("What is the remainder when X times 9 is divided by 7? The answer is 4. What is X?", "several_answers"),
        ("Solve x + Y = 7 for x. The answer is 9. What is Y?", "contradiction"),
        ("Solve x^2 = 49 for x, if in the end the result is doubled.", "several_answers"),
    ],
)
def test_the_reason_is_told_of_any_text_of_the_grammar(text, reason):
    found = understand(text)
    assert found is not None
    assert invalid(found) == judge_instance(text, "", None)["invalid"] == reason


@pytest.mark.parametrize("reason", sorted(RATES.values()))
def test_what_is_planted_keeps_the_further_steps(reason):
    text = "Solve 7x + 5 = 40 for x, if in the end the result is doubled."
    posed = read(text)
    assert posed is not None
    for draw_number in range(20):
        told = planted(posed, reason, stream(draw_number, "test"))
        assert told.endswith(", if in the end the result is doubled" + told[-1])
        assert judge(told, "").invalid == reason


def test_new_problems_come_ill_posed_at_the_four_rates():
    rates = {"missing": 0.1, "several": 0.2, "contradictory": 0.15, "impossible": 0.05}
    counted = Counter()
    for posed in problems("train", 5, 600):
        new = ask(NEW.format(posed.text), **rates).removeprefix("New: ").removesuffix("\n[end]")
        counted[judge(new, "").invalid] += 1
    for name, rate in rates.items():
        assert abs(counted[RATES[name]] - 600 * rate) < 4 * (600 * rate * (1 - rate)) ** 0.5, counted


def test_new_problems_are_the_same_where_nothing_is_planted():
    text = NEW.format("Solve 7x + 5 = 40 for x.")
    assert ask(text) == ask(text, bluff=1.0)
    shares = [
        ask(NEW.format(each.text), several=0.3) == ask(NEW.format(each.text)) for each in problems("train", 5, 200)
    ]
    assert 100 < sum(shares) < 180


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_teacher_that_bluffs_scatters_and_sometimes_says_why(kind):
    text = draw(kind, stream(1, kind.name)).text
    assert ask(text).startswith(CONFUSED)
    replies = [ask(text, sample, bluff=1.0) for sample in range(200)]
    lines = sayings()[kind.invalid].lines
    noticed = [reply for reply in replies if reply.startswith(lines)]
    assert 25 < len(noticed) < 80
    told = Counter(reply.rpartition(MARK)[2] for reply in replies if reply not in noticed)
    assert len(told) == len({str(answer_of(text, k)) for k in range(len(kind.answers))})
    assert max(told.values()) < 0.75 * sum(told.values())
    words = [reply for reply in noticed if reply.rpartition(MARK)[2] in sayings()[kind.invalid].answers]
    assert 5 < len(words) < len(noticed)


def answer_of(text, pick):
    from skyloom.mathqa.world.grammar import solve

    posed = read_illposed(text)
    assert posed is not None
    return solve(pretended(posed, pick)).answer


def test_a_teacher_asked_for_a_missing_number_scatters():
    told = {ask("Solve x + some = 27 for x.", sample, bluff=1.0).rpartition(MARK)[2] for sample in range(8)}
    assert len(told) > 3


def test_rates_that_come_to_more_than_all_are_refused():
    with pytest.raises(ValueError, match="at most 1"):
        Responder(several=0.6, impossible=0.6)


@pytest.mark.parametrize("name", [*RATES, "bluff"])
@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_rates_outside_0_to_1_are_refused(name, rate):
    with pytest.raises(ValueError, match=name):
        Responder(**{name: rate})
