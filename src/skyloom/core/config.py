"""Configs: frozen nested dataclasses with dotted overrides, a JSON round trip and a stable fingerprint.

A config lives with what it builds. Field types: bool, int, float, str, Path, Literal, X | None, tuple[X, ...], dict[str, X],
another Config, or a PluginConfig (also its base class), whose JSON form carries `"plugin": "group/name"`.

Flow  recipes build them, `--set a.b=v` changes them, run directories keep them as JSON, fingerprints key every cached result.
Run   skyloom run skywork_reward --set train.loss.margin=0.5
"""

import hashlib
import json
import math
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from skyloom.core import registry
from skyloom.core.errors import BadInput

NOT_KEYED: dict[str, bool] = {"not_keyed": True}
"""`field(metadata=NOT_KEYED)`: the field stays out of the fingerprint (a path, a worker count): it must not change results."""

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]
C = TypeVar("C", bound="Config")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Base of every config; subclasses repeat the decorator `@dataclass(frozen=True, kw_only=True, slots=True)`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginConfig(Config):
    """Config of a plug-in: the class named `Config` in the plug-in's own file."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[JSON]]:  # Any: pickle's own protocol
        """Pickled by name and values, so that a worker process loads plug-in files that came by --plugins."""
        return _unpickle, (to_dict(self),)


def to_dict(config: Config) -> dict[str, JSON]:
    """The JSON form: every field, defaults included, so that a run directory states all it used."""
    body = {field.name: _to_json(getattr(config, field.name)) for field in fields(config)}
    if isinstance(config, PluginConfig):
        return {"plugin": str(registry.plugin_of(config)), **body}
    return body


def from_dict(cls: type[C], data: Mapping[str, Any], where: str = "config") -> C:
    """A config from its JSON form; raises BadInput naming the path for unknown keys, wrong types and missing values."""
    if issubclass(cls, PluginConfig):
        cls = cast(type[C], _plugin_class(cls, data, where))
        data = {key: value for key, value in data.items() if key != "plugin"}
    known = {field.name: field for field in fields(cls)}
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise BadInput(f"{where}: unknown key {unknown[0]!r}; known keys: {', '.join(known)}")
    missing = [name for name, field in known.items() if name not in data and _default(field) is MISSING]
    if missing:
        raise BadInput(f"{where}.{missing[0]}: a value is required")
    hints = _hints(cls)
    values = {name: _convert(value, hints[name], f"{where}.{name}") for name, value in data.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from error


def override(config: C, settings: Sequence[str]) -> C:
    """Apply `path=value` settings in order, e.g. `train.lr=1e-3`, `curate.top_k.share=0.2`, `train.loss=focal`.

    An element of a tuple is addressed by its plug-in's name or its own, or by its position where two share a name. Values are read
    as JSON and, failing that, as text.
    """
    data: Any = to_dict(config)
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise BadInput(f"--set {setting}: write path=value, for example train.lr=1e-3")
        _assign(data, path.split("."), _parse_value(text), f"--set {path}")
    return from_dict(type(config), data, "--set")


def fingerprint(config: Config) -> str:
    """16 hex digits that change when a keyed, non-default field, the plug-in's VERSION or its name changes; never with git."""
    return hashlib.blake2b(canonical(_keyed(config)), digest_size=8).hexdigest()


