"""GSM8K and MATH as published: counts, answers that grade themselves, contamination that is known to be there."""

import json
from collections import Counter

import polars as pl

from skyloom.core.ledger.rows import collect, row_parts
from skyloom.mathqa.annotate import contamination
from skyloom.mathqa.benchmark import index_of, nulls
from skyloom.mathqa.evals import gsm8k as gsm8k_test
from skyloom.mathqa.evals import math as math_test
from skyloom.mathqa.reading import read_predictions
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources import gsm8k, math_hendrycks
from skyloom.mathqa.verify.grading import grade


def test_gsm8k_is_read_whole_and_clean(real_data, tmp_path):
    (report,) = collect([gsm8k.Config(path=real_data / "math/gsm8k/train.jsonl")], Problem, tmp_path)
    assert (report.rows, report.rejected, report.split) == (7_473, 0, "train")
    items = gsm8k_test.items(gsm8k_test.Config(path=real_data / "math/gsm8k/test.jsonl"))
    assert len(items) == 1_319
    assert all(grade(item.answer, f"The answer is {item.answer}").equal for item in items)
    assert not any("<<" in raw.solution for raw in map(gsm8k.to_record, _rows(real_data / "math/gsm8k/test.jsonl")))


def test_math_is_read_whole_by_level(real_data, tmp_path):
    (report,) = collect([math_hendrycks.Config(path=real_data / "math/MATH/train.jsonl")], Problem, tmp_path)
    assert (report.rows, report.rejected, report.split) == (7_498, 2, "train"), "two solutions end in an empty box"
    items = math_test.items(math_test.Config(path=real_data / "math/MATH/test.jsonl"))
    assert len(items) == 5_000
    assert Counter(item.level for item in items) == {1: 437, 2: 894, 3: 1131, 4: 1214, 5: 1324}
    frame = pl.concat([pl.read_parquet(part) for part in row_parts([tmp_path])])
    assert frame["level"].null_count() == 2, "two rows say Level ?"


def test_stored_outputs_are_graded_as_their_authors_did(real_data):
    items = gsm8k_test.items(gsm8k_test.Config(path=real_data / "math/gsm8k/test.jsonl", limit=400))
    path = real_data / "math/samples/gsm8k_solutions/gpt4.json"
    outputs = read_predictions(path, items, "model_prediction")
    theirs = [str(row["result"]) == "True" for row in json.loads(path.read_text())[:400]]
    ours = [grade(item.answer, output).equal for item, output in zip(items, outputs, strict=True)]
    assert sum(mine == their for mine, their in zip(ours, theirs, strict=True)) / 400 > 0.97


def test_null_baselines_of_gsm8k_are_low(real_data):
    told = nulls(gsm8k_test.items(gsm8k_test.Config(path=real_data / "math/gsm8k/test.jsonl")))
    assert 0.01 < told[0].value < 0.1
    assert {each.n for each in told} == {1_319}


def test_math_train_and_test_share_the_two_known_problems(real_data, tmp_path):
    subjects = ("Algebra", "Precalculus")
    items = math_test.items(math_test.Config(path=real_data / "math/MATH/test.jsonl"))
    known = {"test/algebra/636", "test/precalculus/24307"}
    ids = {f"math/{k}" for k, row in enumerate(_rows(real_data / "math/MATH/test.jsonl")) if row["id"] in known}
    train = [row["problem"] for row in _rows(real_data / "math/MATH/train.jsonl")]
    index_of([item for item in items if item.subject in subjects], 30).save(tmp_path / "index.npz")
    frame = pl.DataFrame({"question": train, "response": [""] * len(train), "seed_question": train})
    got = contamination.annotate(frame, contamination.Config(index=tmp_path / "index.npz"))
    hit = got.filter(pl.col("contamination.hits") > 0)
    assert ids <= set(hit["contamination.item"])
    assert 2 <= hit.height < 200


def _rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
