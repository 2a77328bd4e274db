"""Question kinds: what each rule finds and what it must leave alone, the teacher's verdicts, the decider's reasons."""

import json
import time

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.config import PluginConfig, from_dict, to_dict
from skyloom.core.errors import BadInput
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.rng import stream
from skyloom.mathqa.annotate import question_kind
from skyloom.mathqa.decide import question_kind as decider
from skyloom.mathqa.kinds import KINDS, LONGEST, classify, unbalanced, without_pictures
from skyloom.mathqa.operators import Refused
from skyloom.mathqa.world.expressions import show
from skyloom.mathqa.world.grammar import draw, grammar, solve

PLAIN = [
    ("Find $x$ with $x+1=2$.", "1"),
    ("Show that $x^2=4$ has two roots, and find their sum.", "0"),
    ("The figures show the price of tea. What is it in 2020, if it was $3 in 2010 and rose by $2?", "5"),
    ("Determine all $n$ with $n^2 < 5$. Justify your answer.", "0, 1, 2"),
    ("Let $f(A) = 1$, $f(B) = 2$, $f(C) = 3$. Find $f(A)f(B)f(C)$.", "6"),
    ("A function satisfies (i) $f(1)=1$ and (ii) $f(x+y)=f(x)+f(y)$. Find $f(3)$.", "3"),
    ("Let $A$, $B$ and $C$ be points on a line. How long is $AC$?", "A"),
    ("What is the area of the triangle in the diagram?\n[asy]\ndraw((0,0)--(1,0)--(0,1)--cycle);\n[/asy]", "1/2"),
    ("How many of the statements are true?\n(A) $1<2$\n(B) $2<1$\n(C) $3<4$", "2"),
    ("In the table below find $x$.\n\\begin{tabular}{c}1\\end{tabular}", "1"),
    ("The graph of $y=x^2$ is moved up by one. What is its equation?", "y=x^2+1"),
    ("What is the median $x$ of 1, 2, 3? If the median is $x$, what is the value of $10x$?", "20"),
    ("Follow these steps: 1. Find the sum of the digits of 99. 2. Find the sum of its digits.", "9"),
    ("Find $\\lim F$ or prove that it does not exist.", "11"),
    (
        'Ann asks, "How old is Ben?" and Ben asks, "What is it to you?" Ann is 4 and Ben twice as old. How old is Ben?',
        "8",
    ),
    ("Ana has 600$ and pays $.50. How much is left, in $?", "599.5"),
    ("Ana has $5 and spends $3. What part is left?", "2/5"),
    ("Evaluate $\\left\\{ \\left[ 1 \\right] \\right\\}$, $a\\\\[2pt] b$ and $\\{1\\}$ at \\$5.", "1"),
    ("Two formulas side by side: $a$$b$. Find $a$.", "1"),
]
FOUND = [
    ("proof", "Let $n$ be odd. Prove that $n^2$ is odd.", "1"),
    ("proof", "Show that there are infinitely many primes.", ""),
    ("proof", "Is it so?", "See proof."),
    ("choice", "Which is even? (A) 1 (B) 2 (C) 3 (D) 5", "B"),
    ("choice", "Which is even?\n$\\textbf{(A)}\\ 1\\qquad\\textbf{(B)}\\ 2\\qquad\\textbf{(C)}\\ 3$", "2"),
    (
        "choice",
        "Which is even?\n\nA. one\n\nB. two\n\nC. three\n\nEnter the letter of the correct option.",
        "\\text{B}",
    ),
    ("choice", "Two statements (A) $1>2$ and (B) $2>1$. Which is true?", "(B)"),
    ("parts", "Let $x=2$. (a) What is $x^2$? (b) What is $x^3$?", "4 and 8"),
    ("parts", "1. Find the sum of the roots.\n2. Find their product.", "3, 2"),
    ("parts", "How many coins has Ana? How many has Ben?", "3, 4"),
    ("unanswerable", "What is the area of the triangle shown in the figure?", "6"),
    ("unanswerable", "Find $x$. ![](a.png)", "6"),
    ("unanswerable", "As in <image_1>, find $x$.", "6"),
    ("unanswerable", "Which of these is equal to the expression above?", "6"),
    ("unanswerable", "Find $x$ with $x>x$.", "notfound"),
    ("unanswerable", "Find $x$ for a sequence with the condition in part (a).", "6"),
    ("broken_latex", "Find $\\frac{1}{2.", "1"),
    ("broken_latex", "Find $x$ and $y+\\alpha.", "1"),
    ("broken_latex", "Find \\begin{array}{c} 1 \\end{matrix}.", "1"),
    ("broken_latex", "Find $\\left( 1 )$.", "1"),
    ("broken_latex", "Find $x$.", "\\frac{1}{2"),
]


@pytest.mark.parametrize(("question", "answer"), PLAIN)
def test_a_plain_question_is_of_no_kind(question, answer):
    assert classify(question, answer) == {}


@pytest.mark.parametrize(("kind", "question", "answer"), FOUND)
def test_a_kind_is_found_with_its_words(kind, question, answer):
    found = classify(question, answer)
    assert kind in found
    assert 0 < len(found[kind]) <= LONGEST


@given(st.integers(0, len(grammar().kinds) - 1), st.integers(0, 2**32))
def test_a_problem_of_the_world_is_plain(kind, seed):
    posed = draw(list(grammar().kinds.values())[kind], stream(seed, "kinds"))
    assert classify(posed.text, show(solve(posed).answer)) == {}


@given(st.text(max_size=200), st.text(max_size=30))
def test_any_text_gets_short_evidence_for_known_kinds(question, answer):
    found = classify(question, answer)
    assert set(found) <= set(KINDS)
    assert all(len(span) <= LONGEST for span in found.values())


