"""What the readers of preference data share: where the rows stand, which are test splits, conversations in JSON.

Rows come from `path`, or, where that is not set, from `hub` through core/hub.py. A source of plain rows takes `files_of`, `split_of` and
`file_rows` over as its own `inputs`, `split` and `rows`.

Flow   [collect] -> curate -> train -> evaluate -> report; every source here but the world reads through it
Run    skyloom list reward.sources
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from skyloom.core import hub, registry
from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.hub import Hub
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
    """Base of sources that read files."""

    path: Path = field(default=Path(), metadata=NOT_KEYED)
    """A file, or a folder that is read with everything below it; its content, not its name, keys the run."""
    hub: str = field(default="", metadata=NOT_KEYED)
    """Where `path` is not set: a Hugging Face name, `NAME[:CONFIG[:SPLIT]][@REVISION]`, fetched once; its content keys the run."""
    max_rows: int = 0
    """Read so many rows at most; 0 reads all."""


def files_of(config: FilesConfig) -> tuple[Path, ...]:
    """The files in path order, downloaded first where they come from the hub; raises BadInput where nothing is set or there."""
    if config.path != Path():
        return find_files(config.path)
    if not config.hub:
        name = config.label or registry.plugin_of(config).name
        online = f", or --set collect.{name}.hub={_hub(config).name or 'OWNER/NAME'}"
        raise BadInput(f"source {name}: path is not set; give --data PATH, or --set collect.{name}.path=PATH{online}")
    asked = hub.parse(config.hub, _hub(config))
    return hub.fetch(*asked[:4], hub.folder_of(asked), skip=asked.skip)


def split_of(config: FilesConfig) -> str:
    """`test` where a file, or the split on the hub, is named so."""
    if config.path == Path() and config.hub:
        return "test" if TEST_NAME.search(hub.parse(config.hub, _hub(config)).split.lower()) else "train"
    return "test" if is_test_name(files_of(config)) else "train"


def benchmark_split(config: FilesConfig) -> str:
    """Always a test split: a benchmark, whatever its files are called."""
    del config
    return "test"


def is_test_name(files: Sequence[Path]) -> bool:
    """Whether a file is a test split by its name: test, eval, validation or dev as a word of it."""
    return any(TEST_NAME.search(path.name.lower()) for path in files)


def file_rows(config: FilesConfig, shard: int = 0) -> Iterator[Raw | Reject]:
    """Rows of all files in path order, up to `max_rows`; there is one shard."""
    del shard
    return rows_of(files_of(config), config.max_rows)


def rows_of(files: Sequence[Path], max_rows: int = 0) -> Iterator[Raw | Reject]:
    """Rows of the files in the order given, `max_rows` at most; 0 reads all."""
    left = max_rows or -1
    for path in files:
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


def common_prompt(chosen: list[Message], rejected: list[Message]) -> tuple[list[Message], str, str]:
    """(prompt, chosen reply, rejected reply) of two conversations that part at their last turn; raises BadRow for others."""
    if len(chosen) < 2 or chosen[:-1] != rejected[:-1]:
        raise BadRow("rejected", "differs from chosen before the last turn")
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        if turns[-1].role != "assistant":
            raise BadRow(name, "the last turn is not the assistant's")
    return chosen[:-1], chosen[-1].content, rejected[-1].content


def user_turn(text: str) -> list[Message]:
    """A prompt of one user turn."""
    return [Message(role="user", content=text)]


def _hub(config: FilesConfig) -> Hub:
    return getattr(registry.module_of(config), "HUB", Hub())


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
