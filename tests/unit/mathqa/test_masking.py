"""Which numbers of a question can become the unknown, what they are worth, and what the masked question looks like."""

import pytest

from skyloom.mathqa.masking import asking, choose, in_text, mask, numbers, states, uses
from skyloom.mathqa.operators import Refused
from skyloom.mathqa.records import Problem


def values(question, **settings):
    return [number.value for number in numbers(question, **settings)]


def masked(question, value, **settings):
    return mask(question, next(each for each in numbers(question, **settings) if each.value == value)).text


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Tom has 5 nuts and 12.50 dollars.", ["5", "12.50"]),
        ("It weighs .5 kg or 1,250,000 g.", ["0.5", "1250000"]),
        (r"He owes $\$60,\!000$ and $60{,}500$.", ["60000", "60500"]),
        ("A coat of $20 is 15% off.", ["20", "15"]),
        (r"Take $15\%$ of $\frac{1}{3}$.", ["15", "1/3"]),
        (r"Add $\dfrac34$, $\tfrac 5{12}$ and $3\frac{1}{2}$.", ["3/4", "5/12", "7/2"]),
        ("Eat 1/3 of a pie and 2 1/2 cakes.", ["1/3", "5/2"]),
        (r"What is $\frac{x+3}{4}$?", ["3", "4"]),
        (r"Simplify $\sqrt{12} + 3\pi - \sqrt2$.", ["12", "3", "2"]),
        (r"Light moves at $3 \times 10^{8}$ m/s, sound at $10^{-3}$.", ["300000000", "1/1000"]),
        (r"Find $2^{10}$ and $7^n$.", ["2", "7"]),
        (r"How large is $\binom53$ or $\dbinom{26}{13}$?", ["5", "3", "26", "13"]),
        ("It was -3 degrees, now it is 4.", ["-3", "4"]),
        (r"Let $A = (-3, 4)$ and $y = x-5$.", ["-3", "4", "5"]),
        (r"Find $\begin{pmatrix} 2 \\ -7 \end{pmatrix}$.", ["2", "-7"]),
        ("Two hundred and five men, twenty-five boys and a thousand mice.", ["205", "25", "1000"]),
        ("He eats two thirds, then three-quarters of it; three quarters remain in his purse.", ["2/3", "3/4", "3"]),
        ("The ratio is 2:3.", ["2", "3"]),
        ("Solve 3x + 4 = 19 for x.", ["3", "4", "19"]),
        ("A 6-sided die and a 90-element set; ropes of 5cm and 7 m.", ["6", "90", "5", "7"]),
        (r"The line $x \ge -2$ at $45^\circ$.", ["-2", "45"]),
        ("There are 3 million people.", ["3"]),
        (r"Take $\gcd(121,330)$ in $\{1,100\}$.", ["121", "330", "1", "100"]),
        ("What is 5!?", ["5"]),
    ],
)
def test_numbers_are_found_with_their_values(question, found):
    assert values(question) == found


@pytest.mark.parametrize(
    "question",
    [
        "The third of them, one of many, no one, half of it, twice a dozen, the hundreds digit.",
        "The 5th, 21st and 2nd place, the $100$th term, the $12^{\\text{th}}$ row, the $7^\\mathrm{th}$, the twenty-fifth.",
        "In problem 2 and Figure 3, see Table 4; in week 1; on page 7; on day 12.",
        "(1) He runs. (2) She walks.",
        "1. He runs.\n2. She walks.",
        "On June 5 and 7 March, in 1999, on 3/14/2015 and 2015-03-14, at 7:30, at 8 p.m. and 9 am.",
        "Let $x_1 + x_{10} = a_{n+2}$, base $218_9$, $\\log_2 n$.",
        r"Let $\begin{array}{r@{\hspace{2pt}}l} a & b \end{array}$ and $\hspace{3cm} x \\[5pt] y$.",
        'See [asy]draw((0,0)--(3,4)); label("7", (1,2));[/asy] for it.',
        "Apartment B12 in 3D, #5, a 3x4 sheet.",
        "Sum $1, 2, 3, \\ldots$ or 1 + 2 + ...",
        r"Find $0.\overline{36}$ and $\sqrt[3]{x}$.",
        "Find $x^2 + x^{12} + f^{-1}(x)$.",
    ],
)
def test_what_is_no_quantity_is_left_alone(question):
    assert values(question) == []


def test_exponents_are_a_setting():
    assert values("Find $x^2 + x^{12} + f^{-1}(y)$.", exponents=True) == ["2", "12"]
    assert masked("Find $x^2 + y^{12}$.", "2", exponents=True) == "Find $x^Z + y^{12}$."


