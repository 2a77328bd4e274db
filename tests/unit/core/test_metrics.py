"""Estimates, evaluation files and the training log."""

import json
import math

import pytest

from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.metrics import (
    Estimate,
    Evaluation,
    MetricLog,
    MetricRow,
    Plot,
    Series,
    Table,
    read_evaluation,
    read_metrics,
    read_plots,
    read_tables,
    write_evaluation,
)
from skyloom.core.stats import wilson


def estimate(name, value, spread=0.05):
    return Estimate(name=name, value=value, low=value - spread, high=value + spread, n=100, method="Wilson")


EVALUATION = Evaluation(
    headline=estimate("accuracy", 0.7),
    baselines=(estimate("chance", 0.5), estimate("longer reply", 0.6)),
    others=(estimate("gap", -1.25),),
)
TABLE = Table(
    title="By level",
    note="n: problems",
    columns=("level", "right", "accuracy", "hard"),
    rows=(("1", 71, wilson(71, 100), False), ("5", None, 0.5, True)),
)
PLOT = Plot(
    title="Accuracy by size",
    x="pairs",
    y="accuracy",
    series=(Series(name="ours", x=(1, 2), y=(0.5, 0.6), low=(0.4, 0.5), high=(0.6, 0.7)), Series(name="0", x=(), y=())),
)


def test_evaluation_round_trip(tmp_path):
    write_evaluation(tmp_path, EVALUATION, (TABLE,), (PLOT,))
    assert read_evaluation(tmp_path) == EVALUATION
    assert read_tables(tmp_path) == (TABLE,)
    assert read_plots(tmp_path) == (PLOT,)
    assert set(json.loads((tmp_path / "results.json").read_text())) == {"headline", "baselines", "others"}
    assert "low" not in json.loads((tmp_path / "plots.json").read_text())[0]["series"][1]


def test_evaluation_without_tables_and_plots(tmp_path):
    write_evaluation(tmp_path, EVALUATION)
    assert read_tables(tmp_path) == read_plots(tmp_path) == ()


@pytest.mark.parametrize(
    ("low", "baselines", "beats"),
    [(0.61, (0.5, 0.6), True), (0.60, (0.5, 0.6), False), (0.59, (0.5, 0.6), False), (0.1, (), False)],
)
def test_beating_the_null_needs_the_lower_bound_above_the_best_baseline(low, baselines, beats):
    headline = Estimate(name="accuracy", value=0.7, low=low, high=0.8, n=10, method="Wilson")
    evaluation = Evaluation(headline=headline, baselines=tuple(estimate(f"b{value}", value) for value in baselines))
    assert evaluation.beats_null is beats
    assert (evaluation.best_null.name if evaluation.best_null else None) == ("b0.6" if baselines else None)


@pytest.mark.parametrize(
    ("value", "low", "high", "n", "message"),
    [
        (math.nan, 0, 1, 1, "not finite"),
        (0.5, -math.inf, 1, 1, "not finite"),
        (2.0, 0, 1, 1, "outside its interval"),
        (0.5, 0, 1, 0, "n must be at least 1"),
    ],
)
def test_estimate_refuses(value, low, high, n, message):
    with pytest.raises(ValueError, match=message):
        Estimate(name="x", value=value, low=low, high=high, n=n, method="m")


def test_estimate_of_an_interval_and_back():
    made = Estimate.of("accuracy", wilson(71, 100))
    assert made.interval == wilson(71, 100)
    assert Estimate.from_json(made.to_json()) == made


