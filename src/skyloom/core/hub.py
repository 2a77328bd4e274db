"""Data sets of the Hugging Face hub, streamed into local JSONL parts that are whole or absent.

After every part the stream's own position is written beside the parts, together with the commit that the first call found, so a killed or
cut download goes on where it was with the same command, on the same data, and ends in the same bytes. A finished folder is read from disk
for ever after; delete it to fetch anew. NaN and infinity, which JSON has not, are written as text, so that the reader rejects that field.

Layout   part-00000.jsonl ...  fetch.json {what was asked, commit, rows, parts, position, done}  .lock
Flow     [collect] -> curate -> train -> evaluate -> report; sources read through it where `hub` is set and `path` is not
Run      skyloom run skywork_v02 --set collect.helpsteer2.hub=nvidia/HelpSteer2
"""

import contextlib
import fcntl
import json
import math
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from skyloom.core import store
from skyloom.core.errors import BadInput, FailedWork, MissingExtra
from skyloom.core.progress import bar
from skyloom.core.records import Raw
from skyloom.core.run import CACHE_VARIABLE

PART_ROWS: int = 4096
"""Rows of one part: what a cut loses at most."""
STATE: str = "fetch.json"


class Hub(NamedTuple):
    """Where a data set stands on the hub; a source's constant HUB."""

    name: str = ""
    """Owner and name, such as nvidia/HelpSteer2; a local folder that `datasets` can load will do."""
    config: str = ""
    """The set's configuration; empty where it has one."""
    split: str = "train"
    revision: str = ""
    """Branch, tag or commit; empty takes the newest commit at the first call."""
    skip: tuple[str, ...] = ()
    """Columns that are not written: large ones that nobody reads."""


def parse(text: str, default: Hub) -> Hub:
    """`NAME[:CONFIG[:SPLIT]][@REVISION]`; what it leaves out comes from `default`. Raises BadInput for another form."""
    name, _, revision = text.partition("@")
    parts = name.split(":")
    if not parts[0] or len(parts) > 3:
        raise BadInput(f"hub {text!r}: write NAME, NAME@REVISION or NAME:CONFIG:SPLIT, for example nvidia/HelpSteer2")
    config, split = [*parts[1:], "", ""][:2]
    return default._replace(
        name=parts[0], config=config or default.config, split=split or default.split, revision=revision
    )


def folder_of(hub: Hub) -> Path:
    """Where the parts stand: below $SKYLOOM_CACHE, or below the cache of runs/."""
    cache = Path(os.environ.get(CACHE_VARIABLE) or Path("runs") / ".skyloom-cache")
    words = (hub.name.strip("/"), hub.config or "default", hub.split, hub.revision or "newest")
    return cache / "hub" / "--".join(word.replace("/", "__") for word in words)


def fetch(
    name: str, config: str, split: str, revision: str, folder: Path, *, skip: Sequence[str] = ()
) -> tuple[Path, ...]:
    """The parts of one split in order, downloaded into `folder` as far as they are not there.

    Raises BadInput where the set, its configuration, split or revision is not there, is gated or cannot be reached, or where the folder
    holds another download; MissingExtra without the package `datasets`; FailedWork where the connection broke: call again to go on.
    """
    asked = {"name": name, "config": config, "split": split, "revision": revision, "skip": list(skip)}
    state = _read_state(folder, asked)
    if not state["done"]:
        with _locked(folder):
            state = _read_state(folder, asked)
            if not state["done"]:
                _download(folder, state)
    return tuple(folder / _part_name(k) for k in range(state["parts"]))


def _download(folder: Path, state: dict[str, Any]) -> None:  # Any: the JSON of fetch.json
    asked = state["asked"]
    with _told(asked["name"], state):
        if not state["commit"]:
            state["commit"] = _commit(asked["name"], asked["revision"])
        stream = _open(asked, state["commit"])
        if state["position"] is not None:
            stream.load_state_dict(state["position"])
        lines: list[str] = []
        with bar(f"fetching {asked['name']}", _total(stream, asked["split"])) as shown:
            shown.advance(state["rows"])
            for row in cast(Iterator[Mapping[str, Any]], stream):
                lines.append(_line(row, asked["skip"]))
                shown.advance()
                if len(lines) == PART_ROWS:
                    _keep(folder, state, lines, stream.state_dict())
                    lines = []
        if lines:
            _keep(folder, state, lines, stream.state_dict())
    if state["rows"] == 0:
        raise BadInput(f"hub {asked['name']}: split {asked['split']!r} holds no rows")
    state |= {"done": True, "position": None}
    store.write_json(folder / STATE, state)


