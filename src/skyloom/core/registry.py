"""Plug-ins: one file each, found by name without being imported, imported when used.

A *group* is a dotted package under `skyloom`, such as `reward.losses`; a plug-in is one file in it and its name is the
file's name. Third parties add files by `--plugins DIR` (`DIR/reward/losses/x.py`, also the variable SKYLOOM_PLUGINS, which
worker processes inherit) or by an entry point in the group `skyloom.reward.losses`; nothing in the package is edited.

Flow  config, ledger, pipelines and the command line resolve names here; an ImportError is never swallowed.
Run   skyloom list
"""

import ast
import functools
import importlib
import importlib.util
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from skyloom.core.errors import BadInput, MissingExtra

PLUGINS_VARIABLE: str = "SKYLOOM_PLUGINS"
_PACKAGE: Path = Path(__file__).resolve().parent.parent
_FOREIGN: str = "skyloom_plugins"  # module prefix of files that come from a plug-in directory
_EXTRA_OF: dict[str, str] = {
    "torch": "rl",
    "safetensors": "rl",
    "transformers": "llm",
    "tokenizers": "llm",
    "gguf": "llm",
    "datasets": "hub",
    "ray": "ray",
    "s2protocol": "replays",
    "sc2reader": "replays",
}
_foreign_names: dict[str, "Plugin"] = {}  # module name -> plug-in, for modules whose name does not say it


class Plugin(NamedTuple):
    """The public name of a plug-in; its text form is `group/name`."""

    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.group}/{self.name}"


def names(group: str) -> tuple[str, ...]:
    """All plug-ins of a group in alphabetical order; raises BadInput for an unknown group or a name that stands twice."""
    return tuple(sorted(_locations(group)))


def summary(group: str, name: str) -> str:
    """First line of the plug-in's docstring, read without importing it; empty for an entry point."""
    path = _locations(group)[_known(group, name)]
    if path is None:
        return ""
    text = path.read_text(encoding="utf-8")
    try:
        doc = ast.get_docstring(ast.parse(text)) or ""
    except SyntaxError as error:
        raise BadInput(f"{path}:{error.lineno}: plug-in does not parse: {error.msg}") from error
    return doc.partition("\n")[0]


def load(group: str, name: str) -> ModuleType:
    """Import one plug-in; raises BadInput for an unknown name (listing the known ones), MissingExtra for a missing package."""
    path = _locations(group)[_known(group, name)]
    try:
        if path is None:
            return _load_entry_point(group, name)
        if path.is_relative_to(_PACKAGE):
            return importlib.import_module(f"skyloom.{group}.{name}")
        return _load_file(group, name, path)
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        remedy = f"pip install 'skyloom[{extra}]'"
        raise MissingExtra(f"plug-in {group}/{name} needs the package {error.name}: {remedy}") from error


def plugin_of(config: object) -> Plugin:
    """Which plug-in a config instance or class belongs to."""
    cls = config if isinstance(config, type) else type(config)
    module = cls.__module__
    if module in _foreign_names:
        return _foreign_names[module]
    prefix, _, path = module.partition(".")
    group, _, name = path.rpartition(".")
    if prefix != "skyloom" or not group:
        raise BadInput(f"{module}.{cls.__name__} does not stand in a plug-in file")
    return Plugin(group, name)


def module_of(config: object) -> ModuleType:
    """The imported module that a config's class stands in."""
    cls = config if isinstance(config, type) else type(config)
    return sys.modules[cls.__module__]


def parse(text: str) -> Plugin:
    """`group/name` back into a Plugin; raises BadInput if it has another form."""
    group, slash, name = text.partition("/")
    if not slash or not group or not name:
        raise BadInput(f"a plug-in is named group/name, for example reward.losses/bradley_terry; got {text!r}")
    return Plugin(group, name)


def groups() -> tuple[str, ...]:
    """Every group of the package: folders whose files are plug-ins, found by the word that the folder is called."""
    words = {"sources", "annotate", "decide", "losses", "augment", "evals", "graders", "bots"}
    found = [path for path in _PACKAGE.glob("*/*") if path.is_dir() and path.name in words]
    found += [path for path in _PACKAGE.glob("recipes/*") if path.is_dir() and path.name != "__pycache__"]
    return tuple(sorted(".".join(path.relative_to(_PACKAGE).parts) for path in found))


def _known(group: str, name: str) -> str:
    known = names(group)
    if name not in known:
        raise BadInput(f"unknown plug-in {name!r} in {group}; known: {', '.join(known) or 'none'}")
    return name


def _locations(group: str) -> dict[str, Path | None]:
    """Name -> file, or None for an entry point."""
    return _scan(group, os.environ.get(PLUGINS_VARIABLE, ""))


@functools.lru_cache(maxsize=256)
def _scan(group: str, extra_dirs: str) -> dict[str, Path | None]:
    relative = Path(*group.split("."))
    folders = [_PACKAGE / relative]
    if not folders[0].is_dir():
        raise BadInput(f"unknown plug-in group {group!r}; known: {', '.join(groups())}")
    for text in filter(None, extra_dirs.split(os.pathsep)):
        if not Path(text).is_dir():
            raise BadInput(f"--plugins {text}: no such directory")
        folders.append(Path(text) / relative)
    found: dict[str, Path | None] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                _claim(found, group, path.stem, path)
    for point in entry_points(group=f"skyloom.{group}"):
        _claim(found, group, point.name, None)
    return found


def _claim(found: dict[str, Path | None], group: str, name: str, path: Path | None) -> None:
    if name in found:
        raise BadInput(f"plug-in {group}/{name} stands twice: {found[name]} and {path or 'an entry point'}; rename one")
    found[name] = path


def _load_file(group: str, name: str, path: Path) -> ModuleType:
    module_name = f"{_FOREIGN}.{group}.{name}"
    if module_name in sys.modules and sys.modules[module_name].__file__ == str(path):
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # before execution: dataclasses look their module up
    _foreign_names[module_name] = Plugin(group, name)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _load_entry_point(group: str, name: str) -> ModuleType:
    (point,) = (each for each in entry_points(group=f"skyloom.{group}") if each.name == name)
    module = point.load()
    if not isinstance(module, ModuleType):
        raise BadInput(f"entry point {name} of skyloom.{group} must name a module, not {type(module).__name__}")
    _foreign_names[module.__name__] = Plugin(group, name)
    return module
