"""Exact duplicates against a plain rule: hash the folded turns and the sorted sides."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.reward.annotate import exact_duplicates

TEXTS = st.text(st.sampled_from("aAß \t\x1c.é\u00a0"), max_size=3)
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXTS}),
    min_size=1,
    max_size=2,
)
ROWS = st.lists(st.fixed_dictionaries({"prompt": TURNS, "chosen": TEXTS, "rejected": TEXTS}), max_size=40)


def folded(text):
    return " ".join(text.casefold().split())


def plain(rows):
    """(cluster, contradicts) of each row."""
    keys = []
    for row in rows:
        sides = [folded(row["chosen"]), folded(row["rejected"])]
        turns = tuple((turn["role"], folded(turn["content"])) for turn in row["prompt"])
        keys.append(((turns, *sorted(sides)), sides[0] <= sides[1]))
    pairs = [pair for pair, _ in keys]
    return [(pairs.index(pair), len({order for other, order in keys if other == pair}) > 1) for pair in pairs]


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_clusters_are_those_of_the_plain_rule(rows):
    turn = pl.Struct({"role": pl.String, "content": pl.String})
    schema = {"prompt": pl.List(turn), "chosen": pl.String, "rejected": pl.String}
    found = exact_duplicates.fit(pl.DataFrame(rows, schema=schema), exact_duplicates.Config())
    assert found.rows() == plain(rows)
    assert dict(found.schema) == exact_duplicates.WRITES


def test_a_role_is_part_of_the_turn():
    rows = [
        {"prompt": [{"role": role, "content": content}], "chosen": "a", "rejected": "b"}
        for role, content in (("user", "hi"), ("system", "hi"), ("user", "Hi "))
    ]
    found = exact_duplicates.fit(pl.DataFrame(rows), exact_duplicates.Config())
    assert found["duplicates.cluster"].to_list() == [0, 1, 0]
