"""DAPO-17k against MATH test: every known copy is found, and rows that share no 8 words in a row with it are spared."""

import pytest

from skyloom.core.records import Reject
from skyloom.core.store import read_json_rows
from skyloom.core.text.ngrams import NgramIndex, Rule
from skyloom.core.text.normal import words
from skyloom.mathqa.annotate import contamination
from skyloom.mathqa.benchmark import index_of
from skyloom.mathqa.evals import math as math_test
from skyloom.mathqa.sources import dapo

COPIES = 993
"""Rows whose prompt, without the instructions around it, is a MATH test problem but for blanks and case."""


@pytest.fixture(scope="module")
def items(real_data):
    return math_test.items(math_test.Config(path=real_data / "math/MATH/test.jsonl"))


@pytest.fixture(scope="module")
def questions(real_data):
    """Of every row, copies included."""
    raws = read_json_rows(real_data / "math/dapo17k/train.parquet")
    found = [dapo.to_record(raw.data).question for raw in raws if not isinstance(raw, Reject)]
    assert len(found) == 17_398
    return found


def test_every_copy_of_a_test_problem_is_found_and_other_rows_are_spared(items, questions):
    known = {"".join(item.question.split()).lower() for item in items}
    copies = {k for k, text in enumerate(questions) if "".join(text.split()).lower() in known}
    assert len(copies) == COPIES
    found = index_of(items, 30).query(questions, near=contamination.Config().near)
    sure = set(found.filter(found["layer"].is_in(["ngram", "whole"]))["query"])
    assert copies <= sure, "the two literal layers find all of them"
    apart = set(range(len(questions))) - sharing(items, questions, 8) - copies
    assert len(apart) > 11_000
    flagged = set(found["query"]) & apart
    assert not sure & apart
    assert len(flagged) <= 0.01 * len(apart), f"{len(flagged)} of {len(apart)}"


def sharing(items, texts, n):
    """Positions of the texts that share n words in a row with an item."""
    held = [item.question if len(words(item.question)) >= n else "" for item in items]
    return set(NgramIndex.build(held, Rule(n=n, contain=n)).query(texts)["query"])
