"""Rows: messages, record schemas, content ids, row keys, and the contract of a source plug-in.

A record is a frozen dataclass of plain values; `schema` turns its annotations into an Arrow schema, `to_row` and `from_row`
convert between the two. The `content` of a record is the 128-bit hash of its canonical JSON: real data holds exact
duplicates, so it is a column and never a key. The key `row` (int64) says where the row came from.

Flow  [collect] -> curate -> train -> evaluate -> report
"""

import dataclasses
import hashlib
import types
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import pyarrow as pa

from skyloom.core.config import JSON, PluginConfig, canonical
from skyloom.core.errors import BadInput

_SHARD_BITS: int = 20
_ORDINAL_BITS: int = 28
SOURCES: int = 1 << 15
"""How many source numbers a row key can hold: 15 bits source, 20 bits shard, 28 bits ordinal, sign bit unused."""
R = TypeVar("R")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """system, user or assistant."""
    content: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SourceConfig(PluginConfig):
    """Base config of a source plug-in (`<system>/sources/x.py`); the module's contract stands in ARCHITECTURE.md."""

    label: str = ""
    """Name of the source in row ids and reports; empty: the plug-in's name. Two configs of one plug-in need two labels."""
    as_train: bool = False
    """Train on a test split on purpose; written into the manifest, and reporting on that benchmark is then refused."""


class Raw(NamedTuple):
    """One row as read: the file and its 1-based row (for messages), and the parsed object."""

    file: str
    row: int
    data: Mapping[str, Any]  # Any: parsed JSON or Parquet values, checked field by field


class Reject(NamedTuple):
    """A row that could not be read or used: counted, listed, never silently dropped."""

    file: str
    row: int
    field: str
    reason: str


def row_key(source: int, shard: int, ordinal: int) -> int:
    """Pack (source, shard, ordinal) into one non-negative int64; raises BadInput where a part does not fit."""
    if not (0 <= source < SOURCES and 0 <= shard < 1 << _SHARD_BITS and 0 <= ordinal < 1 << _ORDINAL_BITS):
        raise BadInput(f"row key out of range: source {source}, shard {shard}, ordinal {ordinal}")
    return (source << (_SHARD_BITS + _ORDINAL_BITS)) | (shard << _ORDINAL_BITS) | ordinal


def split_key(row: int) -> tuple[int, int, int]:
    """(source, shard, ordinal) of a row key."""
    shard = (row >> _ORDINAL_BITS) & ((1 << _SHARD_BITS) - 1)
    return row >> (_SHARD_BITS + _ORDINAL_BITS), shard, row & ((1 << _ORDINAL_BITS) - 1)


def source_number(label: str, taken: Mapping[str, int]) -> int:
    """A number for a label that does not depend on the other sources unless two labels collide; then the next free one."""
    number = int.from_bytes(hashlib.blake2b(label.encode(), digest_size=2).digest()) % SOURCES
    while number in taken.values():
        number = (number + 1) % SOURCES
    return number


def content_id(row: Mapping[str, Any]) -> bytes:
    """16 bytes, blake2b of the canonical JSON of a record's row form (bytes as hex)."""
    return hashlib.blake2b(canonical(_plain(row)), digest_size=16).digest()


def to_row(record: Any) -> dict[str, Any]:  # Any: a frozen dataclass of plain values
    """A record as plain values: nested dataclasses become dicts, tuples lists."""
    return {field.name: _to_value(getattr(record, field.name)) for field in dataclasses.fields(record)}


def from_row(cls: type[R], row: Mapping[str, Any]) -> R:
    """The record that `to_row` made; extra columns (row, weight, label ...) are ignored."""
    hints = get_type_hints(cls)
    return cls(**{name: _from_value(row[name], hint) for name, hint in hints.items() if name in row})


def schema(cls: type) -> pa.Schema:
    """Arrow schema of a record class."""
    return pa.schema(
        [pa.field(name, _arrow(hint, f"{cls.__name__}.{name}")) for name, hint in get_type_hints(cls).items()]
    )


def _arrow(hint: Any, where: str) -> pa.DataType:
    scalars: dict[Any, pa.DataType] = {
        str: pa.large_string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        bytes: pa.large_binary(),
    }
    if hint in scalars:
        return scalars[hint]
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        if len(options) == 1:
            return _arrow(options[0], where)
    if get_origin(hint) is tuple and len(get_args(hint)) == 2 and get_args(hint)[1] is Ellipsis:
        return pa.large_list(_arrow(get_args(hint)[0], where))
    if dataclasses.is_dataclass(hint):
        return pa.struct([pa.field(name, _arrow(sub, where)) for name, sub in get_type_hints(hint).items()])
    raise TypeError(f"{where}: a record cannot hold {hint}")


def _to_value(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_row(value)
    if isinstance(value, tuple | list):
        return [_to_value(item) for item in cast(tuple[Any, ...], value)]
    return value


def _from_value(value: Any, hint: Any) -> Any:
    if value is None:
        return None
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is tuple:
        return tuple(_from_value(item, get_args(hint)[0]) for item in value)
    if dataclasses.is_dataclass(hint):
        return from_row(cast(type[Any], hint), value)
    return value


def _plain(value: Any) -> JSON:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast(list[Any], value)]
    return value
