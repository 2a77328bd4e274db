"""Seed sets as published: counts through every adapter that has its data here, and what the question rules say of them."""

import json
from collections import Counter

import polars as pl
import pyarrow.parquet as pq
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.ledger.rows import collect, row_parts
from skyloom.mathqa.annotate import question_kind
from skyloom.mathqa.elimination import Limits, fault
from skyloom.mathqa.kinds import KINDS
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources import dapo, gsm8k, jsonl, math_hendrycks
from skyloom.mathqa.verify.grading import grade


def read(config, out):
    (report,) = collect([config], Problem, out)
    return report, pl.concat([pl.read_parquet(part) for part in row_parts([out])])


def shares(frame):
    got = question_kind.annotate(frame.select("question", "answer"), question_kind.Config())
    return {name: int(got[f"kind.{name}"].sum()) for name in KINDS}


@pytest.mark.parametrize(("name", "field"), [("gsm8k", "question"), ("MATH", "problem")])
def test_real_problems_are_rarely_eliminated(real_data, name, field):
    """The rules that need no parent, on problems that stand: what they refuse here they refuse wrongly."""
    lines = (real_data / f"math/{name}/train.jsonl").read_text().splitlines()
    told = Counter(fault(json.loads(line)[field], "What is it?", limits=Limits(slack=10_000)) for line in lines)
    assert told[None] > 0.995 * len(lines), told


def test_math_train_and_test_by_kind(real_data, tmp_path):
    for name, rows, rejected in (("train", 7_498, 2), ("test", 5_000, 0)):
        path = real_data / f"math/MATH/{name}.jsonl"
        report, frame = read(math_hendrycks.Config(path=path, as_train=True), tmp_path / name)
        assert (report.rows, report.rejected, report.split) == (rows, rejected, name)
        assert frame["level"].null_count() == (2 if name == "train" else 0), "two train rows say Level ?"
        found = shares(frame)
        assert found["proof"] + found["unanswerable"] + found["broken_latex"] < 0.01 * rows, found
        assert sum(found.values()) < 0.03 * rows, found


def test_a_math_test_file_under_another_name_is_known_by_its_ids(real_data, tmp_path):
    copy = tmp_path / "problems.jsonl"
    copy.write_bytes((real_data / "math/MATH/test.jsonl").read_bytes())
    with pytest.raises(BadInput, match="test split"):
        collect([math_hendrycks.Config(path=copy)], Problem, tmp_path / "out")


def test_gsm8k_by_its_adapter_and_by_the_generic_one(real_data, tmp_path):
    path = real_data / "math/gsm8k/train.jsonl"
    report, frame = read(gsm8k.Config(path=path), tmp_path / "own")
    generic, other = read(jsonl.Config(path=path), tmp_path / "generic")
    assert (report.rows, generic.rows, generic.rejected) == (7_473, 7_473, 0)
    same = [a.replace(",", "") == b.replace(",", "") for a, b in zip(frame["answer"], other["answer"], strict=True)]
    assert sum(same) == 7_473
    found = shares(frame)
    assert found["proof"] + found["choice"] + found["unanswerable"] + found["broken_latex"] < 15, found


def test_dapo_holds_16919_prompts_eight_with_two_answers(real_data, tmp_path, caplog):
    report, frame = read(dapo.Config(path=real_data / "math/dapo17k/train.parquet"), tmp_path)
    assert "16919 different prompts" in caplog.text
    assert report.reject_reasons == {f"reward_model.ground_truth: {dapo.CONFLICT}": 8}
    assert (report.rows, report.split) == (16_911, "train")
    assert frame["question"].n_unique() == frame.height
    assert all(answer.lstrip("-").isdigit() for answer in frame["answer"])
    assert not frame["question"].str.contains("step by step. The last line|on its own line after").any()
    found = shares(frame)
    assert found["proof"] + found["broken_latex"] < 0.02 * frame.height, found


def test_math500_is_a_test_file_whose_answers_are_the_boxes(real_data, tmp_path):
    path = real_data / "math/MATH500/test.parquet"
    assert pq.read_metadata(path).num_rows == 500
    report, frame = read(dapo.Config(path=path, as_train=True), tmp_path)
    assert (report.rows, report.rejected, report.split) == (500, 0, "test")
    ids = set(json.loads((real_data / "math/MATH/math500_ids.json").read_text()))
    lines = (real_data / "math/MATH/test.jsonl").read_text(encoding="utf-8").splitlines()
    boxed = {
        raw["problem"].strip(): math_hendrycks.to_record(raw).answer
        for raw in map(json.loads, lines)
        if raw["id"] in ids
    }
    joined = [(boxed[q], a) for q, a in frame.select("question", "answer").iter_rows() if q in boxed]
    assert len(joined) >= 495, "the baked instruction is stripped"
    assert sum(grade(box, stated).equal for box, stated in joined) >= 0.98 * len(joined)


def test_aqua_is_multiple_choice_to_the_last_row(real_data, tmp_path):
    path = real_data / "math/extra_eval/aqua/test.jsonl"
    report, frame = read(jsonl.Config(path=path, as_train=True), tmp_path)
    assert (report.rows, report.rejected, report.split) == (254, 0, "test")
    assert Counter(frame["answer"]).keys() <= set("ABCDE")
    assert shares(frame)["choice"] >= 252


def test_other_sets_are_read_by_the_generic_adapter(real_data, tmp_path):
    for name, rows in (("aime24", 30), ("amc23", 40), ("minerva_math", 272)):
        report, _ = read(
            jsonl.Config(path=real_data / f"math/extra_eval/{name}/test.jsonl", as_train=True), tmp_path / name
        )
        assert (report.rows + report.rejected, report.split) == (rows, "test")
        assert report.rejected <= 2
