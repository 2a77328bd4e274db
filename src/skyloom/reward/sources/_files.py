"""What the file readers of preference data share: where the files stand, which are test splits, conversations in JSON.

Flow   [collect] -> curate -> train -> evaluate -> report; hh_rlhf, rmb, pairs_file and skywork_80k read through it
Run    skyloom list reward.sources
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Message, Raw, Reject, SourceConfig
from skyloom.core.store import find_files, list_field, object_field, read_json_rows, text_field

ROLE_NAMES: dict[str, str] = {
    "human": "user",
    "gpt": "assistant",
    "user": "user",
    "assistant": "assistant",
    "system": "system",
}
"""Role names of OpenAI's and ShareGPT's forms."""
TEST_NAME: re.Pattern[str] = re.compile(r"(?:^|[^a-z])(?:test|eval|validation|dev)(?:[^a-z]|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesConfig(SourceConfig):
    """Base of sources that read local files."""

    path: Path = field(default=Path(), metadata=NOT_KEYED)
    """A file, or a folder that is read with everything below it; its content, not its name, keys the run."""
    max_rows: int = 0
    """Read so many rows at most; 0 reads all."""


def files_of(config: FilesConfig) -> tuple[Path, ...]:
    """The files in path order; raises BadInput where the path is not set or holds none."""
    if config.path == Path():
        raise BadInput("source: path is not set; give --data PATH or --set collect.<source>.path=PATH")
    return find_files(config.path)


def is_test_name(files: Sequence[Path]) -> bool:
    """Whether a file is a test split by its name: test, eval, validation or dev as a word of it."""
    return any(TEST_NAME.search(path.name.lower()) for path in files)


def file_rows(config: FilesConfig) -> Iterator[Raw | Reject]:
    """Rows of all files in path order, up to `max_rows`."""
    left = config.max_rows or -1
    for path in files_of(config):
        for raw in read_json_rows(path):
            if left == 0:
                return
            left -= 1
            yield raw


def turns_field(raw: Mapping[str, Any], name: str) -> list[Message]:  # Any: parsed JSON or Parquet values
    """A list of turns as {role, content} or ShareGPT's {from, value}; raises BadRow."""
    return [_turn(item, name) for item in list_field(raw, name)]


def text_or_turns(raw: Mapping[str, Any], name: str) -> str | list[Message]:  # Any: as above
    """A plain text, or turns (one turn may stand without its list); raises BadRow."""
    value = raw.get(name)
    if isinstance(value, list):
        return turns_field(raw, name)
    if isinstance(value, dict):
        return [_turn(cast(dict[str, Any], value), name)]
    return text_field(raw, name)


def _turn(item: Any, name: str) -> Message:  # Any: as above
    turn = object_field({name: item}, name)
    role_key, text_key = ("from", "value") if "from" in turn else ("role", "content")
    try:
        role, content = text_field(turn, role_key), text_field(turn, text_key)
    except BadRow as error:
        raise BadRow(f"{name}.{error.field}", error.reason) from error
    if role.lower() not in ROLE_NAMES:
        raise BadRow(f"{name}.{role_key}", f"unknown role; known: {', '.join(ROLE_NAMES)}")
    return Message(role=ROLE_NAMES[role.lower()], content=content)
