"""New problems: each can be read and solved, and is harder by as many lines of working as it should be."""

from skyloom.core.rng import stream
from skyloom.mathqa.world import evolving
from skyloom.mathqa.world.backward import read_backward
from skyloom.mathqa.world.grammar import read, solve
from skyloom.mathqa.world.problems import judge, problems

POSED = list(problems("train", 9, 150))


def lines(posed):
    return len(solve(posed).lines)


def test_deeper_adds_the_lines_it_says_up_to_five_rounds():
    for number, posed in enumerate(POSED):
        for round_ in range(5):
            strategy = ("constrain", "deepen", "reasoning")[(number + round_) % 3]
            new = evolving.deeper(posed, evolving.EXTRA[strategy], stream(number, strategy, round_))
            assert lines(new) == lines(posed) + sum(evolving.EXTRA[strategy])
            assert read(new.text).content == new.content
            assert judge(new.text, "").steps == lines(new)
            assert new.text != posed.text
            posed = new


def test_another_problem_is_of_another_kind_and_a_similar_one_of_the_same():
    for number, posed in enumerate(POSED):
        parent = evolving.deeper(posed, (1, 2), stream(number, "deeper"))
        other = evolving.another(parent, stream(number, "another"))
        like = evolving.similar(parent, stream(number, "similar"))
        assert other.kind.level == like.kind.level == parent.kind.level
        assert other.kind.name != parent.kind.name == like.kind.name
        assert like.form != parent.form
        for new in (other, like):
            assert [len(step.kind.steps) for step in new.then] == [1, 2]
            assert new.content != parent.content
            assert judge(new.text, "").answer


def test_a_specific_problem_stays_the_same_problem():
    for number, posed in enumerate(POSED):
        new = evolving.specific(evolving.specific(posed, stream(number, "a")), stream(number, "b"))
        assert new.content == posed.content
        assert read(new.text).text == new.text
        assert solve(read(new.text)) == solve(posed)
        assert len(new.text) > len(posed.text) + 20


def test_a_hollow_problem_is_seen_to_have_no_answer():
    made = [evolving.hollow(posed, stream(number, "hollow")) for number, posed in enumerate(POSED)]
    hollow = [text for text in made if text is not None]
    assert len(hollow) > 100, "only formulas without a number that stands by itself have none"
    for text in hollow:
        assert "some" in text
        assert judge(text, "3") == ("", False, 0, True, "missing_condition")


def test_a_deeper_backward_question_keeps_its_unknown():
    found = read_backward("Tom has X apples and gets 5 more. How many apples does Tom have now? It is 8. What is X?")
    assert found is not None
    for number in range(20):
        new = evolving.deeper_backward(found, (1, 2), stream(number, "backward"))
        assert read_backward(new.text) is not None
        assert judge(new.text, "3") == ("3", True, 5, True, "")


def test_the_same_draws_make_the_same_problem():
    for posed in POSED[:20]:
        assert evolving.another(posed, stream(1, "x")).text == evolving.another(posed, stream(1, "x")).text
