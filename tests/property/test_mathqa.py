"""Properties of the math loop: whatever is drawn is read back; random bytes and texts never break a reader."""

import json
import math
import re
import tomllib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from augmenting import play
from skyloom.core import registry
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Message, Raw, Reject
from skyloom.core.rng import stream
from skyloom.mathqa.augment import answer_augment
from skyloom.mathqa.operators import Refused
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources import gsm8k, math_hendrycks
from skyloom.mathqa.verify.extraction import last_boxed
from skyloom.mathqa.world.expressions import show
from skyloom.mathqa.world.grammar import draw, grammar, read, reword, solve
from skyloom.mathqa.world.problems import judge
from skyloom.mathqa.world.responder import Responder

KINDS = list(grammar().kinds.values())
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.integers(0, len(KINDS) - 1), st.integers(0, 2**32), st.integers(0, 5), st.integers(0, 100))
def test_a_problem_survives_rewording_and_is_judged_by_its_text_alone(kind, seed, form, pick):
    posed = draw(KINDS[kind], stream(seed, "property"))
    told = reword(posed, form % len(posed.kind.forms), pick)
    again = read(told.text)
    assert again is not None
    assert again.content == posed.content
    assert judge(told.text, show(solve(posed).answer)).right


@given(st.integers(0, len(KINDS) - 1), st.integers(0, 2**32), st.integers(0, 9))
def test_a_wrong_teacher_is_wrong_and_well_formed(kind, seed, sample):
    posed = draw(KINDS[kind], stream(seed, "property"))
    right = show(solve(posed).answer)
    problem = Problem(question=posed.text, answer=right, solution="", level=1, subject="x")
    played = play(answer_augment, problem, answer_augment.Config(), Responder(wrong=1.0), sample)
    assert [draft.answer == right for draft in played.drafts] == [False]


@given(st.text(max_size=300), st.integers(0, 3))
def test_any_text_gets_some_reply(text, sample):
    reply = Responder(wrong=0.5, drift=0.5, careless=0.5)([Message(role="user", content=text)], sample)
    assert reply


CALLS = {
    call.name: call for name in registry.names("mathqa.augment") for call in registry.load("mathqa.augment", name).CALLS
}
MARKS = st.sampled_from(["[end]", "New problem:", "The answer is ", "\n", "Problem:", "?", "$x$", "4"])


@given(st.one_of(st.text(max_size=300), st.lists(st.one_of(MARKS, st.text(max_size=9))).map("".join)))
def test_any_reply_is_read_or_refused_by_name(reply):
    for call in CALLS.values():
        filled = dict.fromkeys(
            re.findall(r"\{(\w+)\}", tomllib.loads(call.template.read_text())[call.name]["user"]), "q"
        )
        try:
            slots = call.parse(reply, filled)
        except Refused as error:
            assert error.reason.isidentifier()
        else:
            assert set(slots) == set(call.reads)
            assert all(slots.values())


@given(st.text(alphabet="\\boxedfb{} 1$x.", max_size=60))
def test_a_box_is_found_whole_or_not_at_all(text):
    found = last_boxed(text)
    assert found is None or (found and found in text)


@given(st.text(alphabet="ab{}\\", max_size=12).filter(lambda text: text.strip() and "\\" not in text))
def test_a_balanced_content_comes_back(text):
    depth = 0
    for char in text:
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth < 0:
            return
    if depth == 0:
        assert last_boxed(f"so $\\boxed{{{text}}}$.") == text.strip()


@settings(max_examples=30)
@given(
    st.one_of(
        st.binary(max_size=400),
        st.lists(ANY_JSON, max_size=4).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    )
)
def test_random_bytes_never_break_an_adapter(tmp_path_factory, data):
    path: Path = tmp_path_factory.mktemp("bytes") / "train.jsonl"
    path.write_bytes(data)
    for module in (gsm8k, math_hendrycks):
        try:
            for raw in module.rows(module.Config(path=path), 0):
                if isinstance(raw, Raw):
                    try:
                        assert isinstance(module.to_record(raw.data), Problem)
                    except BadRow as error:
                        assert error.field
                else:
                    assert isinstance(raw, Reject)
        except BadInput as error:
            assert str(path) in str(error)


@given(st.fractions(max_denominator=99), st.integers(1, 9))
def test_numbers_are_shown_exactly(value, scale):
    assert math.isclose(eval(show(value * scale)), float(value * scale), rel_tol=1e-12)
