"""One text under many prompts is counted, whatever its case and blanks, and dropped when it is long."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.ledger.decide import run_decider
from skyloom.reward.annotate import repeats
from skyloom.reward.decide import repeats as decider

TEXT = st.sampled_from(["a b", "A  b", "c", "d"])


def frame_of(pairs):
    rows = [{"prompt": [{"role": "user", "content": p}], "chosen": c, "rejected": r} for p, c, r in pairs]
    return pl.DataFrame(rows)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=12))
def test_counts_are_those_of_plain_sets(pairs):
    told = repeats.fit(frame_of(pairs), repeats.Config())

    def fold(text):
        return " ".join(text.casefold().split())

    def prompts(text):
        return len({fold(p) for p, *sides in pairs if fold(text) in map(fold, sides)})

    assert told["repeats.chosen"].to_list() == [prompts(c) for _, c, _ in pairs]
    assert told["repeats.rejected"].to_list() == [prompts(r) for _, _, r in pairs]


def test_a_null_model_goes_and_short_refusals_stay():
    noise, refusal = "x7 " * 100, "I cannot help with that."
    pairs = [(f"question {k}", noise, f"answer {k}") for k in range(30)]
    pairs += [(f"request {k}", refusal, f"reply {k}") for k in range(30)]
    told = repeats.fit(frame_of(pairs), repeats.Config())
    ledger = told.with_columns(pl.int_range(60).alias("row"), pl.lit("s").alias("source"))
    verdict = run_decider(decider.Config(), ledger.select, pl.Series([True] * 60).to_numpy())
    assert verdict.reason_N.cast(pl.String).to_list() == ["repeated_response"] * 30 + [None] * 30
