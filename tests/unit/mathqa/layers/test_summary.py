"""The run's page: rows by level before and after, and the reliability of P(correct) against truth or gold."""

import json

import pytest

from skyloom.core import store
from skyloom.core.ledger.curate import curate
from skyloom.core.ledger.rows import collect, read_truth
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.mathqa import summary
from skyloom.mathqa.annotate import backward, correct, substitution, validity, verify
from skyloom.mathqa.augment import answer_augment, evol
from skyloom.mathqa.decide import correct as keep
from skyloom.mathqa.decide import validity as drop_ill_posed
from skyloom.mathqa.records import Problem
from skyloom.mathqa.settings import PassConfig
from skyloom.mathqa.sources import world
from skyloom.mathqa.synthesize import Pass, synthesize
from skyloom.mathqa.validity import KINDS
from skyloom.mathqa.world.responder import Responder

CHAIN = (verify.Config(), backward.Config(), substitution.Config(), correct.Config(), keep.Config(min_p=0.9, floor=0.6))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    collect([world.Config(rows=50, seed=3)], Problem, root / "seeds")
    augment = (answer_augment.Config(samples=3), evol.Config(rounds=1, answers=2))
    plan = Pass(config=PassConfig(augment=augment), folders=(root / "seeds",), judge=world.judge_instance, seed=3)
    with SimulatedTeacher(Responder(wrong=0.3), Faults(), seed=3) as server:
        synthesize(plan, TeacherConfig(url=server.url, in_flight=32), root / "rows")
    return root


def test_questions_that_are_none_are_set_against_what_validity_found(tmp_path):
    collect([world.Config(rows=40, seed=5)], Problem, tmp_path / "seeds")
    plan = PassConfig(augment=(evol.Config(rounds=1, answers=4),))
    told = Pass(config=plan, folders=(tmp_path / "seeds",), judge=world.judge_instance, seed=5)
    responder = Responder(missing=0.1, several=0.1, contradictory=0.1, impossible=0.1, bluff=1.0)
    with SimulatedTeacher(responder, Faults(), seed=5) as server:
        synthesize(told, TeacherConfig(url=server.url, in_flight=32), tmp_path / "rows")
    chain = (backward.Config(), validity.Config(), drop_ill_posed.Config())
    curate((tmp_path / "rows",), chain, tmp_path / "kept", tmp_path / "cache", defects={"ill_posed": KINDS})
    truth = read_truth([tmp_path / "rows"])
    (counted,) = json.loads((tmp_path / "kept" / "truth.json").read_text())
    assert counted["planted"] == int(truth["truth.ill_posed"].sum()) > 20
    assert counted["hits"] > 0.5 * counted["planted"]
    assert counted["hits"] > 0.8 * counted["found"]


def folders_of(root, out, chain=CHAIN):
    curate((root / "rows",), chain, out, root / "cache")
    return summary.Folders(root / "seeds", (root / "rows",), out, out / "no-model")


def by_title(found):
    return {each.title: each for each in found}


def test_p_is_set_against_the_truth_of_a_world(made, tmp_path):
    folders = folders_of(made, tmp_path / "kept")
    tables, plots = by_title(summary.tables(folders)), by_title(summary.plots(folders))
    levels = tables["Kept by level"]
    for column in (3, 4):  # before, after
        assert sum(row[column] for row in levels.rows) == pytest.approx(1)
    assert all(row[2].value >= 0.6 - 1e-9 for row in levels.rows)
    told = tables["Calibration of P(correct)"]
    assert [row[0] for row in told.rows] == ["all rows", "rows without a gold answer"]
    whole, new = told.rows
    assert whole[1] > new[1] > 0
    assert abs(whole[2] - whole[3].value) < 0.1  # mean P and share right
    names = [each.name for each in plots["Reliability of P(correct)"].series]
    assert names == ["all rows", "rows without a gold answer", "calibrated"]
    before, after = plots["Rows by level"].series
    assert sum(before.y) == pytest.approx(1) == sum(after.y)


def test_without_truth_it_is_set_against_the_golds_that_p_did_not_hear(made, tmp_path):
    folders = folders_of(made, tmp_path / "kept")
    for file in (made / "rows" / "truth").glob("*"):
        file.rename(file.with_suffix(".away"))
    try:
        (row,) = by_title(summary.tables(folders))["Calibration of P(correct)"].rows
        assert row[0] == "rows with a gold answer, which P did not hear"
    finally:
        for file in (made / "rows" / "truth").glob("*.away"):
            file.rename(file.with_suffix(".parquet"))


def test_a_run_that_told_no_p_has_neither_table_nor_plot(made, tmp_path):
    folders = folders_of(made, tmp_path / "kept", (verify.Config(),))
    assert "Calibration of P(correct)" not in by_title(summary.tables(folders))
    assert [each.title for each in summary.plots(folders)] == ["Rows by level"]
    assert store.read_bytes(folders.kept / "waterfall.json")
