"""The n-gram index against sets of tuples: the same hits, and evidence that holds the shared words."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.text.ngrams import NgramIndex, Rule
from skyloom.core.text.normal import normal, spans, words

# Few words make many collisions; capitals, punctuation and odd blanks must not matter.
PIECES = st.sampled_from(["a", "B", "c", "12", "1,000", "+", "-", "é", "E\u0301", "今", "seven", "!", "\u200b"])
TEXTS = st.lists(PIECES, max_size=14).map(" ".join)
RULES = st.builds(Rule, n=st.integers(1, 5), contain=st.integers(1, 5), masked=st.booleans())


def grams(tokens: list[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(tokens[k : k + n]) for k in range(len(tokens) - n + 1)}


def spoken(gram: tuple[str, ...]) -> int:
    """Words that are neither a sign of a formula or a ruled line nor a masked number."""
    return sum(word not in "+*/=<>^%-#" for word in gram)


def brute(items: list[str], texts: list[str], rule: Rule) -> set[tuple[int, str]]:
    """(query, item) of every hit, by the definition."""
    hits: set[tuple[int, str]] = set()
    for query, text in enumerate(texts):
        asked = words(text, masked=rule.masked)
        for name, item in enumerate(items):
            held = words(item, masked=rule.masked)
            size = min(len(held), rule.n)
            short = len(held) < rule.n
            if short and len(held) < rule.contain:
                hit = bool(held) and held == asked
            else:
                sought = {gram for gram in grams(held, size) if short or 3 * spoken(gram) > size}
                hit = size > 0 and bool(grams(asked, size) & sought)
            if hit:
                hits.add((query, str(name)))
    return hits


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, max_size=6), RULES)
def test_same_hits_as_sets_of_tuples(items: list[str], texts: list[str], rule: Rule) -> None:
    found = NgramIndex.build(items, rule).query(texts)
    assert set(found.select("query", "item").iter_rows()) == brute(items, texts, rule)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=4), RULES)
def test_every_word_of_the_evidence_is_shared(items: list[str], texts: list[str], rule: Rule) -> None:
    for query, item, _, start, stop, count in NgramIndex.build(items, rule).query(texts).iter_rows():
        shown = words(texts[query][start:stop], masked=rule.masked)
        held = words(items[int(item)], masked=rule.masked)
        size = min(len(held), rule.n)
        shared = grams(held, size)
        covered = [
            any(tuple(shown[k : k + size]) in shared for k in range(j - size + 1, j + 1) if k >= 0)
            for j in range(count)
        ]
        assert len(shown) == count
        assert all(covered)


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_normal_form_is_idempotent_and_spans_are_ordered(text: str) -> None:
    assert normal(normal(text)) == normal(text)
    places = spans(text)
    assert len(places) == len(words(text))
    assert all(0 <= start < stop <= len(text) for start, stop in places)
    assert [start for start, _ in places] == sorted(start for start, _ in places)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_never_an_index(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.npz"
        path.write_bytes(data)
        with pytest.raises(BadInput):
            NgramIndex.load(path)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec="ascii")))
def test_the_fast_word_rule_of_ascii_is_the_general_one(text: str) -> None:
    assert words(text) == words(text + " é")[:-1]