BALANCED = st.recursive(
    st.sampled_from(["x", "1", "\\{", "\\\\", "\\leftarrow ", "a b"]),
    lambda inner: st.one_of(
        inner.map(lambda text: f"{{{text}}}"),
        inner.map(lambda text: f"\\left({text}\\right)"),
        inner.map(lambda text: f"\\begin{{a}}{text}\\end{{a}}"),
        st.lists(inner, max_size=3).map("".join),
    ),
    max_leaves=8,
)


@given(st.lists(BALANCED.filter(bool), min_size=1, max_size=4), st.data())
def test_what_is_balanced_passes_and_one_piece_less_does_not(formulas, data):
    text = "\\alpha " + " ".join(f"${formula}$" for formula in formulas)
    assert unbalanced(text) is None
    marks = [k for k, c in enumerate(text) if c == "$" or (c in "{}" and not text[:k].endswith("\\"))]
    gone = data.draw(st.sampled_from(marks))
    assert unbalanced(text[:gone] + text[gone + 1 :]) is not None


@pytest.mark.parametrize(
    "piece",
    ["(a) ", "rules ", "what ", "{", "$", "find which ", "in the figure ", "A. x ", "|a", "if the ", "\\left", "\n"],
)
def test_a_long_text_costs_little(piece):
    begun = time.process_time()
    classify(piece * (60_000 // len(piece)), "1")
    assert time.process_time() - begun < 2, "a rule that backtracks would take minutes"


def test_pictures_are_taken_out():
    assert without_pictures("a [asy] draw(x); [/asy] b").split() == ["a", "b"]
    assert without_pictures("[asy] never closed").strip() == ""
    assert without_pictures("![fig](x.png)<image_1><img src=1>\\includegraphics[w]{f}").strip() == ""


def lines(**told):
    return "\n".join(f"{name}: {told.get(name, 'no')}" for name in question_kind.JUDGED) + "\n[end]"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "empty"),
        ("proof: no\nchoice: no", "unclosed"),
        ("proof: no\nchoice: no\n[end]", "no_verdict"),
        ("I think it is fine.\n[end]", "no_verdict"),
        (f"proof: yes\n{lines()}", "two_verdicts"),
    ],
)
def test_a_verdict_that_cannot_be_read_is_refused_by_name(reply, reason):
    with pytest.raises(Refused) as caught:
        question_kind.verdicts(reply, {})
    assert caught.value.reason == reason


def test_a_verdict_is_read_through_marks():
    told = question_kind.verdicts("- **Proof**: No\n* choice : yes\nparts: no\n**unanswerable:** YES\n[end]", {})
    assert told == {"proof": "no", "choice": "yes", "parts": "no", "unanswerable": "yes"}


def test_the_teacher_is_asked_only_where_the_rules_are_silent(tmp_path):
    asked = []

    def responder(messages, draw):
        asked.append(messages[-1].content)
        if "odd one" in asked[-1]:
            return "no idea"
        return lines(proof="yes") if "convince" in asked[-1] else lines()

    frame = pl.DataFrame(
        {
            "question": ["Find $x$ with $x=1$.", "Prove that $1>0$.", "Now convince us.", "An odd one: find $x$."],
            "answer": ["1", "1", "1", "1"],
        }
    )
    with SimulatedTeacher(responder, Faults(), seed=0) as server:
        config = question_kind.Config(teacher=TeacherConfig(url=server.url, temperature=0), log=tmp_path / "log.sqlite")
        got = question_kind.annotate(frame, config)
        again = question_kind.annotate(frame, config)
        assert server.counts["calls"] == 3, "a logged reply is not asked for again"
    assert got.equals(again)
    assert len(asked) == 3
    assert not any("Prove that" in text for text in asked)
    assert got["kind.proof"].to_list() == [False, True, True, None]
    assert got["kind.broken_latex"].to_list() == [False] * 4
    assert got["kind.evidence"].to_list()[2:] == ["proof: the teacher's verdict", "no verdict: unclosed"]
    with RequestLog(tmp_path / "log.sqlite") as log:
        assert len(log) == 3
    reasons = decider.decide(got, decider.Config()).to_list()
    assert reasons == [None, "proof", "proof", "unclassified"]


def test_rules_alone_and_rules_with_a_teacher_have_two_keys():
    from skyloom.core.config import fingerprint

    alone = question_kind.Config()
    asked = question_kind.Config(teacher=TeacherConfig(url="http://127.0.0.1:1/v1"))
    assert fingerprint(alone) != fingerprint(asked)
    for config in (alone, asked):
        assert from_dict(PluginConfig, json.loads(json.dumps(to_dict(config)))) == config
    frame = pl.DataFrame({"question": ["Find $x$ with $x=1$."], "answer": ["1"]})
    with pytest.raises(BadInput, match="teacher.url"):
        question_kind.annotate(frame, question_kind.Config(teacher=TeacherConfig()))


def test_only_the_kinds_that_are_named_are_dropped():
    row = {f"kind.{name}": [name in ("parts", "choice")] for name in KINDS}
    assert decider.decide(pl.DataFrame(row), decider.Config(drop=("parts", "choice"))).to_list() == ["parts"]
    assert decider.decide(pl.DataFrame(row), decider.Config(drop=("proof",))).to_list() == [None]
    assert decider.decide(pl.DataFrame(row), decider.Config(drop=())).to_list() == [None]
    with pytest.raises(BadInput, match="drop"):
        from_dict(PluginConfig, {"plugin": "mathqa.decide/question_kind", "drop": ["essay"]})
