"""Selecting seeds: the core set of living rows, measured difficulty from the rows already made, and what counts as hard."""

from dataclasses import replace

import polars as pl
import pytest

from skyloom.core.config import fingerprint
from skyloom.core.errors import BadInput
from skyloom.core.ledger.curate import curate, read_decisions
from skyloom.core.ledger.rows import RowWriter, SourceReport, write_reports
from skyloom.core.text.embed import EmbedConfig
from skyloom.mathqa.annotate import core_set, pass_rate
from skyloom.mathqa.decide import core_set as keep_core_set
from skyloom.mathqa.decide import hard
from skyloom.mathqa.records import Instance, Problem

QUESTIONS = [
    "Anna has 6 stamps and gets 9 more. How many stamps does Anna have now?",
    "Anna has 7 stamps and gets 5 more. How many stamps does Anna have now?",
    "What is the area of a circle of radius 5?",
    "What is the area of a circle of radius 12?",
    "Solve x^2 + 3x + 2 = 0 for x.",
    "Anna has 8 stamps and gets 2 more. How many stamps does Anna have now?",
]


def report(label, number, rows):
    return SourceReport(label, f"x/{label}", number, "MIT", "train", False, rows, 0, {})


def collected(folder, levels=(1, 2, 3, 4, 5, None)):
    """Six problems, and their row keys."""
    writer = RowWriter(folder, Problem, "seeds", 3, 0, "MIT")
    keys = [
        writer.add(Problem(question=question, answer="4", solution="x", level=level, subject=""))
        for question, level in zip(QUESTIONS, levels, strict=True)
    ]
    writer.close()
    write_reports(folder, [report("seeds", 3, 6)], [])
    return keys


