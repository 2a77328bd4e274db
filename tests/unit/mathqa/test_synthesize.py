"""Synthesis through a real server that fails: the same rows whatever happens on the way, and a killed run resumes."""

import json
from pathlib import Path

import polars as pl
import pytest

from skyloom.core import store
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.ledger.rows import collect, read_edges, read_sources, read_truth, row_parts, show_row
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.mathqa.augment import answer_augment, rephrase
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources import world
from skyloom.mathqa.synthesize import LOG, synthesize
from skyloom.mathqa.world.responder import Responder

AUGMENT = (rephrase.Config(samples=2), answer_augment.Config())
RESPONDER = Responder(wrong=0.2, careless=0.1)
FAULTS = Faults(rate_429=0.04, drop_rate=0.04, torn_rate=0.04, error_500_rate=0.02)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("seeds")
    collect([world.Config(rows=40, leak=0.2)], Problem, out)
    return out


def make(seeds: Path, out: Path, faults: Faults, responder=RESPONDER, **fields):
    with SimulatedTeacher(responder, faults, seed=1) as server:
        config = TeacherConfig(url=server.url, in_flight=16, **fields)
        reports = synthesize((seeds,), AUGMENT, config, out, judge=world.judge_instance)
        return reports, dict(server.counts)


@pytest.fixture(scope="module")
def calm(seeds, tmp_path_factory):
    out = tmp_path_factory.mktemp("calm")
    return out, *make(seeds, out, Faults())


def test_rows_carry_lineage_votes_and_truth(seeds, calm):
    out, reports, _ = calm
    assert [report.label for report in reports] == ["rephrase", "answer_augment"]
    assert [report.rows + report.rejected for report in reports] == [80, 40]
    assert all(report.rejected > 0 for report in reports)
    assert set(reports[0].reject_reasons) <= {"rephrase: unclosed", "answer: unclosed"}
    rows = pl.concat([pl.read_parquet(part) for part in row_parts([out])])
    edges, truth = read_edges([out]), read_truth([out])
    assert truth is not None
    assert edges["child"].to_list() == rows["row"].to_list() == truth["row"].to_list()
    sources = read_sources([seeds])
    assert [show_row(parent, sources) for parent in edges["parent"]] == rows["seed"].to_list()
    first = rows.filter(pl.col("operator") == "answer_augment").row(0, named=True)
    assert first["question"] == first["seed_question"]
    assert all(answer in votes for answer, votes in zip(rows["answer"], rows["votes"], strict=True))
    wrong = truth.filter(pl.col("truth.wrong"))
    assert 5 < wrong.height < 45
    assert not any("wrong" in name or "leak" in name for name in rows.columns)


def test_faults_change_nothing_but_the_number_of_calls(seeds, calm, tmp_path):
    out, _, counts = calm
    _, stormy = make(seeds, tmp_path, FAULTS)
    assert store.hash_tree(tmp_path, lambda name: name == "timing.json") == store.hash_tree(
        out, lambda name: name == "timing.json"
    )
    assert stormy["calls"] > counts["calls"]
    assert min(stormy[kind] for kind in ("rate_429", "drop_rate", "torn_rate", "error_500_rate")) > 0
    faults = json.loads((tmp_path / "timing.json").read_text())["faults"]
    assert sum(faults.values()) == stormy["calls"] - stormy["answered"] + stormy["torn_rate"]


def test_a_run_that_was_cut_goes_on_from_its_log(seeds, calm, tmp_path):
    out, _, counts = calm
    with pytest.raises(FailedWork, match="budget"):
        make(seeds, tmp_path, Faults(), price_in=1e6, budget=2_000.0)
    assert (tmp_path / LOG).exists()
    _, rest = make(seeds, tmp_path, Faults())
    assert 0 < rest["calls"] < counts["calls"]
    assert store.hash_tree(tmp_path, lambda name: name == "timing.json") == store.hash_tree(
        out, lambda name: name == "timing.json"
    )
    _, again = make(seeds, tmp_path, Faults())
    assert again.get("calls", 0) == 0


def test_a_reply_cut_at_its_longest_length_is_refused_by_name(seeds, tmp_path):
    reports, _ = make(seeds, tmp_path, Faults(), responder=Responder(), max_tokens=8)
    assert {reason for report in reports for reason in report.reject_reasons} <= {
        "rephrase: cut_off",
        "answer: cut_off",
    }
    assert sum(report.rejected for report in reports) > 60


def test_no_augmenter_or_the_same_one_twice_is_refused(seeds, tmp_path):
    config = TeacherConfig(url="http://127.0.0.1:9/v1")
    with pytest.raises(BadInput, match="at least one"):
        synthesize((seeds,), (), config, tmp_path)
    with pytest.raises(BadInput, match="stands twice"):
        synthesize((seeds,), (rephrase.Config(), rephrase.Config(samples=3)), config, tmp_path)


def test_costs_count_each_request_once_and_the_budget_holds_over_all_rounds(calm, seeds, tmp_path):
    cost = json.loads((calm[0] / "teacher.json").read_text())
    assert cost["replies"] == calm[2]["answered"]
    _, counts = make(
        seeds, tmp_path / "rich", Faults(), price_in=1e6, price_out=0.0, budget=cost["prompt_tokens"] * 3.0
    )
    assert counts["answered"] == cost["replies"]
    assert json.loads((tmp_path / "rich" / "teacher.json").read_text())["money"] == cost["prompt_tokens"]
    with pytest.raises(FailedWork, match="budget"):
        make(seeds, tmp_path / "poor", Faults(), price_in=1e6, price_out=0.0, budget=cost["prompt_tokens"] * 0.8)


def test_a_teacher_that_understands_nothing_is_failed_work(seeds, tmp_path):
    with (
        SimulatedTeacher(lambda *_: "Sorry?", Faults(), seed=1) as server,
        pytest.raises(FailedWork, match="all 120 rows were refused: answer: unclosed 40, rephrase: unclosed 80"),
    ):
        synthesize((seeds,), AUGMENT, TeacherConfig(url=server.url), tmp_path)
    assert (tmp_path / "rejects.jsonl").read_text().count("\n") == 120
