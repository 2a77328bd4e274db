"""The item index: each layer's finds and its limits, files, and bad input."""

import numpy as np
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.text.items import LAYERS, ItemIndex, ItemRule, spoken

LONG = (
    "A farmer sells 12 crates of apples at the market on Monday and 15 crates on Tuesday, and each crate holds 40 apples "
    "of which 3 are rotten. How many good apples does the farmer sell on both days together?"
)
SHORT = r"What is the greatest common factor of $\frac{12}{2}$ and 20?"
TINY = "Expand $(x+5)^2$"
STOCK = "What is $3 + 4$?"
ITEMS = {"long": LONG, "short": SHORT, "tiny": TINY, "stock": STOCK}


@pytest.fixture(scope="module")
def index():
    return ItemIndex.build(list(ITEMS.values()), list(ITEMS), ItemRule())


def hits(index, text, **how):
    return [(item, layer) for _, item, layer, _ in index.query([text], **how).rows()]


def test_each_layer_finds_its_kind_of_copy(index):
    assert ("long", "ngram") in hits(index, f"Question: {LONG}")
    assert hits(index, SHORT) == [("short", "whole"), ("short", "masked")]
    assert ("short", "whole") in hits(
        index, r"Please: what is the greatest common factor of \(\dfrac{12}2\) and $20$? Thanks."
    )
    assert hits(index, "expand (x + 5)^2") == [("tiny", "whole")]
    assert hits(index, LONG.replace("12", "13").replace("40", "90")) == [("long", "masked")]
    assert hits(index, SHORT.replace("20", "35")) == [("short", "masked")]


def test_a_rewording_with_the_same_numbers_is_near(index):
    reworded = (
        LONG.replace("A farmer", "Mary")
        .replace("the farmer", "she")
        .replace("How many good apples", "What number of good apples")
    )
    assert hits(index, reworded, masked=False, near=0.65) == [("long", "near")]
    apart = (
        "How many good apples are sold in 2 days? On Monday a farmer brings 12 crates of apples to market, on Tuesday 15; every crate "
        "holds 40 apples and 3 of those are rotten."
    )
    assert hits(index, apart, near=0.5) == [], "it holds a number more"
    found = index.query([apart.replace("in 2 days", "on both days")], near=0.5)
    assert found["layer"].to_list() == ["near"]
    assert 0.5 <= float(found["evidence"][0].partition(":")[0]) < 1


def test_harmless_texts_are_spared(index):
    for text in (
        "What is 5 + 9?",
        "Expand $(x+6)^2$",
        "What is the sum of 3 and 4?",
        "",
        "?!",
    ):
        assert hits(index, text, near=0.65) == []


def test_the_evidence_is_what_the_text_says(index):
    found = index.query(["nothing", f"Note: {SHORT} (Hint: none)"])
    assert found["query"].to_list() == [1, 1]
    assert found["evidence"][0].startswith("What is the greatest common factor of")
    assert found["evidence"][0].endswith("20")


def test_items_of_few_words_besides_numbers_are_not_masked():
    assert [spoken(text) for text in (STOCK, "Find 2.4 / 6.", "# + #")] == [2, 1, 0]
    index = ItemIndex.build([STOCK], ["stock"], ItemRule(least=2))
    assert hits(index, "What is 8 + 9?") == [("stock", "masked")]


def test_a_file_gives_the_same_hits_and_holds_no_text(index, tmp_path):
    index.save(tmp_path / "a.npz")
    again = ItemIndex.load(tmp_path / "a.npz")
    texts = [LONG, SHORT, TINY, STOCK, SHORT.replace("20", "35"), "other"]
    assert again.query(texts, near=0.6).equals(index.query(texts, near=0.6))
    again.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        held = b"".join(file[name].tobytes() for name in file.files)
    assert b"farmer" not in held
    assert b"greatest" not in held


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "lost", "mixed", "pickle"])
def test_a_damaged_file_is_one_clear_line(index, tmp_path, damage):
    path = tmp_path / "x.npz"
    index.save(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage in ("empty", "text"):
        path.write_bytes(b"" if damage == "empty" else b"no index")
    else:
        with np.load(path) as file:
            columns = {name: file[name] for name in file.files}
        if damage == "lost":
            del columns["masked.hash"]
        elif damage == "mixed":
            columns["point"] = columns["point"][:1]
        else:
            columns["point"] = np.array([{"a": 1}], dtype=object)
        np.savez(path, **columns)
    with pytest.raises(BadInput, match=r"x\.npz: not an item index"):
        ItemIndex.load(path)


@pytest.mark.parametrize("texts", [[], [""], ["?!", "..."]])
def test_a_benchmark_without_a_word_is_refused(texts):
    with pytest.raises(BadInput, match="none of"):
        ItemIndex.build(texts, [str(k) for k in range(len(texts))], ItemRule())


def test_items_of_one_word_hit_equal_texts_only():
    index = ItemIndex.build(["Simplify", "x"], ["a", "b"], ItemRule())
    assert hits(index, "simplify!", near=0.9) == [("a", "whole")]
    assert hits(index, "simplify x", near=0.9) == []


def test_a_row_of_a_megabyte_is_looked_at(index):
    filler = "the quick brown fox jumps over a lazy dog near 7 trees. " * 18_000
    found = index.query([filler + LONG], masked=False, near=0.65)
    assert set(found["layer"]) == {"ngram"}
    assert found["evidence"].str.len_chars().max() <= 300


@pytest.mark.parametrize("fields", [{"n": 0}, {"least": 0}])
def test_a_rule_that_finds_everything_is_refused(fields):
    with pytest.raises(BadInput, match="at least 1"):
        ItemRule(**fields)


def test_layers_go_from_sure_to_unsure():
    assert LAYERS == ("ngram", "whole", "masked", "near")