@pytest.mark.parametrize(
    ("question", "value", "told"),
    [
        ("He has 5 nuts, eats five and gets 15 or 5.5.", "5", "He has X nuts, eats X and gets 15 or 5.5."),
        (r"A coat is $\$20$, a hat $20%$ less.", "20", r"A coat is $\$X$, a hat $X%$ less."),
        (r"Find $\frac{1}{3}$ of $\sqrt2$.", "1/3", r"Find $X$ of $\sqrt2$."),
        (r"Find $\sqrt2\cdot3$.", "2", r"Find $\sqrt{X}\cdot3$."),
        (r"Find $\sqrt2\cdot3$.", "3", r"Find $\sqrt2\cdot{X}$."),
        ("Solve 3x + 4 = 19 for x.", "3", "Solve Y x + 4 = 19 for x."),
        ("A rope of 5cm.", "5", "A rope of X cm."),
        (r"Find $\binom53$.", "3", r"Find $\binom5X$."),
        (r"Find $\frac5x$.", "5", r"Find $\frac{Y}x$."),
        ("It was -3, then 3 more.", "3", "It was -X, then X more."),
        ("It was -3 and again -3.", "-3", "It was X and again X."),
        ("X, y and the axis cost 2 dollars.", "2", "X, y and the axis cost Z dollars."),
        ("Half of 1,000 is less than 1000.", "1000", "Half of X is less than X."),
    ],
)
def test_every_copy_is_masked_with_a_letter_that_is_free(question, value, told):
    assert masked(question, value) == told


def test_a_number_that_refers_back_is_masked_but_does_not_begin():
    assert values("Add the two sums.") == []
    assert masked("Two sums are made. Add the two.", "2") == "X sums are made. Add the X."


def test_a_number_that_the_drawing_tells_cannot_be_hidden():
    assert values("A side is 3, another 8. [asy]draw((0,0)--(3,4));[/asy]") == ["8"]


def problem(question, answer="4", solution=""):
    return Problem(question=question, answer=answer, solution=solution, level=None, subject="")


def test_samples_mask_different_numbers_until_none_is_left():
    seed = problem("Add 5, 6, 7, 8 and 9.", "35")
    first = [choose(seed, k, exponents=False, used=True).value for k in range(5)]
    assert sorted(first) == ["5", "6", "7", "8", "9"]
    assert first == [choose(seed, k, exponents=False, used=True).value for k in range(5)]
    with pytest.raises(Refused, match="no_number"):
        choose(seed, 5, exponents=False, used=True)
    orders = {
        choose(problem(f"Add 5, 6, 7, 8 and 9, {word}.", "35"), 0, exponents=False, used=True).value
        for word in "abcdefgh"
    }
    assert len(orders) > 1, "the first number is not always the one"


def test_numbers_that_the_solution_does_not_use_are_left_out():
    seed = problem(
        "At 40 years Tom buys 3 nuts at 20% off 5 dollars.", "12", "5 - 1 = 0.8*5 = 4\n3*4 = 12\nThe answer is 12"
    )
    assert sorted(choose(seed, k, exponents=False, used=True).value for k in range(3)) == ["20", "3", "5"]
    with pytest.raises(Refused, match="not_used"):
        choose(seed, 3, exponents=False, used=True)
    assert len({choose(seed, k, exponents=False, used=False).value for k in range(4)}) == 4


def test_the_answer_is_never_the_unknown():
    with pytest.raises(Refused, match="no_number"):
        choose(problem("Is it 4?"), 0, exponents=False, used=True)
    with pytest.raises(Refused, match="no_number"):
        choose(problem("Which is farther, $(4,5)$ or $(-5,4)$?", "(4,5)"), 0, exponents=False, used=True)


def test_a_question_that_uses_every_letter_is_refused():
    with pytest.raises(Refused, match="no_letter"):
        mask("$abcdefghijklmnopqrstuvwxyz$ 5", numbers("$n$ 5")[0])


@pytest.mark.parametrize(
    ("text", "facts", "question"),
    [
        ("Tom has 3 nuts. How many are left?", "Tom has 3 nuts.", "How many are left?"),
        ("If x + 3 = 7, what is x?", "If x + 3 = 7,", "what is x?"),
        ("What is 2 plus 2?", "", "What is 2 plus 2?"),
        (r"Let \[f(x)=2.\]Find $f(1).$ Express your answer as a common fraction.", r"Let \[f(x)=2.\]", "Find $f(1).$"),
        (
            "A die is rolled. What are the odds? Note that 6 is even.",
            "A die is rolled. Note that 6 is even.",
            "What are the odds?",
        ),
        ("Express $0.5$ as a common fraction.", "", "Express $0.5$ as a common fraction."),
        (
            "Mr. Fox ran 3.5 miles. By how many miles is that short of 7?",
            "Mr. Fox ran 3.5 miles.",
            "By how many miles is that short of 7?",
        ),
        ("Nuts are cheap. Is 7 prime?", "Nuts are cheap.", "Is 7 prime?"),
    ],
)
def test_the_question_is_parted_from_the_facts(text, facts, question):
    assert asking(text) == (facts, question)


def test_a_text_that_asks_nothing_has_no_question():
    assert asking("Tom has 3 nuts.") is None


def test_answers_in_sentences():
    assert in_text("4") == "4"
    assert in_text(r"\frac{1}{2}.") == r"$\frac{1}{2}$"
    assert states("He has four nuts.", "4")
    assert states("It is $.5$.", r"\frac{1}{2}")
    assert states(r"It is $(2, 3)$.", "(2,3)")
    assert not states("He has 14 nuts.", "4")
    assert uses("3 + Y x", "Y")
    assert uses("3 + Yx", "Y")
    assert not uses("Yes, \\Y", "Y")
