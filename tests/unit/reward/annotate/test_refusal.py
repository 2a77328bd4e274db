"""Refusals: declining is told from regretting, quoting and complying."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.reward.annotate import refusal
from skyloom.reward.sources import world


def refuses(*texts, **settings):
    frame = pl.DataFrame({"chosen": texts, "rejected": ["Sure."] * len(texts)})
    return refusal.annotate(frame, refusal.Config(**settings))["refusal.chosen"].to_list()


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I’m really sorry, but I’m unable to provide that.",
        "  I cannot fulfill your request. I'm just an AI.",
        "As an AI language model, I am not able to browse the web.",
        "I won't help you with this.",
        "I must respectfully decline.",
        "It is not appropriate or respectful to provide such a list.",
        "Sorry, but I do not want to.",
        "I'm not going to answer that.",
        "I do not feel comfortable\nwriting this.",
        "That goes against my programming.",
    ],
)
def test_refusals(text):
    assert refuses(text) == [True]


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here is how.",
        "I'm sorry to hear that you lost your dog.",
        "You cannot help everyone.",
        "The reason you can't see stars is light pollution.",
        "I can help with that, and I will not take long.",
        "I apologize for the confusion. The error is in line 3.",
        "He said that he would rather not.",
        "",
    ],
)
def test_no_refusals(text):
    assert refuses(text) == [False]


def test_only_the_start_counts():
    late = f"{'Here is the letter. ' * 12}I'm sorry, but I can't help with that."
    assert refuses(late) == [False]
    assert refuses(late, characters=400) == [True]
    with pytest.raises(BadInput, match="characters=0"):
        refuses(late, characters=0)


def test_every_safety_pair_of_the_world_has_its_refusal_on_the_right_side():
    made = [world.to_record(raw.data) for raw in world.rows(world.Config(part="eval", rows=300, seed=2), 0)]
    frame = pl.DataFrame({"chosen": [each.chosen for each in made], "rejected": [each.rejected for each in made]})
    found = refusal.annotate(frame, refusal.Config()).rows()
    told = {"world-should-refuse": (True, False), "world-should-respond": (False, True)}
    assert len({each.category for each in made} & set(told)) == 2
    assert found == [told.get(each.category, (False, False)) for each in made]


@given(st.text(max_size=80))
def test_case_line_breaks_and_apostrophes_do_not_matter(text):
    plain = refuses(text.lower())
    assert refuses(text.lower().replace("'", "’").replace(" ", "\n")) == plain