def instance(**fields):
    empty = {"requests": (), "votes": (), "prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0, "round": 0}
    texts = dict.fromkeys(("strategy", "made_in", "seed", "seed_question", "teacher", "prompts", "subject"), "")
    base = {"question": "q", "response": "r", "level": None, "stage": 1, "sample": 0}
    return Instance(**{**empty, **texts, **base, **fields})


def made(folder, rows):
    """Rows (parent, operator, gold, answer) as a pass leaves them."""
    writer = RowWriter(folder, Instance, "first", 9, 0, "MIT")
    for parent, operator, gold, answer in rows:
        writer.add(instance(operator=operator, gold=gold, answer=answer), parents=(parent,))
    writer.close()
    write_reports(folder, [report("first", 9, len(rows))], [])
    return folder


def test_the_core_set_takes_one_of_each_template_first():
    got = core_set.fit(pl.DataFrame({"question": QUESTIONS}), core_set.Config(k=3))
    assert got["core_set.rank"].is_not_null().to_list() == [True, False, True, False, True, False]
    assert got["core_set.rank"].drop_nulls().sort().to_list() == [0, 1, 2]
    assert got["core_set.distance"][0] is None
    assert got["core_set.distance"].gather([1, 3, 5]).to_list() == [0, 0, 0]
    assert min(got["core_set.distance"][2], got["core_set.distance"][4]) > 0.9


def test_a_share_rounds_up_and_k_stops_at_the_rows():
    frame = pl.DataFrame({"question": QUESTIONS})
    picked = [
        core_set.fit(frame, config)["core_set.rank"].count()
        for config in (core_set.Config(share=0.4), core_set.Config(share=0.5), core_set.Config(k=50))
    ]
    assert picked == [3, 3, 6]
    assert core_set.fit(frame[:0], core_set.Config(k=5)).shape == (0, 2)
    for bad in ({"k": 0}, {"share": 0.0}, {"share": 1.1}):
        with pytest.raises(ValueError):
            core_set.Config(**bad)


def test_only_living_rows_are_picked_and_a_threshold_moves_without_a_new_fit(tmp_path):
    collected(tmp_path / "seeds")
    pipeline = (pass_rate.Config(), hard.Config(min_level=2), core_set.Config(k=3), keep_core_set.Config(k=2))
    curate([tmp_path / "seeds"], pipeline, tmp_path / "out", tmp_path / "cache")
    decisions = read_decisions(tmp_path / "out")
    assert decisions["reason"].cast(pl.String).to_list() == ["easy", None, None, "covered", "covered", "unmeasured"]
    ranks = pl.read_parquet(tmp_path / "out" / "columns" / "02-core_set.parquet")["core_set.rank"]
    assert ranks[0] is None
    assert ranks[5] is None
    assert ranks[1] == 0
    assert ranks.count() == 3


def test_more_than_was_picked_cannot_be_kept():
    frame = pl.DataFrame({"row": [1, 2, 3], "core_set.rank": [0, None, None], "alive": [True, True, True]})
    assert keep_core_set.decide(frame, keep_core_set.Config()).to_list() == [None, "covered", "covered"]
    assert keep_core_set.decide(frame, keep_core_set.Config(share=0.3)).to_list() == [None, "covered", "covered"]
    for config in (keep_core_set.Config(k=2), keep_core_set.Config(share=0.5)):
        with pytest.raises(BadInput, match="2 rows are to be kept and 1 were picked"):
            keep_core_set.decide(frame, config)
    dead = frame.with_columns(pl.Series("alive", [True, False, True]))
    assert keep_core_set.decide(dead, keep_core_set.Config()).to_list() == [None, None, "covered"]


def test_the_pass_rate_counts_rows_that_keep_the_meaning(tmp_path):
    keys = collected(tmp_path / "seeds")
    folder = made(
        tmp_path / "made",
        [
            (keys[0], "answer_augment", "1/2", "0.5"),
            (keys[0], "answer_augment", "1/2", "2"),
            (keys[0], "rephrase", "1/2", "\\frac{1}{2}"),
            (keys[0], "fobar", "1/2", "3"),
            (keys[0], "rephrase", None, "3"),
            (keys[2], "rephrase", "7", "8"),
            (999, "rephrase", "7", "7"),
        ],
    )
    frame = pl.DataFrame({"row": keys, "level": [1, 2, 3, 4, 5, None]})
    config = pass_rate.Config(made=(folder,))
    got = pass_rate.annotate(frame, config)
    assert got["pass_rate.tried"].to_list() == [3, 0, 1, 0, 0, 0]
    assert got["pass_rate.right"].to_list() == [2, 0, 0, 0, 0, 0]
    assert got["pass_rate.level"].to_list() == [1, 2, 3, 4, 5, None]
    assert pass_rate.annotate(frame, replace(config, operators=("fobar",)))["pass_rate.tried"].to_list()[0] == 1
    assert pass_rate.inputs(config) == (folder,)
    assert fingerprint(config) == fingerprint(pass_rate.Config())  # the path does not count, its content does


def test_new_rows_change_what_was_cached(tmp_path):
    keys = collected(tmp_path / "seeds")
    first = made(tmp_path / "first", [(keys[4], "rephrase", "4", "5")] * 4)
    second = made(tmp_path / "second", [(keys[4], "rephrase", "4", "4")] * 4)
    chosen = []
    for folder in (first, second):
        chain = (pass_rate.Config(made=(folder,)), hard.Config(by="either", min_level=4))
        curate([tmp_path / "seeds"], chain, tmp_path / f"out-{folder.name}", tmp_path / "cache")
        columns = pl.read_parquet(tmp_path / f"out-{folder.name}" / "columns" / "01-pass_rate.parquet")
        chosen.append(columns["pass_rate.right"].to_list())
    assert chosen == [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 4, 0]]


def test_hard_by_level_by_measure_and_by_either():
    rows = [(5, 4, 4), (2, 1, 4), (2, 4, 4), (None, 0, 4), (None, 0, 1), (4, 0, 0)]
    frame = pl.DataFrame(rows, schema=list(hard.READS), orient="row")
    wanted = {
        "level": [None, "easy", "easy", "unmeasured", "unmeasured", None],
        "measured": ["easy", None, "easy", None, "unmeasured", "unmeasured"],
        "either": [None, None, "easy", None, "unmeasured", None],
    }
    for by, reasons in wanted.items():
        assert hard.decide(frame, hard.Config(by=by)).to_list() == reasons
    for bad in ({"min_level": 6}, {"max_pass_rate": 1.5}, {"min_tried": 0}):
        with pytest.raises(ValueError):
            hard.Config(**bad)


def test_a_missing_model_is_one_line():
    config = core_set.Config(embed=EmbedConfig(model="nowhere"))
    with pytest.raises(BadInput, match="nowhere"):
        core_set.inputs(config)
