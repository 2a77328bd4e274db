"""The n-gram index: known hits with their evidence, the rule for short items, files, and bad input."""

from pathlib import Path

import numpy as np
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.text.ngrams import HITS, NgramIndex, Rule
from skyloom.core.text.rolling import Batch, window_hashes

ITEM = "A train leaves the station at noon and travels 60 miles per hour towards the coast."
SHORT = "What is the sum of 3 and 4?"
TINY = "Find x."
RULE = Rule(n=7, contain=5)


@pytest.fixture
def index() -> NgramIndex:
    return NgramIndex.build([ITEM, SHORT, TINY], RULE, names=["train", "sum", "tiny"])


def rows(index: NgramIndex, *texts: str) -> list[tuple[object, ...]]:
    return index.query(texts).rows()


def test_a_shared_run_is_one_hit_with_its_evidence(index: NgramIndex) -> None:
    text = "Question: the station at noon, and travels 60 MILES per day!"
    assert rows(index, "nothing here", text) == [(1, "train", "ngram", 10, 55, 9)]
    assert text[10:55] == "the station at noon, and travels 60 MILES per"


def test_six_shared_words_are_no_hit(index: NgramIndex) -> None:
    assert rows(index, "the station at noon and travels") == []
    assert len(rows(index, "the station at noon and travels 60")) == 1


def test_a_run_does_not_cross_texts(index: NgramIndex) -> None:
    assert rows(index, "the station at noon", "and travels 60 miles per hour") == []


def test_two_separate_runs_are_two_hits(index: NgramIndex) -> None:
    text = "A train leaves the station at noon; then it travels 60 miles per hour towards the coast."
    assert [row[1:3] for row in rows(index, text)] == [("train", "ngram")] * 2


def test_short_items_are_found_whole(index: NgramIndex) -> None:
    long_item = NgramIndex.build([SHORT], Rule(n=13, contain=5), names=["sum"])
    assert rows(long_item, "Please tell: what is the sum of 3 and 4") == [(0, "sum", "contained", 13, 39, 8)]
    assert rows(long_item, "what is the sum of 3 and 5") == []
    assert rows(index, "find X") == [(0, "tiny", "whole", 0, 6, 2)]
    assert rows(index, "find X and Y") == []


def test_masking_finds_other_numbers() -> None:
    masked = NgramIndex.build([SHORT], Rule(n=13, contain=5, masked=True))
    assert [row[1:3] for row in rows(masked, "What is the sum of 12 and twelve?")] == [("0", "contained")]


def test_every_item_that_shares_the_words_is_named() -> None:
    index = NgramIndex.build([SHORT, SHORT + " Explain your steps please."], Rule(n=6))
    assert [row[1] for row in rows(index, SHORT)] == ["0", "1"]


def test_no_items_or_no_texts() -> None:
    assert NgramIndex.build([], RULE).query(["anything at all"]).height == 0
    empty = NgramIndex.build(["", "?!"], RULE).query(["", "??"])
    assert empty.height == 0
    assert dict(empty.schema) == HITS


def test_batches_do_not_change_the_hits(index: NgramIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [ITEM, "x", SHORT, "", TINY, ITEM.upper()] * 5
    whole = index.query(texts)
    monkeypatch.setattr("skyloom.core.text.ngrams.BATCH", 4)
    assert index.query(texts).equals(whole)


def test_files_round_trip_with_equal_bytes(index: NgramIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "a.npz")
    again = NgramIndex.load(tmp_path / "a.npz")
    again.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert again.content_hash() == index.content_hash()
    assert again.query([ITEM, SHORT, TINY]).equals(index.query([ITEM, SHORT, TINY]))
    assert b"train leaves" not in (tmp_path / "a.npz").read_bytes()


def test_the_content_hash_sees_rule_names_and_texts(index: NgramIndex) -> None:
    names = ["train", "sum", "tiny"]
    others = [
        NgramIndex.build([ITEM, SHORT, TINY], Rule(n=8, contain=5), names),
        NgramIndex.build([ITEM, SHORT, TINY], RULE, ["train", "sum", "other"]),
        NgramIndex.build([ITEM, SHORT, "Find y."], RULE, names),
    ]
    hashes = {index.content_hash(), *(other.content_hash() for other in others)}
    assert len(hashes) == 4
    assert index.content_hash() == "06351147795ca882c797a09118cff6f6"  # the same on every machine


def test_bad_files_are_one_line_of_bad_input(index: NgramIndex, tmp_path: Path) -> None:
    path = tmp_path / "index.npz"
    index.save(path)
    data = path.read_bytes()
    with pytest.raises(BadInput, match=r"missing\.npz"):
        NgramIndex.load(tmp_path / "missing.npz")
    for damaged in (b"", b"random", data[: len(data) // 2], data.replace(b"head", b"tail")):
        path.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"index\.npz.*build it again"):
            NgramIndex.load(path)


def test_bad_arguments() -> None:
    with pytest.raises(BadInput, match="at least 1"):
        Rule(n=0)
    with pytest.raises(BadInput, match="2 items but 1 names"):
        NgramIndex.build(["a", "b"], RULE, ["a"])


def test_window_hashes_are_the_sums_they_say() -> None:
    batch = Batch.of(["one two three four", "two three"], masked=False)
    pairs = window_hashes(batch.hash_W, 2)
    assert pairs[1] == pairs[4]
    assert len(np.unique(pairs)) == 4
    assert window_hashes(batch.hash_W, 7).size == 0


def test_a_ruled_line_is_no_text_and_a_formula_is():
    """Tables of any two texts share their ruled lines; at n = 13 four in five hits between public sets were those."""
    item = "| name | age |\n| --- | --- | --- | --- | --- | --- |\n| Ann | 5 |"
    index = NgramIndex.build([item, "x ^ 2 + 3 x - 4 = 0 has two roots"], Rule(n=7))
    assert index.query(["| a | b |\n| --- | --- | --- | --- | --- | --- |\n| c | d |"]).height == 0
    assert index.query(["Solve: x ^ 2 + 3 x - 4 = 0."])["item"].to_list() == ["1"]
