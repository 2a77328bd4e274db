"""Style counts: what is counted, what is not, and how counts add up."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.reward.annotate import style
from skyloom.reward.surface import COUNTS, MARKDOWN, NAMES, count, holds

LINES = (
    "# Head",
    "- item",
    "2) item",
    "plain **bold** text",
    "```",
    "| a | b |",
    "[a](b.c)",
    "What? No!",
    "naïve 12",
    "",
)


def counted(text, name):
    return pl.DataFrame({"text": [text]}).select(count(pl.col("text"), name)).item()


@pytest.mark.parametrize(
    ("name", "text", "times"),
    [
        ("headers", "# a\n####### seven\n#no blank\n   ## b", 2),
        ("bullets", "- a\n  * b\n+ c\n• d\n-e\n--- \n**f**", 4),
        ("numbered", "1. a\n 22) b\n3.5 c\n4.\n2024. d", 2),
        ("bold", "**a** and **b c** but ** * and x**y", 2),
        ("fences", "```python\nx\n```\nand ``` inside", 2),
        ("tables", "| a | b |\n|---|---|\na | b", 2),
        ("links", "[x](http://y.z) http://q.r [no] (link)", 2),
        ("sentences", "One. Two! Three?! 3.5 e.g.x", 3),
        ("foreign", "aé日b", 2),
        ("capitals", "ÀbC d", 2),
        ("lines", "a\nb\n", 3),
        ("characters", "日本", 2),
        ("words", "  a  b\nc ", 3),
    ],
)
def test_what_counts(name, text, times):
    assert counted(text, name) == times


@given(
    st.lists(st.sampled_from(LINES), min_size=1, max_size=8), st.lists(st.sampled_from(LINES), min_size=1, max_size=8)
)
def test_counts_of_whole_lines_add_up(first, second):
    for name in NAMES:
        joined = counted("\n".join(first + second), name)
        apart = counted("\n".join(first), name) + counted("\n".join(second), name)
        assert joined == apart + (name == "characters")  # the line break between them


@given(st.text(max_size=60))
def test_markdown_is_the_sum_of_its_kinds_and_nothing_is_negative(text):
    assert counted(text, "markdown") == sum(counted(text, name) for name in MARKDOWN)
    assert all(counted(text, name) >= 0 for name in COUNTS)
    assert counted(text, "characters") == len(text)


def test_first_and_last_character():
    frame = pl.DataFrame({"text": ["Ab.", " a1", "- ?", "\n", ""]})
    found = frame.select(
        holds(pl.col("text"), name).alias(name) for name in ("first_capital", "first_blank", "last_stop", "last_blank")
    )
    assert found.rows() == [(1, 0, 1, 0), (0, 1, 0, 0), (0, 0, 0, 0), (0, 1, 0, 1), (0, 0, 0, 0)]


@given(st.text(max_size=40), st.text(max_size=40))
def test_sides_are_counted_alike(chosen, rejected):
    there = style.annotate(pl.DataFrame({"chosen": [chosen], "rejected": [rejected]}), style.Config()).row(
        0, named=True
    )
    back = style.annotate(pl.DataFrame({"chosen": [rejected], "rejected": [chosen]}), style.Config()).row(0, named=True)
    assert all(there[f"style.{name}_chosen"] == back[f"style.{name}_rejected"] for name in style.FEATURES)
