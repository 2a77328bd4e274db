"""The eliminator: a question with a further condition stays, its parent in another dress goes, and every text gets a verdict."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core import registry
from skyloom.core.rng import stream
from skyloom.mathqa.augment import evol, xwin
from skyloom.mathqa.elimination import DEFAULT, Limits, fault, questions
from skyloom.mathqa.kinds import unbalanced
from skyloom.mathqa.operators import messages
from skyloom.mathqa.world.grammar import draw, grammar

KINDS = list(grammar().kinds.values())
WORDS = "later half remain broken each week red box shop costs twice before"
PROMPTS = [messages(evol.TEMPLATE, each, {})[-1].content for each in evol.STRATEGIES]
PROMPTS.append(messages(xwin.TEMPLATE, "xwin", {})[-1].content)
WORLD = st.builds(
    lambda kind, seed: draw(KINDS[kind], stream(seed, "property")).text,
    st.integers(0, len(KINDS) - 1),
    st.integers(0, 2**32),
)
CONDITION = st.one_of(
    st.sampled_from(
        [
            "Then {name} gives {k} of them to {name}.",
            "A tax of {k} percent is added to every price.",
            "On each of the {k} days after that the result doubles.",
            "Only the even ones count.",
            "Every third one is broken and thrown away.",
            "At the start {name} had twice as many as {name}.",
            "Here $y = \\frac{1}{{k}}$ and $\\{y\\} < x$.",
        ]
    ),
    st.lists(
        st.sampled_from(WORDS.split()),
        min_size=3,
        max_size=20,
    ).map(lambda words: " ".join(words).capitalize() + "."),
)
BLANK = st.text(" \t\n", min_size=1, max_size=3)


@given(WORLD, CONDITION, st.sampled_from(["Ida", "Omar"]), st.integers(2, 99), st.booleans(), st.sampled_from(PROMPTS))
def test_a_further_condition_is_never_refused(parent, condition, name, k, last, prompt):
    added = condition.replace("{name}", name).replace("{k}", str(k))
    sentences = re.split(r"(?<=[.?]) ", parent)
    place = len(sentences) if last else len(sentences) - 1
    new = " ".join([*sentences[:place], added, *sentences[place:]])
    assert fault(new, parent, prompt) is None, new


@given(WORLD, st.data())
def test_the_parent_in_another_dress_is_always_refused(parent, data):
    parts = []
    for word in parent.split():
        word = data.draw(
            st.sampled_from([word, word.upper(), word.lower(), word.rstrip(".,?"), word + ".", f'"{word}"'])
        )
        parts += [word, data.draw(BLANK)]
    assert fault("".join(parts), parent) == "same_as_parent"


@given(WORLD, st.integers(1, 9))
def test_other_numbers_alone_are_no_gain(parent, by):
    new = re.sub(r"\d+", lambda number: str(int(number[0]) + by), parent)
    assert fault(new, parent) == "no_gain"


@given(WORLD)
def test_a_part_of_the_parent_is_no_gain(parent):
    sentences = re.split(r"(?<=[.?]) ", parent)
    assert len(sentences) == 1 or fault(sentences[-1], parent) in {"no_gain", "no_question"}


@given(WORLD, WORLD)
def test_a_problem_never_fails_for_its_form(new, parent):
    assert fault(new, parent) in {None, "same_as_parent", "no_gain", "near_parent"}


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_any_text_gets_the_same_verdict_twice(new, parent, prompt):
    first = fault(new, parent, prompt)
    assert first == fault(new, parent, prompt)
    assert first is None or first.isidentifier()
    assert fault(parent, parent) is not None


def wrapped(parts):
    return r"\sqrt{" + " ".join(parts) + "}"


@given(
    st.recursive(
        st.sampled_from(["x", "$5$", r"\{", r"\\", " "]),
        lambda inner: st.lists(inner, max_size=4).map(wrapped),
        max_leaves=12,
    )
)
def test_nested_latex_is_whole_and_broken_without_one_brace(text):
    assert unbalanced(text) is None
    braces = [m.start(1) for m in re.finditer(r"(?<!\\)(?:\\\\)*([{}])", text)]
    for at in braces:
        assert unbalanced(text[:at] + text[at + 1 :]) is not None


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("He pays $5 for a pen.", False),
        (r"He pays \$5 for $x$ pens.", False),
        (r"Find $\frac{1}{2} x.", True),
        (r"\begin{cases} x & 1 \\[2pt] y & 2 \end{cases}", False),
        (r"\begin{cases} x \end{array}", True),
        (r"\begin{cases} x", True),
        (r"$\left( x \right]$ and $a \leftarrow b$", False),
        (r"$\left( x )$", True),
        (r"\[ x + 1", True),
        ("} and {", True),
    ],
)
def test_what_latex_has_to_pair(text, broken):
    assert (unbalanced(text) is not None) == broken


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Tom has 3.5 litres. How many are left?", 1),
        ("Find x. Express it as a fraction.", 1),
        ("How many apples and how many pears does he have?", 2),
        ("Find the area. What is the perimeter?", 2),
        ("Find the area. Then determine the perimeter.", 2),
        ("(a) Compute x.\n(b) Compute y.", 2),
        ("Solve x + 3 = 7 for x.", 0),
        ("Really?? He has 3.", 1),
    ],
)
def test_questions_are_counted(text, asked):
    assert questions(text) == asked


def test_what_the_parent_says_too_is_not_held_against_the_question():
    parent = "How many apples has Tom? How many has Ida?"
    assert fault("Tom buys 3 apples and Ida 5 pears a day. How many apples has Tom? How many has Ida?", parent) is None
    parent = "The answer is 5 where x + 3 = y. Which y is that?"
    assert fault("The answer is 5 where x + 3 = y and y is twice as large as z. Which z is that?", parent) is None


def test_words_of_the_prompt_that_the_parent_has_are_its_own():
    run = "the sum of all the digits that it has"
    said = f"Ida writes {run} on a card. What is on it?"
    more = f"Ida writes {run} on a red card and Omar three times as much on another. What is on it?"
    assert fault(more, "Which number is odd?", f"Ask for {run}.") == "copies_prompt"
    assert fault(more, said, f"Ask for {run}.") is None


def test_a_sorry_person_in_a_long_story_is_no_apology():
    told = "Ida says: I am sorry, I lost 4 of the 9 stamps. " + "She looks for them on each of the other days too. " * 8
    parent = "Omar saves 2 coins a day. How many has he after a week?"
    assert fault(told + "How many stamps are left?", parent, limits=Limits(slack=200)) is None
    assert fault("I am sorry, I lost it. How many?", parent) == "sorry"


def test_one_more_number_is_a_gain_and_another_letter_is_none():
    assert fault("Solve 2x + 3 = 7 for x.", "Solve x + 3 = 7 for x.") is None
    assert fault("Solve y + 3 = 7 for y.", "Solve x + 3 = 7 for x.") == "near_parent"


def test_a_language_without_cues_is_no_fault():
    assert fault("已知 x 是整数且 2x + 30 = 70, 求 x", "已知 x + 3 = 7, 求 x") is None
    assert fault("已知 x 是整数且 2x + 30 = 70", "Solve x + 3 = 7 for x.") == "no_question"


@pytest.mark.parametrize(
    "changed", [{"gain": 0}, {"growth": 0.9}, {"slack": -1}, {"copied": 0}, {"apology": 0}, {"growth": float("nan")}]
)
def test_limits_out_of_range_are_refused(changed):
    with pytest.raises(ValueError, match=next(iter(changed))):
        Limits(**changed)


def test_every_reason_has_a_recorded_reply():
    source = (
        registry.load("mathqa.augment", "evol").EXAMPLE.recorded
        + registry.load("mathqa.augment", "xwin").EXAMPLE.recorded
    )
    seen = {each.expected for each in source if isinstance(each.expected, str)}
    assert Limits() == DEFAULT
    assert {
        "sorry", "only_stop_words", "copies_prompt", "solved", "no_question", "several_questions", "same_as_parent", "no_gain",
        "near_parent", "too_long", "broken_latex", "unclosed", "empty", "no_mark", "no_draft", "no_check", "no_final", "impossible",
    } <= seen  # fmt: skip
