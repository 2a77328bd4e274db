"""What the readers of problem files share: where the rows stand, a text that can be posed, levels, units, the closing line.

Flow   [collect] -> synthesize -> curate -> train -> evaluate -> report
Run    skyloom list mathqa.sources
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from skyloom.core import registry
from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Raw, Reject, SourceConfig
from skyloom.core.store import find_files, read_json_rows, text_field
from skyloom.mathqa.kinds import without_pictures
from skyloom.mathqa.records import MARK

LEVEL: re.Pattern[str] = re.compile(r"(?:Level )?([1-5?])")
POINTER: bytes = b"version https://git-lfs."
"""First bytes of the few lines that Git LFS leaves where a large file was not fetched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesConfig(SourceConfig):
    """Base of sources that read files."""

    path: Path = field(default=Path(), metadata=NOT_KEYED)
    """A file, or a folder that is read with everything below it; its content, not its name, keys the run."""


def files_of(config: FilesConfig) -> tuple[Path, ...]:
    """The files in path order; raises BadInput where no path is set or nothing is there."""
    if config.path == Path():
        name: str = registry.plugin_of(config).name
        raise BadInput(f"source {name}: path is not set; give --seeds PATH, or --set collect.{name}.path=PATH")
    return find_files(config.path)


def benchmark_split(config: FilesConfig) -> Literal["train", "test"]:
    """Always a test split: a benchmark, whatever its files are called."""
    del config
    return "test"


def read_files(files: Sequence[Path]) -> Iterator[Raw | Reject]:
    """Rows of the files in the order given; raises BadInput for a Git LFS pointer where data should be."""
    for path in files:
        with path.open("rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise BadInput(f"{path}: a Git LFS pointer, not the data; run `git lfs pull` where it was cloned")
        yield from read_json_rows(path)


def question_field(raw: Mapping[str, Any], name: str) -> str:  # Any: parsed JSON or Parquet values
    """A problem's text, stripped, with plain line ends; raises BadRow where it is missing, empty or only a picture."""
    return posed(text_field(raw, name), name)


def posed(text: str, name: str) -> str:
    """The same for a text that was put together; `name` is the field that a BadRow names."""
    clean: str = text.replace("\r\n", "\n").strip()
    if not clean:
        raise BadRow(name, "empty text")
    if not re.search(r"\w", without_pictures(clean)):
        raise BadRow(name, "only a picture")
    return clean


def plain(raw: Mapping[str, Any], name: str) -> str:  # Any: as above
    """A text or a number as stripped text, "" where it is missing or null; raises BadRow for anything else."""
    value = raw.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRow(name, f"expected text or a number, got {type(value).__name__}")
    whole: bool = isinstance(value, float) and value.is_integer()  # JSON writers that know floats only: 27.0
    return str(int(value) if whole else value).replace("\r\n", "\n").strip()


def level_field(raw: Mapping[str, Any], name: str = "level") -> int | None:  # Any: as above
    """1 to 5 from 3, "3" or "Level 3"; None for "Level ?"; raises BadRow for anything else."""
    hit: re.Match[str] | None = LEVEL.fullmatch(plain(raw, name))
    if hit is None:
        raise BadRow(name, "missing" if name not in raw else "expected 1 to 5, 'Level 1' to 'Level 5' or 'Level ?'")
    return None if hit[1] == "?" else int(hit[1])


def bare(answer: str) -> str:
    """An answer without dollar signs around its parts and without a last full stop."""
    return re.sub(r"(?<!\\)\$", "", answer).strip().removesuffix(".").strip()


def with_unit(question: str, unit: str) -> str:
    """The question with its unit asked for, where the data set keeps the unit apart: the answer is a bare number."""
    return f"{question}\nGive the answer in {unit}, as a number alone." if unit else question


def worked(working: str, answer: str) -> str:
    """A solution as every source gives it: the working, where there is one, then the last line `The answer is N`."""
    return f"{working}\n{MARK}{answer}".lstrip()


def options_text(options: Sequence[str]) -> str:
    """Options a line each, lettered (A), (B), ... where they are not lettered yet."""
    lettered = re.compile(r"\s*\(?[A-Z]\s*[).:]")
    return "\n".join(
        option.strip() if lettered.match(option) else f"({chr(ord('A') + k)}) {option.strip()}"
        for k, option in enumerate(options)
    )
