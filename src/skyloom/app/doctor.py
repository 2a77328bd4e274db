"""`skyloom doctor`: is this machine fit to run everything that is installed?

Each check really does the thing: writes and renames a file, binds a loopback port, compiles a function, multiplies a matrix.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from skyloom.app.output import print_json
from skyloom.core import registry, store
from skyloom.core.errors import SkyloomError

_DISK_GB: float = 2.0
_EXTRAS: dict[str, tuple[str, ...]] = {
    "rl": ("torch", "safetensors"),
    "llm": ("torch", "safetensors", "transformers", "tokenizers", "gguf"),
    "ray": ("ray",),
    "replays": ("s2protocol", "sc2reader"),
}


class Finding(NamedTuple):
    """One check: fine, a hint (something optional is absent), or broken (exit code 1)."""

    name: str
    state: str
    """ok, hint or broken"""
    told: str


def examine(as_json: bool) -> bool:
    """Run every check and print it; True where nothing is broken."""
    checks: dict[str, Callable[[], str]] = {
        "python": _python,
        "disk": _disk,
        "atomic writes": _writes,
        "loopback server": _loopback,
        "plug-ins": _plugins,
        "numba": _numba,
        "parquet": _parquet,
    }
    found = [_try(name, check) for name, check in checks.items()]
    found += [_extra(name, packages) for name, packages in _EXTRAS.items()]
    found += [_torch(), _data()]
    if as_json:
        print_json([finding._asdict() for finding in found])
    else:
        colours = {"ok": "green", "hint": "yellow", "broken": "red"}
        table = Table("check", "", "found")
        for finding in found:
            state = f"[{colours[finding.state]}]{finding.state}[/]"
            table.add_row(escape(finding.name), state, escape(finding.told))
        Console().print(table)
    return all(finding.state != "broken" for finding in found)


def _try(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", check())
    except (SkyloomError, OSError, ImportError, RuntimeError, ValueError) as error:
        return Finding(name, "broken", " ".join(str(error).split()))


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()}, {os.cpu_count()} cores"


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < _DISK_GB:
        raise RuntimeError(f"{free:.1f} GB free here; {_DISK_GB:.0f} GB are needed")
    return f"{free:.0f} GB free"


def _writes() -> str:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder) / "probe"
        started = time.perf_counter()
        store.write_bytes(path, b"probe")
        if path.read_bytes() != b"probe":
            raise RuntimeError("what was written did not read back")
    return f"write, flush and rename in {1000 * (time.perf_counter() - started):.1f} ms"


def _loopback() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=2):
        return f"port {server.getsockname()[1]} answered"


def _plugins() -> str:
    groups = registry.groups()
    total = sum(len(registry.names(group)) for group in groups)
    return f"{total} plug-ins in {len(groups)} groups"


def _numba() -> str:
    import numba

    started = time.perf_counter()
    if numba.njit(_one_more)(41) != 42:
        raise RuntimeError("a compiled function gave a wrong answer")
    return f"numba {numba.__version__} compiled in {time.perf_counter() - started:.1f} s"


def _one_more(number: int) -> int:
    return number + 1


def _parquet() -> str:
    import polars as pl

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.parquet"
        store.write_parquet(path, pl.DataFrame({"row": [1, 2]}))
        if pl.read_parquet(path)["row"].sum() != 3:
            raise RuntimeError("a Parquet file did not read back")
    return f"polars {pl.__version__}"


def _extra(name: str, packages: tuple[str, ...]) -> Finding:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        return Finding(f"extra [{name}]", "hint", f"no {', '.join(missing)}: pip install 'skyloom[{name}]'")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    return Finding(f"extra [{name}]", "ok", versions)


def _torch() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("torch", "hint", "not installed: arena, curation and reports work without it")
    torch = importlib.import_module("torch")
    product = torch.ones(64, 64) @ torch.ones(64, 64)
    if float(product[0, 0]) != 64.0:
        return Finding("torch", "broken", "a matrix product gave a wrong answer")
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU: everything runs on the CPU"
    return Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads, {device}")


def _data() -> Finding:
    folder = os.environ.get("SKYLOOM_DATA", "")
    if not folder:
        return Finding("real data", "hint", "SKYLOOM_DATA is not set: tests on real data are skipped")
    state = "ok" if Path(folder).is_dir() else "broken"
    return Finding("real data", state, folder if state == "ok" else f"SKYLOOM_DATA={folder}: no such directory")
