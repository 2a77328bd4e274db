"""Licences: whole words are matched, whatever the case and the punctuation."""

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.reward.decide import licence


def refused(text, alive=True, **settings):
    frame = pl.DataFrame({"licence": pl.Series([text], dtype=pl.Categorical), "alive": [alive]})
    return licence.decide(frame, licence.Config(**settings)).to_list() == ["licence_refused"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MIT", False),
        ("CC BY-NC 4.0", True),
        ("cc_by_nc-sa-4.0", True),
        ("Non-Commercial research licence", True),
        ("ODC-BY, gated", False),
        ("Encyclopedia Noncense 1.0", False),
        ("mixed, see the licences of its seven sources", False),
    ],
)
def test_non_commercial_licences_are_told(text, expected):
    assert refused(text) is expected
    assert refused(text.upper()) is expected


@pytest.mark.parametrize("text", ["", "none stated", "unknown", "as stated by its owner", "--"])
def test_unstated_licences_are_dropped_on_request(text):
    assert not refused(text)
    assert refused(text, unstated="drop")


def test_own_patterns_replace_the_shipped_ones():
    assert refused("ODC-BY, gated", refuse=("gated",))
    assert not refused("CC-BY-NC-4.0", refuse=("gated",))
    assert not refused("CC-BY-NC-4.0", refuse=())
    with pytest.raises(BadInput, match="a pattern needs a word"):
        refused("MIT", refuse=("nc", " -"))


def test_the_dead_are_not_judged():
    assert not refused("CC-BY-NC-4.0", alive=False)


@given(
    st.lists(st.sampled_from(["cc", "by", "nc", "mit", "non", "commercial", "2"]), max_size=6), st.sampled_from(" -_/,")
)
def test_a_pattern_is_found_exactly_where_its_words_stand_in_a_row(words, glue):
    expected = "nc" in words or any(pair == ("non", "commercial") for pair in pairwise(words))
    assert refused(glue.join(words), refuse=("NC", "non-commercial")) is expected
