"""Where the answer is found in a solution; all texts are our own."""

import time

import pytest

from skyloom.mathqa.verify.extraction import Found, answer_of, find
from skyloom.mathqa.verify.grading import extract


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("We add.\nThe answer is 12", "12"),
        ("We add.\nThe answer is 12.", "12"),
        ("We add.\nThe answer is: 12\n", "12"),
        ("First the answer is 3. No, the answer is 4.", "4"),
        ("The answer is $\\frac{3}{4}$.", "$\\frac{3}{4}$"),
        ("The answer is 2.5. That is all.", "2.5"),
        ("**Answer:** 7", "7"),
        ("Thus the final answer is 8.", "8"),
        ("The answer is:\n$$\\frac{1}{2}$$", "$$\\frac{1}{2}$$"),
        ("The answer is $x=5$ because both sides then agree.", "x=5"),
        ("So \\boxed{3} at first, then \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("so \\fbox{17} it is", "17"),
        ("the roots are $\\boxed{1}$ and $\\boxed{-2}$.", "1, -2"),
        ("first \\boxed{3}. Then with the rest of it \\boxed{4}", "4"),
        ("so \\boxed 5 holds", "5"),
        ("so \\boxed{\\text{odd}} and \\boxed{unfinished", "\\text{odd}"),
        ("The answer is \\boxed{42}.", "42"),
        ("The answer is 5, so we write \\boxed{6}", "6"),
        ("I think the correct answer is C", "C"),
        ("Hence the correct option is B.", "B"),
        ("The answer is for sure C, the others are too large", "C"),
        ("The answer is 12 because both sides then agree", "12"),
        ("Final answer: the smallest $k$ is 12.", "12"),
        ("La réponse est 12.", "12"),
        ("所以一共有 3 + 9 个。答案是12个", "12"),
        (r"so $\boxed{3}$ pens and $\boxed{4}$ books", "3, 4"),
        (r"\boxed{3} \text{ in case (a) and } \boxed{4}", "3, 4"),
        (r"\(u = \boxed{3} \) and \( v_2 = \boxed{4} \)", "3, 4"),
        (r"\boxed{3} so and hence \boxed{4}", "4"),
        ("6 * 7 = 42\n#### 42", "42"),
        ("6 * 7 = 42\n#### 1,042 apples in all baskets", "1,042"),
        ("6 * 7 = 42\nA: 42", "42"),
        ("#### Step 2: add\nso we have 9 + 1 = 10\nThe answer is 10", "10"),
    ],
)
def test_marked_answers(solution: str, answer: str) -> None:
    found = find(solution, "marked")
    assert found is not None
    assert found.answer == answer
    assert extract(solution) == answer


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("She has 3 apples and then 12 more, so 15 in all.", "15"),
        ("It costs $1,234.50 in the end", "$1,234.50"),
        ("that is -7 degrees", "-7"),
        ("a share of 3/4 remains", "3/4"),
        ("it grew by 12.5% every single year", "12.5%"),
        ("hence the point that we look for is $(3, -4)$. Done", "(3, -4)"),
        ("it costs $3 and then $(4) more or so I would think", "4"),
        ("It is not A as that is too small, so I think it's B", "B"),
        ("盒子里有3个红球和9个白球所以一共有12个", "12"),
        ("Answer: let us think.\nThere are 3 boxes of 4.\nThis makes 12 of them", "12"),
    ],
)
def test_last_number_by_policy(solution: str, answer: str) -> None:
    assert find(solution, "marked") is None
    assert extract(solution) == answer


@pytest.mark.parametrize(
    "text", ["", "   ", "no number in here at all, none whatever", "\\boxed{", "\\boxed{}", "The answer is"]
)
def test_nothing_to_find(text: str) -> None:
    assert extract(text) is None


def test_bare_answers_stand_for_themselves() -> None:
    for text in ("5", " x + 1 ", "\\frac{1}{2}", "odd", "(1, 2)", "east of the river"):
        assert answer_of(text) == Found(text.strip(), "bare")
    for text, answer in (
        ("The solution is $x > 5$.", "x > 5"),
        ("She has 5 apples left.", "5"),
        ("$5$ dollars", "$5$ dollars"),
        ("D. it is the largest of them", "D"),
        ("42 because both sides then agree", "42"),
        ("First we add both\n42", "42"),
        ("how many $? about 3 or 4$", "4"),
    ):
        found = answer_of(text)
        assert found is not None
        assert found.answer == answer
    found = answer_of("after that long walk she had nothing but 3 coins left in her purse")
    assert found is not None
    assert found[:2] == ("3", "last_number")


def test_floods_of_marks_cost_little() -> None:
    start = time.process_time()
    for flood in (
        "\\boxed{" * 50_000,
        "The answer is " * 50_000,
        "A:\n\nx\n" * 50_000,
        "#### " * 50_000,
        "{" * 300_000,
    ):
        extract(flood)
    assert time.process_time() - start < 5
