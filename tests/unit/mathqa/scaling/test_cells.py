"""The grid: nested rows, finished cells stay, a killed one ends as if nothing had happened, and test items never get in."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from skyloom.core.errors import BadInput
from skyloom.core.llm.config import BackboneConfig, GenerateConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.rng import stream
from skyloom.core.trainer import Trainer
from skyloom.mathqa.evals import world
from skyloom.mathqa.scaling.cells import ALL, Cell, Grid, Setting, clash, read_cell, rows_of, run_grid, trained_with
from skyloom.mathqa.scaling.study import check_sizes, curves
from skyloom.mathqa.scaling.value import paired
from skyloom.mathqa.settings import TrainConfig
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import problems

BENCHMARK = world.Config(rows=8, shares=(1, 0, 0, 0, 0))
SETTING = Setting(
    benchmark=BENCHMARK,
    train=TrainConfig(
        backbone=BackboneConfig(hidden=16, layers=1, heads=2, vocab=300, max_length=160),
        epochs=2,
        batch_rows=8,
        valid_share=0.2,
        optim=TrainerConfig(lr=1e-2, threads=1, checkpoint_every=2),
    ),
    generate=GenerateConfig(max_new_tokens=4),
)


def pool(count=60):
    drawn = list(problems("train", 5, count, (1, 0, 0, 0, 0)))
    return pl.DataFrame(
        {
            "row": range(count),
            "source": ["world"] * count,
            "question": [posed.text for posed in drawn],
            "response": [solve(posed).text for posed in drawn],
            "weight": [1.0] * count,
            "seed": [f"world:0:{k}" for k in range(count)],
            "stage": [1] * count,
            "operator": ["evol" if k % 3 else "rephrase" for k in range(count)],
            "level": [None if k % 10 == 0 else 1 + k % 2 for k in range(count)],
        }
    )


def grid(out, **changes):
    return Grid(pool(), "content", replace(SETTING, **changes), out)


def said():
    lines = []
    return lines, lines.append


def test_sizes_of_one_seed_are_nested_and_arms_keep_the_order():
    rows = pool()
    small, large = (rows_of(rows, Cell(ALL, n, 3))["row"].to_list() for n in (10, 40))
    assert large[:10] == small
    assert rows_of(rows, Cell(ALL, 10, 4))["row"].to_list() != small
    whole = rows_of(rows, Cell(ALL, 0, 3))
    arm = rows_of(rows, Cell("operator!=evol", 0, 3))
    assert arm["row"].to_list() == whole.filter(pl.col("operator") == "rephrase")["row"].to_list()
    assert rows_of(rows, Cell("level=none", 0, 0)).height == 6


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (Cell(ALL, 61, 0), "holds 60 rows, a cell wants 61"),
        (Cell("operator=xwin", 0, 0), "no row has operator 'xwin'; known: evol, rephrase"),
        (Cell("colour=red", 0, 0), "write all, FIELD=VALUE or FIELD!=VALUE; fields: operator, stage, level, source"),
    ],
)
def test_an_arm_that_there_is_not_is_told(cell, told):
    with pytest.raises(BadInput, match=told):
        rows_of(pool(), cell)


def test_equal_epochs_or_about_equal_updates():
    assert trained_with(SETTING, 10, 80).epochs == 2
    assert [trained_with(replace(SETTING, updates="fixed"), n, 80).epochs for n in (80, 40, 10)] == [2, 4, 16]


@pytest.mark.parametrize("sizes", [[100, 100], [0, 10], [10], []])
def test_sizes_that_make_no_curve_are_told(sizes):
    with pytest.raises(BadInput, match="sizes"):
        check_sizes(sizes, 3)


def test_a_row_that_asks_a_test_item_is_refused(tmp_path):
    item = world.items(BENCHMARK)[2]
    dirty = pool().with_columns(
        question=pl.when(pl.col("row") == 7).then(pl.lit(f"  {item.question.upper()} ")).otherwise("question")
    )
    assert clash(dirty, world.items(BENCHMARK)).rows == 1
    with pytest.raises(BadInput, match="1 training rows ask test items word for word, first"):
        run_grid(grid(tmp_path)._replace(pool=dirty), [Cell(ALL, 20, 0)], print)


def test_a_killed_grid_goes_on_and_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    cells = [Cell(ALL, size, 0) for size in (20, 40)]
    lines, tell = said()
    unbroken = run_grid(grid(tmp_path / "a"), cells, tell)
    assert lines[0].startswith("cell 1 of 2: all, 20 rows, seed 0:")
    assert lines[0].endswith("left")
    assert not lines[1].endswith("left")

    step, calls = Trainer.step, []

    def counted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "step", counted)
    with pytest.raises(KeyboardInterrupt):
        run_grid(grid(tmp_path / "b"), cells, tell)
    broken_at = len(calls)
    resumed = run_grid(grid(tmp_path / "b"), cells, tell)
    every = sum(-(-round(0.8 * size) // 8) * 2 for size in (20, 40))
    assert len(calls) - broken_at < every  # the first cell stayed, and the second went on from a checkpoint
    assert [each._replace(seconds=0) for each in resumed] == [each._replace(seconds=0) for each in unbroken]
    assert not [each for each in (tmp_path / "b" / "cells").iterdir() if each.name.startswith(".")]

    again, before = said(), len(calls)
    assert run_grid(grid(tmp_path / "b"), cells, again[1]) == resumed
    assert not again[0]
    assert len(calls) == before


def test_other_settings_make_other_cells_and_a_damaged_one_is_told(tmp_path):
    (first,) = run_grid(grid(tmp_path), [Cell(ALL, 20, 0)], print)
    longer = replace(SETTING.train, epochs=1)
    (second,) = run_grid(grid(tmp_path, train=longer), [Cell(ALL, 20, 0)], print)
    assert first.setting != second.setting
    assert first.tokens == 2 * second.tokens
    files = sorted((tmp_path / "cells").glob("*.json"))
    assert len(files) == 2
    assert len(first.right) == len(first.nll) == len(world.items(BENCHMARK))
    files[0].write_text(json.dumps({"arm": "all"}))
    with pytest.raises(BadInput, match="damaged; delete it"):
        read_cell(files[0])
    accuracy, *rest = curves(ALL, [first, first._replace(rows=40)])
    assert accuracy.sizes == (20, 40)
    assert [each.measure for each in rest] == ["nll"]


def test_paired_gains_cover_what_was_planted():
    """Two groups, one worth 0.05: seeds and items both move the arms, and fewer hits than chance allows at 95% fail."""
    hits = 0
    for k in range(60):
        rng = stream(k, "paired")
        base_S1 = 0.5 + rng.normal(0, 0.02, (3, 1))
        arms = [rng.random((3, 500)) < share + base_S1 - 0.5 for share in (0.5, 0.45, 0.5)]
        gains = np.stack([arms[0] * 1.0 - arm for arm in arms[1:]])
        one, none = paired(gains, rng, 300)
        hits += int(one.low <= 0.05 <= one.high) + int(none.low <= 0 <= none.high)
    assert binom.cdf(hits, 120, 0.95) > 0.01
