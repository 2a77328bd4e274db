"""A typed `jit`, and where machine code is cached.

numba keeps stale machine code when a callee in another file or a table changes, so the cache directory's name holds a hash
of every engine source and of numba's version. Inner functions are compiled into the entry points that call them
(`kernels.py`); only entry points are cached.

Flow  every kernel file imports `jit`; `kernels.load` imports `cache_dir`
Run   NUMBA_DISABLE_JIT=1 runs the same functions as plain Python (about 100 loops a second)
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import numba
from numba import types

F = TypeVar("F", bound=Callable[..., object])


def jit(function: F) -> F:
    """numba.njit with the function's own type, for functions that only other kernels call.

    No wrappers for Python and C and no checks for division by zero (which the rules exclude): both cost compile time. So
    does a version for each mix of int32, int64, constants and enum members: every integer argument is widened to int64.
    """
    compiled = njit(no_cpython_wrapper=True)(function)
    resolve = getattr(compiled, "get_call_template", None)  # absent where NUMBA_DISABLE_JIT leaves plain functions
    if resolve is not None:
        widened = partial(_resolve_wide, resolve)
        setattr(compiled, "get_call_template", widened)  # noqa: B010
    return compiled


def _resolve_wide(resolve: Callable[..., object], args: tuple[types.Type, ...], kws: dict[str, types.Type]) -> object:
    return resolve(tuple(_wide(kind) for kind in args), kws)


def _wide(kind: types.Type) -> types.Type:
    plain = types.unliteral(kind)
    return types.int64 if isinstance(plain, types.Integer | types.IntEnumMember) else plain


def njit(signature: str | None = None, **options: bool) -> Callable[[F], F]:
    """numba.njit with our options and a type; a signature compiles at once."""
    make = cast(Callable[..., Callable[[F], F]], numba.njit)
    return make(signature, error_model="numpy", no_cfunc_wrapper=True, **options)


def engine_hash() -> str:
    """16 hex digits over the engine's sources and numba's version: changes whenever machine code may."""
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def cache_dir() -> Path:
    """A writable directory for compiled kernels: the user's cache, or a temporary one where the home is read-only."""
    roots = [Path(os.environ[name]) for name in ("XDG_CACHE_HOME",) if os.environ.get(name)]
    roots += [Path(os.path.expanduser("~/.cache")), Path(tempfile.gettempdir()) / f"skyloom-{_user()}"]  # noqa: PTH111
    for root in roots:
        folder = root / "skyloom" / f"engine-{engine_hash()}"
        if _writable(folder):
            return folder
    return Path(tempfile.mkdtemp(prefix="skyloom-engine-"))


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
