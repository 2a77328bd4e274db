"""Counts beside the published ones, and what the shortcut detector said, as tables."""

import polars as pl

from skyloom.core import store
from skyloom.reward import summary


def curated(folder):
    keys = pl.DataFrame({"row": [0, 1, 2, 3], "source": ["a", "a", "b", "c"], "licence": ["MIT"] * 4})
    decisions = keys.select("row", "source").with_columns(pl.Series("kept", [True, False, True, False]))
    store.write_parquet(folder / "columns" / "00-keys.parquet", keys)
    store.write_parquet(folder / "decisions.parquet", decisions)
    return folder


def test_counts_stand_beside_scaled_published_ones(tmp_path):
    told = summary.counts(curated(tmp_path), {"b": (100, 30), "a": (200, 20)}, 0.01)
    assert told.rows == (
        ("b", 1, 1, "100.0%", 1, 0, "30.0%"),
        ("a", 2, 1, "50.0%", 2, 0, "10.0%"),
        ("c", 1, 0, "0.0%", None, None, None),
        ("total", 4, 2, "50.0%", 3, 0, "16.7%"),
    )
    assert "generated" in told.note
    assert "generated" not in summary.counts(tmp_path, {}, 1.0).note
    partly = summary.counts(tmp_path, {"a": (2, 1), "z": (5, 5)}, 1.0).rows[-1]
    assert partly[4:] == (None, None, None), "a total of sources that were not all read has no published counterpart"


def test_shortcuts_are_told_once_a_source(tmp_path):
    folder = curated(tmp_path)
    assert summary.shortcuts(folder) == []
    assert summary.tables(folder, {}, 1.0) == []
    columns = {
        "shortcuts.auc": [0.99, 0.99, None, 0.5],
        "shortcuts.alarm": [True, True, False, None],
        "shortcuts.feature": ["<x>", "<x>", None, None],
        "shortcuts.evidence": ["told", "told", "too few", None],
    }
    store.write_parquet(folder / "columns" / "01-shortcuts.parquet", pl.DataFrame(columns))
    found = summary.shortcuts(folder)
    assert [(each.source, each.alarm, each.feature) for each in found] == [("a", True, "<x>"), ("b", False, None)]
    (table,) = summary.tables(folder, {}, 1.0)
    assert [row[2] for row in table.rows] == ["<x>", "no alarm"]
