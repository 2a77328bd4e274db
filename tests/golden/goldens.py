"""Golden files: numbers kept in git that a change must not move unseen.

A golden is two files in this folder: `golden_NAME.py` with `compute() -> JSON` (plain dicts, lists, numbers, texts) and
optionally `RTOL` (0 when left out: equal to the last bit), and `NAME.json`, which `regold.py` writes. `test_golden.py`
finds every pair by itself. Loss curves use RTOL = 1e-3, because other machines add up in other orders.
"""

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]


def names() -> list[str]:
    return sorted(path.stem.removeprefix("golden_") for path in HERE.glob("golden_*.py"))


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"golden_{name}", HERE / f"golden_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compute(name: str) -> JSON:
    return json.loads(json.dumps(load(name).compute()))


def kept(name: str) -> JSON:
    path = HERE / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def write(name: str, value: JSON) -> None:
    (HERE / f"{name}.json").write_text(json.dumps(value, sort_keys=True, indent=1) + "\n")


def differences(old: JSON, new: JSON, rtol: float, where: str = "") -> list[str]:
    """Every place at which two values differ by more than `rtol` of the old one."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [line for key in keys for line in differences(old.get(key), new.get(key), rtol, f"{where}.{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for k, pair in enumerate(zip(old, new, strict=True))
            for line in differences(*pair, rtol, f"{where}[{k}]")
        ]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (old, new))
    same = math.isclose(old, new, rel_tol=rtol) if numbers else old == new
    return [] if same else [f"{where or 'value'}: {old!r} -> {new!r}"]
