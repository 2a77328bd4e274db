import gzip
import json
import math

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skyloom.core import store
from skyloom.core.errors import BadInput, BadRow, FailedWork
from skyloom.core.records import Raw, Reject

QUIET = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@QUIET
@given(data=st.binary(max_size=300))
@example(data=b'{"a": 1}\n{"a": NaN}\n[1]\n{"a": "\\ud800"}\n' + b"[" * 5000)
@example(data=b"\x1f\x8b\x08\x00 not gzip")
@example(data=b"PAR1 not parquet PAR1")
@pytest.mark.parametrize("suffix", store.ROW_SUFFIXES)
def test_random_bytes_never_crash_a_reader(tmp_path, suffix, data):
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(data)
    try:
        rows = list(store.read_json_rows(path))
    except BadInput as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        return
    for row in rows:
        assert isinstance(row, Raw | Reject)
        assert row.file == str(path)
        assert row.row >= 1


@QUIET
@given(rows=st.lists(st.dictionaries(st.text(max_size=4), JSON_VALUES, max_size=3), max_size=5), packed=st.booleans())
def test_what_is_written_reads_back(tmp_path, rows, packed):
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path / ("rows.jsonl.gz" if packed else "rows.jsonl")
    path.write_bytes(gzip.compress(text) if packed else text)
    read = list(store.read_json_rows(path))
    assert [row.data if isinstance(row, Raw) else row for row in read] == rows


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (b"{broken", "", "not valid JSON"),
        (b"[1, 2]", "", "expected an object, got list"),
        (b'{"a": NaN}', "", "NaN is not a JSON number"),
        (b'{"a": 1e999}', "a", "not a finite number"),
        (b'{"ok": 1, "b": "\\ud800"}', "b", "lone surrogate"),
        (b'{"b": {"c": ["\\udfff"]}}', "b", "lone surrogate"),
        (b'{"a": "' + b"x" * 10_000_001 + b'"}', "", "longer than 10,000,000 bytes"),
        (b'{"a": "\xff"}', "", "not valid JSON"),
    ],
)
def test_a_bad_row_is_named_and_the_next_one_still_read(tmp_path, line, field, reason):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"first": 1}\n' + line + b'\n{"last": 2}\n')
    first, bad, last = store.read_json_rows(path)
    assert isinstance(bad, Reject)
    assert (bad.file, bad.row, bad.field) == (str(path), 2, field)
    assert reason in bad.reason
    assert isinstance(first, Raw)
    assert isinstance(last, Raw)
    assert last.data == {"last": 2}


def test_a_cut_gzip_stream_keeps_the_rows_before_the_cut(tmp_path):
    whole = gzip.compress(b"".join(b'{"n": %d, "x": "%s"}\n' % (n, str(hash(str(n))).encode()) for n in range(20_000)))
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    *rows, last = store.read_json_rows(path)
    assert len(rows) > 100
    assert isinstance(last, Reject)
    assert "cut or damaged" in last.reason


def test_missing_and_unknown_files_are_told(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        store.read_json_rows(tmp_path / "absent.jsonl")
    (tmp_path / "x.csv").write_text("a")
    with pytest.raises(BadInput, match="unknown file type; known: .jsonl"):
        store.read_json_rows(tmp_path / "x.csv")
    with pytest.raises(BadInput, match="no such file or directory"):
        store.find_files(tmp_path / "nowhere")


def test_parquet_rows_with_nan_are_rejected(tmp_path):
    store.write_parquet(tmp_path / "x.parquet", pl.DataFrame({"a": [1.0, math.nan]}))
    good, bad = store.read_json_rows(tmp_path / "x.parquet")
    assert good.data == {"a": 1.0}
    assert bad == Reject(str(tmp_path / "x.parquet"), 2, "a", "not a finite number")


def test_field_accessors_name_the_field():
    raw = {"text": "x", "blank": "  ", "n": 1, "flag": True, "list": [], "obj": {}}
    assert store.text_field(raw, "text") == "x"
    assert store.number_field(raw, "n") == 1.0
    for call, field in [
        (store.text_field, "n"),
        (store.text_field, "blank"),
        (store.text_field, "absent"),
        (store.number_field, "flag"),
        (store.number_field, "text"),
        (store.list_field, "list"),
        (store.object_field, "list"),
    ]:
        with pytest.raises(BadRow) as error:
            call(raw, field)
        assert error.value.field == field


def test_writes_are_atomic_and_same_content_same_bytes(tmp_path):
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    for name in ("one.parquet", "two.parquet"):
        store.write_parquet(tmp_path / name, frame)
    assert store.sha256(tmp_path / "one.parquet") == store.sha256(tmp_path / "two.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.parquet", "two.parquet"]
    assert pa.parquet.read_table(tmp_path / "one.parquet").num_rows == 2


def test_an_unwritable_path_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FailedWork, match="cannot write"):
        store.write_text(tmp_path / "file" / "below", "x")