def test_tables_and_series_refuse_ragged_and_infinite():
    with pytest.raises(ValueError, match="row 1 has 1 cells for 2 columns"):
        Table(title="t", note="", columns=("a", "b"), rows=((1, 2), (3,)))
    with pytest.raises(ValueError, match="not finite"):
        Table(title="t", note="", columns=("a",), rows=((math.inf,),))
    with pytest.raises(ValueError, match="one length"):
        Series(name="s", x=(1, 2), y=(1,))
    with pytest.raises(ValueError, match="both low and high"):
        Series(name="s", x=(1,), y=(1,), low=(1,))
    with pytest.raises(ValueError, match="outside its interval"):
        Series(name="s", x=(1,), y=(1,), low=(2,), high=(3,))
    with pytest.raises(ValueError, match="not finite"):
        Series(name="s", x=(1,), y=(math.nan,))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.json", '{"headline": 1}', "row 1: headline: expected an object"),
        ("results.json", "[]", "holds 0 objects"),
        ("results.json", "{", "not valid JSON"),
        ("tables.json", '[{"title": "t", "note": "", "columns": ["a"], "rows": [[[1]]]}]', "row 1: rows: a cell is"),
        ("tables.json", '[{"title": "t", "note": "", "columns": ["a"], "rows": [[1, 2]]}]', "2 cells for 1 columns"),
        (
            "plots.json",
            '[{"title": "t", "x": "x", "y": "y", "series": [{"name": "s", "x": ["1"], "y": [1]}]}]',
            "x: exp",
        ),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    reader = {"results.json": read_evaluation, "tables.json": read_tables, "plots.json": read_plots}[name]
    with pytest.raises(BadInput, match=message) as caught:
        reader(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_metric_log_appends_and_reads(tmp_path):
    log = MetricLog(tmp_path / "train" / "metrics.jsonl")
    log.write(0, {"loss": 0.7, "lr": 1})
    log.write(10, {"loss": 0.5})
    assert read_metrics(log.path) == (MetricRow(0, {"loss": 0.7, "lr": 1.0}), MetricRow(10, {"loss": 0.5}))
    MetricLog(log.path).write(11, {"loss": 0.4})
    assert [row.step for row in read_metrics(log.path)] == [0, 10, 11]


def test_metric_log_resumed_equals_uninterrupted(tmp_path):
    whole, cut = MetricLog(tmp_path / "whole.jsonl"), MetricLog(tmp_path / "cut.jsonl")
    for step in range(20):
        whole.write(step, {"loss": 1 / (step + 1)})
        if step < 13:
            cut.write(step, {"loss": 1 / (step + 1)})
    with cut.path.open("ab") as file:
        file.write(b'{"step": 13, "lo')  # killed inside a write
    assert [row.step for row in read_metrics(cut.path)] == list(range(13))
    resumed = MetricLog(cut.path)
    resumed.truncate_after(9)  # the checkpoint was of step 9
    for step in range(10, 20):
        resumed.write(step, {"loss": 1 / (step + 1)})
    assert cut.path.read_bytes() == whole.path.read_bytes()


def test_truncating_past_the_end_or_before_the_start(tmp_path):
    log = MetricLog(tmp_path / "m.jsonl")
    log.write(5, {"loss": 1})
    log.truncate_after(7)
    assert len(read_metrics(log.path)) == 1
    log.truncate_after(-1)
    assert read_metrics(log.path) == ()
    log.write(0, {"loss": 1})


def test_metric_log_refuses_repeats_and_divergence(tmp_path):
    log = MetricLog(tmp_path / "m.jsonl")
    log.write(1, {"loss": 1})
    with pytest.raises(ValueError, match="truncate_after"):
        log.write(1, {"loss": 1})
    with pytest.raises(FailedWork, match="loss is nan at step 2"):
        log.write(2, {"loss": math.nan})
    assert len(read_metrics(log.path)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"step": 1}\nnonsense\n', "row 2: Expecting value"),
        ('{"loss": 1}\n', "row 1: step: missing"),
        ('{"step": 1, "loss": "x"}\n', "row 1: loss: expected a number"),
        ('{"step": 1, "loss": NaN}\n', "row 1: loss: not a finite number"),
        ("[1]\n", "row 1: expected an object"),
        ('{"step": 2}\n{"step": 2}\n', "row 2: step: 2 after 2"),
    ],
)
def test_a_damaged_log_is_named(tmp_path, text, message):
    path = tmp_path / "metrics.jsonl"
    path.write_text(text)
    for reader in (read_metrics, MetricLog):
        with pytest.raises(BadInput, match=message):
            reader(path)