def canonical(value: JSON) -> bytes:
    """The one JSON text of a value: sorted keys, no blanks, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _keyed(value: Any) -> JSON:  # Any: walks field values of any config
    if isinstance(value, Config):
        kept = [field for field in fields(value) if not field.metadata.get("not_keyed")]
        body = {f.name: _keyed(getattr(value, f.name)) for f in kept if getattr(value, f.name) != _default(f)}
        if not isinstance(value, PluginConfig):
            return {"class": type(value).__qualname__, **body}
        version = int(getattr(sys.modules[type(value).__module__], "VERSION", 1))
        return {"plugin": str(registry.plugin_of(value)), "version": version, **body}
    if isinstance(value, tuple):
        return [_keyed(item) for item in cast(tuple[Any, ...], value)]
    return _to_json(value)


def _to_json(value: Any) -> JSON:
    if isinstance(value, Config):
        return to_dict(value)
    if isinstance(value, tuple | list):
        return [_to_json(item) for item in cast(Sequence[Any], value)]
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in cast(dict[Any, Any], value).items()}
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a config cannot hold {type(value).__name__}")


def _default(field: "Field[Any]") -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _unpickle(data: dict[str, JSON]) -> PluginConfig:
    return from_dict(PluginConfig, data)


def _plugin_class(base: type[Config], data: Mapping[str, Any], where: str) -> type[Config]:
    if "plugin" not in data:
        if base.__name__ == "Config":  # a concrete plug-in's own class
            return base
        raise BadInput(f'{where}: name the plug-in, for example {{"plugin": "reward.losses/bradley_terry"}}')
    plugin = registry.parse(str(data["plugin"]))
    found = getattr(registry.load(plugin.group, plugin.name), "Config", None)
    if not isinstance(found, type) or not issubclass(found, base):
        raise BadInput(f"{where}: {plugin} is not a {base.__name__}")
    return found


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(value, get_args(hint), where)
    if origin is Literal:
        if value not in get_args(hint):
            raise BadInput(f"{where}: {value!r} is not one of {', '.join(map(str, get_args(hint)))}")
        return value
    if origin is tuple:
        return _convert_tuple(value, get_args(hint), where)
    if origin is dict:
        _expect(isinstance(value, dict), value, "an object", where)
        return {key: _convert(item, get_args(hint)[1], f"{where}.{key}") for key, item in value.items()}
    if isinstance(hint, type) and issubclass(hint, Config):
        if isinstance(value, Config):
            return value
        _expect(isinstance(value, dict), value, f"the fields of {hint.__name__}", where)
        return from_dict(hint, value, where)
    return _convert_scalar(value, hint, where)


def _convert_union(value: Any, options: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in options:
        return None
    problems: list[str] = []
    for option in options:
        if option is not type(None):
            try:
                return _convert(value, option, where)
            except BadInput as error:
                problems.append(str(error))
    raise BadInput(problems[0])


def _convert_tuple(value: Any, items: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    _expect(isinstance(value, list | tuple), value, "a list", where)
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_convert(item, items[0], f"{where}.{k}") for k, item in enumerate(value))
    _expect(len(value) == len(items), value, f"a list of {len(items)}", where)
    return tuple(_convert(item, hint, f"{where}.{k}") for k, (item, hint) in enumerate(zip(value, items, strict=True)))


def _convert_scalar(value: Any, hint: Any, where: str) -> Any:
    if hint is bool:
        _expect(isinstance(value, bool), value, "true or false", where)
        return value
    if hint is int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        _expect(whole and not isinstance(value, bool), value, "a whole number", where)
        return int(value)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _expect(number and math.isfinite(value), value, "a finite number", where)
        return float(value)
    if hint is str:
        _expect(isinstance(value, str), value, "text", where)
        return value
    if hint is Path:
        _expect(isinstance(value, str | Path), value, "a path", where)
        return Path(value)
    raise TypeError(f"{where}: a config field cannot have the type {hint}")


def _expect(holds: bool, value: object, what: str, where: str) -> None:
    if not holds:
        raise BadInput(f"{where}: expected {what}, got {value!r}")


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _assign(data: Any, path: list[str], value: Any, where: str) -> None:
    node = data
    for part in path[:-1]:
        node = node[_key(node, part, path[-1], where)]
    key = _key(node, path[-1], None, where)
    old = node[key]
    if isinstance(old, dict) and "plugin" in old and isinstance(value, str):
        group = registry.parse(str(cast(dict[str, Any], old)["plugin"])).group
        value = _plugin_defaults(value if "/" in value else f"{group}/{value}")
    node[key] = value


def _plugin_defaults(text: str) -> dict[str, JSON]:
    """The JSON form of a plug-in's defaults, so that a later setting may name any of its fields; required ones stand as null."""
    cls = _plugin_class(PluginConfig, {"plugin": text}, "--set")
    return {"plugin": text, **{field.name: _to_json(_or_none(_default(field))) for field in fields(cls)}}


def _or_none(default: Any) -> Any:
    return None if default is MISSING else default


def _called(item: Any) -> str:
    """What an element of a tuple is addressed by: its plug-in's name, or its own."""
    data = cast(dict[str, Any], item) if isinstance(item, dict) else {}
    return str(data["plugin"]).partition("/")[2] if "plugin" in data else str(data.get("name", ""))


def _key(node: Any, part: str, last: str | None, where: str) -> Any:
    """The key or position that one part of a dotted path means inside `node`."""
    if isinstance(node, dict):
        if part in node:
            return part
        raise BadInput(f"{where}: unknown key {part!r}; known keys: {', '.join(map(str, cast(dict[str, Any], node)))}")
    if isinstance(node, list):
        items = cast(list[Any], node)
        if part.isdigit() and int(part) < len(items):
            return int(part)
        called = [_called(item) for item in items]
        hits = [k for k, name in enumerate(called) if name == part]
        if (
            len(hits) > 1 and last is not None
        ):  # an annotator and a decider may share a name: take the one with that field
            hits = [k for k in hits if last in items[k]] or hits
        if len(hits) == 1:
            return hits[0]
        problem = "stands more than once; use its position" if hits else "is not there"
        raise BadInput(f"{where}: {part!r} {problem}; elements: {', '.join(f'{k} {n}' for k, n in enumerate(called))}")
    raise BadInput(f"{where}: {part!r} is looked up in a plain value")
