"""Real problems with their gold answers are not called invalid by the rules: below 1 % of GSM8K train and MATH train."""

import polars as pl
import pytest

from skyloom.core.ledger.rows import collect, row_parts
from skyloom.mathqa.annotate import validity
from skyloom.mathqa.decide import validity as drop
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources import gsm8k, math_hendrycks

UNSEEN = {"votes": pl.List(pl.String), "backward.asked": pl.Int64, "backward.right": pl.Int64}
FILES = {
    "gsm8k": (gsm8k.Config, "math/gsm8k/train.jsonl", 7_473),
    "math": (math_hendrycks.Config, "math/MATH/train.jsonl", 7_498),
}


@pytest.mark.parametrize("name", FILES)
def test_real_problems_pass(name, real_data, tmp_path):
    make, path, rows = FILES[name]
    collect([make(path=real_data / path)], Problem, tmp_path)
    frame = pl.concat([pl.read_parquet(part) for part in row_parts([tmp_path])]).rename({"solution": "response"})
    assert frame.height == rows
    frame = frame.with_columns(pl.lit(None, kind).alias(column) for column, kind in UNSEEN.items())
    got = validity.annotate(frame.select(validity.READS), validity.Config())
    alarms = got.filter(pl.col("validity.kind").is_not_null())
    assert alarms.height < 0.01 * rows, alarms["validity.evidence"].to_list()[:20]
    assert drop.decide(got, drop.Config()).is_not_null().sum() <= alarms.height
