"""Contamination: every place of a pair is searched, and the evidence says where."""

from collections import defaultdict

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.text.ngrams import NgramIndex, Rule
from skyloom.reward.annotate import contamination

ITEM = "Write about the sea for Mara and use the word anchor."


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "index.npz"
    NgramIndex.build([ITEM, "Is it 7 or 8, Mara?"], Rule(n=8, contain=6), ["item-1", "short"]).save(file)
    return contamination.Config(index=file)


def rows(*pairs):
    prompts = ([{"role": "user", "content": prompt}] for prompt, _ in pairs)
    return pl.DataFrame(
        {"prompt": list(prompts), "chosen": [chosen for _, chosen in pairs], "rejected": ["No."] * len(pairs)}
    )


def test_hits_are_placed_and_named(config):
    found = contamination.annotate(
        rows(
            ("Hello. write about the SEA for Mara, and use the word anchor!", "Yes."),
            ("Write about the sea for Dovan.", "You said: for Mara and use the word anchor."),
            ("Hi", "about the sea for Mara and use the: that was asked."),
            ("Hello, is it 7 or 8 Mara", "ok"),
        ),
        config,
    )
    assert found["contamination.prompt"].to_list() == [11, 0, 0, 6]
    assert found["contamination.chosen"].to_list() == [0, 0, 8, 0]
    assert found["contamination.evidence"].to_list() == [
        ["prompt[0] 7-60, 11 words, ngram: item-1"],
        [],
        ["chosen 0-34, 8 words, ngram: item-1"],
        ["prompt[0] 7-24, 6 words, contained: short"],
    ]


def test_no_match_runs_across_two_turns(config):
    frame = rows(("x", "y")).with_columns(
        pl.Series("prompt", [[{"role": "user", "content": ITEM[:30]}, {"role": "assistant", "content": ITEM[30:]}]])
    )
    assert contamination.annotate(frame, config)["contamination.prompt"].to_list() == [0]


def plain(rows, index):
    """Longest match of each side and all the evidence, text by text."""
    for row in rows:
        words, evidence = defaultdict(int), []
        places = [("prompt", f"prompt[{k}]", turn["content"]) for k, turn in enumerate(row["prompt"])]
        for side, name, text in [
            *places,
            ("chosen", "chosen", row["chosen"]),
            ("rejected", "rejected", row["rejected"]),
        ]:
            for _, item, rule, start, stop, count in index.query([text]).iter_rows():
                words[side] = max(words[side], count)
                evidence.append(f"{name} {start}-{stop}, {count} words, {rule}: {item}")
        yield (*(words[side] for side in contamination.SIDES), evidence[: contamination.MOST_EVIDENCE])


TEXTS = st.lists(st.sampled_from(["a", "B", "c,", "12", "é"]), max_size=12).map(" ".join)
TURNS = st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": TEXTS}), min_size=1, max_size=3)
ROWS = st.lists(st.fixed_dictionaries({"prompt": TURNS, "chosen": TEXTS, "rejected": TEXTS}), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, max_size=4), ROWS)
def test_columns_are_those_of_searching_text_by_text(tmp_path_factory, items, rows):
    file = tmp_path_factory.mktemp("index") / "index.npz"
    index = NgramIndex.build(items, Rule(n=3, contain=2))
    index.save(file)
    found = contamination.annotate(pl.DataFrame(rows), contamination.Config(index=file))
    assert found.rows() == list(plain(rows, index))
    assert dict(found.schema) == contamination.WRITES


def test_without_an_index_nothing_is_called_clean():
    found = contamination.annotate(rows(("x", "y")), contamination.Config())
    assert found["contamination.prompt"].to_list() == [None]
    assert contamination.inputs(contamination.Config()) == ()