def _keep(folder: Path, state: dict[str, Any], lines: Sequence[str], position: Any) -> None:
    """One more part, then the position behind it: a kill in between writes the same part again. Any: the stream's own JSON."""
    store.write_text(folder / _part_name(state["parts"]), "".join(lines))
    state |= {"parts": state["parts"] + 1, "rows": state["rows"] + len(lines), "position": position}
    store.write_json(folder / STATE, state)


def _part_name(number: int) -> str:
    return f"part-{number:05d}.jsonl"


def _line(row: Mapping[str, Any], skip: Sequence[str]) -> str:
    kept = {name: value for name, value in row.items() if name not in skip}
    try:
        text = json.dumps(kept, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(_finite(kept), ensure_ascii=False, allow_nan=False, default=str)
    return text.encode(errors="backslashreplace").decode() + "\n"  # a lone surrogate cannot be written as it is


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in cast(dict[str, Any], value).items()}
    return [_finite(item) for item in cast(list[Any], value)] if isinstance(value, list) else value


def _open(asked: Mapping[str, Any], commit: str) -> Any:  # Any: datasets.IterableDataset; the package is optional
    try:
        from datasets import load_dataset
    except ModuleNotFoundError as error:
        raise MissingExtra(f"hub {asked['name']}: needs the package datasets: pip install 'skyloom[hub]'") from error
    return load_dataset(
        asked["name"], asked["config"] or None, split=asked["split"], revision=commit or None, streaming=True
    )


def _commit(name: str, revision: str) -> str:
    """The commit that a revision stands for now; empty for a local folder."""
    if Path(name).is_dir():
        return ""
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise MissingExtra(f"hub {name}: needs the package datasets: pip install 'skyloom[hub]'") from error
    return str(HfApi().dataset_info(name, revision=revision or None).sha)


def _total(stream: Any, split: str) -> int | None:  # Any: as above
    splits = getattr(getattr(stream, "info", None), "splits", None) or {}
    return getattr(splits.get(split), "num_examples", None) or None


def _read_state(folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    if not (folder / STATE).is_file():
        return {"asked": dict(asked), "commit": "", "rows": 0, "parts": 0, "position": None, "done": False}
    (raw,) = store.read_json_rows(folder / STATE)
    if not isinstance(raw, Raw) or "asked" not in raw.data:
        raise BadInput(f"{folder / STATE}: damaged; delete {folder} and run again")
    if raw.data["asked"] != asked:
        raise BadInput(f"{folder}: holds another download ({raw.data['asked']}); choose another folder")
    return dict(raw.data)


@contextmanager
def _told(name: str, state: Mapping[str, Any]) -> Generator[None]:
    """Turn what the libraries raise into one line with the remedy."""
    try:
        yield
    except ValueError as error:  # `datasets` lists the known configurations and splits
        raise BadInput(f"hub {name}: {_first_line(error)}") from error
    except _failures() as error:
        chain = [error, error.__cause__, error.__context__]
        kinds = " ".join(type(each).__name__ for each in chain)
        if "Gated" in kinds or "is a gated" in str(error):
            page = f"https://huggingface.co/datasets/{name}"
            raise BadInput(
                f"hub {name}: gated; accept its licence at {page}, then set HF_TOKEN to a token of yours"
            ) from error
        if "RevisionNotFound" in kinds:
            asked = state["asked"]["revision"] or state["commit"]
            raise BadInput(f"hub {name}: has no revision {asked!r}") from error
        if "DatasetNotFound" in kinds or "RepositoryNotFound" in kinds:
            raise BadInput(f"hub {name}: no such data set, or a private one: set HF_TOKEN") from error
        if state["position"] is None:
            remedy = "needs a network; or give the files by path"
            raise BadInput(f"hub {name}: cannot be reached ({_first_line(error)}); {remedy}") from error
        rows = f"{state['rows']:,} rows are safe"
        raise FailedWork(f"hub {name}: cut off ({_first_line(error)}); {rows}, the same command goes on") from error


def _failures() -> tuple[type[Exception], ...]:
    """What breaks on the way: OSError, and the libraries' own errors, most of which are none."""
    found: list[type[Exception]] = [OSError, EOFError]
    with contextlib.suppress(ModuleNotFoundError):
        from aiohttp import ClientError
        from datasets.exceptions import DatasetsError
        from huggingface_hub.errors import HfHubHTTPError

        # its HTTP client changes from version to version; the client's base error is a base of this one
        found += [ClientError, DatasetsError, *HfHubHTTPError.__bases__]
    return tuple(found)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Two runs that want the same set: the second one waits."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise FailedWork(f"cannot write {folder}: {error.strerror}; set {CACHE_VARIABLE} to another folder") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
