"""Whatever bytes stand in a run directory, a reader answers with values or with one line of BadInput."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.metrics import MetricLog, read_evaluation, read_metrics, read_plots, read_tables
from skyloom.core.report import read

quick = settings(max_examples=60, deadline=None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("title", "note", "columns", "rows", "series", "name", "x", "y", "low", "headline", "baselines", "value", "n")
MORE = ("step", "loss", "sources", "label", "rows_in", "steps", "kept", "defect", "planted", "found", "hits", "reasons")
OBJECTS = st.dictionaries(st.sampled_from(NAMES + MORE), JSON, max_size=8)
TEXTS = st.one_of(OBJECTS, st.lists(OBJECTS, max_size=3), JSON).map(lambda value: json.dumps(value).encode() + b"\n")
FILES = ("results.json", "tables.json", "plots.json", "metrics.jsonl", "sources.json", "waterfall.json", "truth.json")


@quick
@given(st.binary(max_size=200) | TEXTS)
def test_every_reader_answers_or_tells(data):
    with TemporaryDirectory() as name:
        folder = Path(name) / "run" / "step"
        folder.mkdir(parents=True)
        for file in FILES:
            (folder / file).write_bytes(data)
            for reader in (read_evaluation, read_tables, read_plots):
                answers_or_tells(lambda reader=reader: reader(folder))
            answers_or_tells(lambda: read.read_run(folder.parent))
            (folder / file).unlink()
        (folder.parent / "run.json").write_bytes(data)
        answers_or_tells(lambda: read.read_run(folder.parent))
        (folder / "metrics.jsonl").write_bytes(data)
        answers_or_tells(lambda: read_metrics(folder / "metrics.jsonl"))
        answers_or_tells(lambda: MetricLog(folder / "metrics.jsonl"))


@quick
@given(st.integers(0, 400), st.integers(0, 9))
def test_a_log_cut_anywhere_resumes_to_the_same_bytes(cut, checkpoint):
    with TemporaryDirectory() as name:
        whole, torn = MetricLog(Path(name) / "whole.jsonl"), Path(name) / "torn.jsonl"
        for step in range(10):
            whole.write(step, {"loss": 1 / (step + 1), "lr": 0.1})
        data = whole.path.read_bytes()
        torn.write_bytes(data[:cut])
        resumed = MetricLog(torn)
        resumed.truncate_after(checkpoint)
        rows = read_metrics(torn)
        for step in range(rows[-1].step + 1 if rows else 0, 10):
            resumed.write(step, {"loss": 1 / (step + 1), "lr": 0.1})
        assert torn.read_bytes() == data


def answers_or_tells(read_file):
    try:
        read_file()
    except BadInput as error:
        assert str(error)
