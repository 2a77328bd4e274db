"""Synthesis through a real server that fails: the same rows whatever happens on the way, and a killed run resumes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from skyloom.core import store
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.ledger.rows import RowWriter, collect, read_edges, read_sources, read_truth, row_parts, show_row
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.records import from_row
from skyloom.mathqa.augment import answer_augment, rephrase
from skyloom.mathqa.records import Problem
from skyloom.mathqa.settings import PassConfig, jobs_of
from skyloom.mathqa.sources import world
from skyloom.mathqa.synthesize import LOG, Pass, synthesize
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
        reports = synthesize(plan(seeds), config, out)
        return reports, dict(server.counts)


def plan(seeds: Path, *augment, **fields) -> Pass:
    return Pass(config=PassConfig(augment=augment or AUGMENT, **fields), folders=(seeds,), judge=world.judge_instance)


@pytest.fixture(scope="module")
def calm(seeds, tmp_path_factory):
    out = tmp_path_factory.mktemp("calm")
    return out, *make(seeds, out, Faults())


def test_rows_carry_lineage_votes_and_truth(seeds, calm):
    out, reports, _ = calm
    assert [report.label for report in reports] == ["rephrase", "answer_augment"]
    assert [report.rows + report.rejected for report in reports] == [80, 40]
    assert all(report.rejected > 0 for report in reports)
    assert set(reports[0].reject_reasons) <= {"rephrase: unclosed", "rephrase: lost_numbers", "answer: unclosed"}
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
    assert store.hash_tree(tmp_path, lambda name: name in ("timing.json", LOG)) == store.hash_tree(
        out, lambda name: name in ("timing.json", LOG)
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
    assert store.hash_tree(tmp_path, lambda name: name in ("timing.json", LOG)) == store.hash_tree(
        out, lambda name: name in ("timing.json", LOG)
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
        synthesize(Pass(config=PassConfig(), folders=(seeds,)), config, tmp_path)
    with pytest.raises(BadInput, match="stands twice"):
        synthesize(plan(seeds, rephrase.Config(), rephrase.Config(samples=3)), config, tmp_path)


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
        pytest.raises(FailedWork, match="no reply could be used: answer: unclosed 40, rephrase: unclosed 80"),
    ):
        synthesize(plan(seeds), TeacherConfig(url=server.url), tmp_path)
    assert (tmp_path / "rejects.jsonl").read_text().count("\n") == 120


def test_an_edited_seed_asks_its_own_calls_only(seeds, calm, tmp_path):
    """Editing one seed of forty: its three jobs are asked, and nothing else."""
    edited = tmp_path / "edited"
    problems = [from_row(Problem, row) for part in row_parts([seeds]) for row in pl.read_parquet(part).to_dicts()]
    writer = RowWriter(edited, Problem, "world", 1, 0, "CC0")
    for k, problem in enumerate(problems):
        writer.add(replace(problem, question="Solve x + 3 = 8 for x.", answer="5") if k == 17 else problem)
    writer.close()
    shutil.copy(seeds / "sources.json", edited)
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(calm[0] / LOG, out)
    _, counts = make(edited, out, Faults())
    assert 1 <= counts["calls"] <= 5


def test_rows_of_a_pass_are_shared_out_and_spread_evenly(seeds, tmp_path):
    half = PassConfig(augment=(rephrase.Config(share=3.0), answer_augment.Config()), rows=50)
    assert jobs_of(half, 40) == [38, 12]
    with SimulatedTeacher(Responder(), Faults(), seed=1) as server:
        reports = synthesize(Pass(config=half, folders=(seeds,)), TeacherConfig(url=server.url), tmp_path)
    assert [report.rows + report.rejected for report in reports] == [38, 12]
    rows = pl.concat([pl.read_parquet(part) for part in row_parts([tmp_path])])
    made = rows.filter(operator="answer_augment")["seed"].to_list()
    assert len(set(made)) == 12
    assert {int(each.rpartition(":")[2]) // 10 for each in made} == {0, 1, 2, 3}, "not the first twelve seeds"


def test_a_later_pass_builds_on_an_earlier_one_and_keeps_the_root(seeds, calm, tmp_path):
    earlier = calm[0]
    rows = pl.concat([pl.read_parquet(part) for part in row_parts([earlier])])
    chosen = frozenset(rows.filter(operator="rephrase")["row"].to_list()[:10])
    config = PassConfig(name="more", stage=2, augment=(rephrase.Config(),))
    later = Pass(config=config, folders=(earlier,), chosen=chosen, before=(seeds, earlier), judge=world.judge_instance)
    with SimulatedTeacher(Responder(), Faults(), seed=1) as server:
        (report,) = synthesize(later, TeacherConfig(url=server.url), tmp_path)
    assert (report.label, report.rows) == ("more.rephrase", 10)
    made = pl.concat([pl.read_parquet(part) for part in row_parts([tmp_path])])
    parents = rows.filter(pl.col("row").is_in(list(chosen)))
    assert set(read_edges([tmp_path])["parent"]) == chosen
    assert made["seed"].to_list() == parents["seed"].to_list()
    assert made["seed_question"].to_list() == parents["seed_question"].to_list()
    assert set(made["stage"]) == {2}
    assert set(made["made_in"]) == {"more"}
    numbers = {report.number for folder in (seeds, earlier, tmp_path) for report in read_sources([folder])}
    assert len(numbers) == 4


def test_a_row_knows_its_requests_and_what_they_cost(calm, seeds, tmp_path):
    make(seeds, tmp_path, Faults(), price_in=2.0, price_out=8.0)
    rows = pl.concat([pl.read_parquet(part) for part in row_parts([tmp_path])])
    with RequestLog(tmp_path / LOG) as log:
        for row in rows.iter_rows(named=True):
            replies = [log.get(bytes.fromhex(key)) for key in row["requests"]]
            assert len(replies) == (2 if row["operator"] == "rephrase" else 1)
            assert row["prompt_tokens"] == sum(reply.prompt_tokens for reply in replies)
            assert row["cost"] == pytest.approx((2 * row["prompt_tokens"] + 8 * row["completion_tokens"]) / 1e6)
    cost = json.loads((tmp_path / "teacher.json").read_text())
    assert cost["money"] == pytest.approx(sum(each["money"] for each in cost["by"].values()))
    assert {label: each["rows"] for label, each in cost["by"].items()} == dict(
        rows.group_by("operator").agg(pl.len()).iter_rows()
    )
