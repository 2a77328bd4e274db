from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import Message, content_id, from_row, row_key, schema, source_number, split_key, to_row


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    prompt: tuple[Message, ...]
    reply: str
    score: float | None
    blob: bytes
    count: int
    flag: bool


def sample(reply="yes", score=0.5):
    prompt = (Message(role="user", content="hi"),)
    return Sample(prompt=prompt, reply=reply, score=score, blob=b"\x00\xff", count=3, flag=True)


@given(source=st.integers(0, 2**15 - 1), shard=st.integers(0, 2**20 - 1), ordinal=st.integers(0, 2**28 - 1))
def test_row_keys_round_trip_and_fit_int64(source, shard, ordinal):
    key = row_key(source, shard, ordinal)
    assert 0 <= key < 2**63
    assert split_key(key) == (source, shard, ordinal)


@pytest.mark.parametrize("parts", [(2**15, 0, 0), (0, 2**20, 0), (0, 0, 2**28), (-1, 0, 0)])
def test_row_keys_out_of_range_are_refused(parts):
    with pytest.raises(BadInput):
        row_key(*parts)


@given(reply=st.text(), score=st.none() | st.floats(allow_nan=False))
def test_records_round_trip_through_arrow(reply, score):
    record = sample(reply, score)
    table = pa.Table.from_pylist([to_row(record)], schema=schema(Sample))
    assert from_row(Sample, table.to_pylist()[0]) == record


def test_content_id_depends_on_every_field_and_on_nothing_else():
    base = content_id(to_row(sample()))
    assert len(base) == 16
    assert content_id(to_row(sample())) == base
    assert len({base, content_id(to_row(sample("no"))), content_id(to_row(sample(score=None)))}) == 3


def test_source_numbers_do_not_depend_on_order_unless_they_collide():
    first = source_number("hh_rlhf", {})
    assert source_number("hh_rlhf", {"rmb": first + 1}) == first
    assert source_number("hh_rlhf", {"rmb": first}) == first + 1
