"""Run directories: every step of a loop is a folder that is whole or absent, and is not computed twice.

A step's key hashes its name, configs, version, the run's seed and the content of its inputs. Its work happens in a hidden
folder that survives a kill (`.collect-<key>`), so long work resumes from its own partial files; when the work returns, every file
is hashed into `step.json` and the folder takes its name in one rename. Running the same command again skips what is finished,
resumes what was cut, and redoes only the steps whose key changed.

Layout   run.json (recipe, config, seed, versions, timings)   .lock
         collect/ curate/ train/ evaluate/ ...  each with step.json {key, digest, files}
Unhashed hidden files (checkpoints, scratch) and `timing.json*`: everything else must be a pure function of config and inputs.
Flow     collect -> curate -> train -> evaluate -> report, each arrow one directory
"""

import contextlib
import fcntl
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from skyloom.core import store
from skyloom.core.config import JSON, Config, fingerprint, to_dict
from skyloom.core.errors import BadInput, FailedWork

CACHE_VARIABLE: str = "SKYLOOM_CACHE"
_PACKAGES: tuple[str, ...] = ("skyloom", "numpy", "polars", "pyarrow", "numba", "torch", "transformers")


class Run:
    """One open run directory; make it with `open_run`."""

    def __init__(self, path: Path, cache: Path, manifest: dict[str, Any]) -> None:  # Any: the JSON of run.json
        self.path = path
        self.cache = cache
        """Results that runs share: annotations and teacher replies, addressed by content. Deleting it costs time only."""
        self._manifest = manifest

    def step(
        self,
        name: str,
        work: Callable[[Path], None],
        *,
        config: Config | Sequence[Config],
        inputs: Sequence[Path] = (),
        version: int = 1,
    ) -> Path:
        """Do one step unless it is done; returns its folder.

        `work(folder)` writes into a private folder; what it left there before a kill is still there. `inputs` are files, or
        folders of earlier steps, whose content enters the key. Raise `version` when the step's own code changes its output.
        """
        configs = (config,) if isinstance(config, Config) else tuple(config)
        parts = {f"config.{k}": fingerprint(each) for k, each in enumerate(configs)}
        parts |= {f"input.{k}": content_of(path) for k, path in enumerate(inputs)}
        seed = str(self._manifest["seed"])  # every step may draw from it
        key = store.digest({"step": name, "version": str(version), "seed": seed, **parts})
        final = self.path / name
        if _finished(final, key):
            return final
        partial = self.path / f".{name}-{key[:16]}"
        if not _finished(partial, key):
            partial.mkdir(parents=True, exist_ok=True)
            started = time.monotonic()
            work(partial)
            self._seal(name, key, partial, time.monotonic() - started)
        self._publish(partial, final)
        return final

    def note(self, **values: JSON) -> None:
        """Add facts to the manifest, for example that a test split was trained on."""
        self._manifest.update(values)
        store.write_json(self.path / "run.json", self._manifest)

    def _seal(self, name: str, key: str, folder: Path, seconds: float) -> None:
        files = store.hash_tree(folder, skip=lambda each: each.startswith("timing.json") or each == "step.json")
        store.write_json(
            folder / "step.json", {"step": name, "key": key, "digest": store.digest(files), "files": files}
        )
        steps = self._manifest.setdefault("steps", {})
        steps[name] = {"key": key, "seconds": round(seconds, 3)}
        store.write_json(self.path / "run.json", self._manifest)

    def _publish(self, partial: Path, final: Path) -> None:
        if (
            final.exists()
        ):  # the same step under other settings: set aside first, because a rename cannot replace a folder
            aside = self.path / f".old-{final.name}"
            if aside.exists():
                store.remove_tree(aside)
            store.publish(final, aside)
        store.publish(partial, final)
        for stale in [*self.path.glob(f".old-{final.name}"), *self.path.glob(f".{final.name}-*")]:
            store.remove_tree(stale)


@contextmanager
def open_run(recipe: str, config: Config, out: Path | None, seed: int) -> Generator[Run]:
    """Open or create a run directory and hold its lock.

    Without `out` the directory is computed: `runs/<recipe>-<fingerprint>`. Raises BadInput where the directory holds something
    else or another recipe, or where another process is at work in it; FailedWork where it cannot be written.
    """
    path = out or default_out(recipe, config)
    manifest_path = path / "run.json"
    if path.exists() and not path.is_dir():
        raise BadInput(f"{path}: is a file; --out names a directory")
    if path.is_dir() and not manifest_path.exists() and any(p for p in path.iterdir() if p.name != ".lock"):
        raise BadInput(f"{path}: is not empty and holds no run.json; choose another --out")
    fresh = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailedWork(f"cannot write {path}: {error.strerror}; choose another --out") from error
    with _locked(path / ".lock"):
        old = read_manifest(path) if manifest_path.exists() else {}
        if old and old.get("recipe") != recipe:
            raise BadInput(f"{path}: holds a run of {old.get('recipe')!r}, not of {recipe!r}; choose another --out")
        manifest = _manifest(recipe, config, seed) | {"steps": old.get("steps", {})}
        store.write_json(manifest_path, manifest)
        cache = Path(os.environ.get(CACHE_VARIABLE) or path.resolve().parent / ".skyloom-cache")
        try:
            yield Run(path, cache, manifest)
        except BadInput:
            if fresh and _untouched(path):  # refused before any work: leave nothing behind
                store.remove_tree(path)
            raise


def _untouched(path: Path) -> bool:
    """Whether a run directory holds no file of a step, finished or begun."""
    return all(each.is_dir() or each.parent == path for each in path.rglob("*"))


def default_out(recipe: str, config: Config) -> Path:
    """Where a run goes when nobody says: the same config finds the same directory again."""
    return Path("runs") / f"{recipe}-{fingerprint(config)}"


def read_manifest(path: Path) -> dict[str, Any]:  # Any: JSON
    """run.json of a run directory; BadInput where there is none."""
    file = path / "run.json"
    if not file.is_file():
        raise BadInput(f"{path}: not a run directory (no run.json)")
    rows = [row for row in store.read_json_rows(file) if isinstance(row, store.Raw)]
    if not rows:
        raise BadInput(f"{file}: damaged")
    return dict(rows[0].data)


def latest_run(root: Path = Path("runs")) -> Path:
    """The run directory below `root` that was touched last; BadInput where there is none."""
    found = sorted(root.glob("**/run.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise BadInput(f"{root}: holds no run; name one with --run DIR")
    return found[-1].parent


def output_digests(path: Path) -> dict[str, str]:
    """Step -> digest of all its files: what two runs must share to be called equal."""
    found = sorted(path.glob("*/step.json"))
    return {file.parent.name: str(_read_step(file.parent)["digest"]) for file in found}


def content_of(path: Path) -> str:
    """Content hash of a finished step's folder, of another folder, or of a file; BadInput for a missing one."""
    if path.is_dir():
        if (path / "step.json").is_file():
            return str(_read_step(path)["digest"])
        return store.digest(store.hash_tree(path))
    if not path.is_file():
        raise BadInput(f"{path}: no such file or directory")
    return store.sha256(path)


def _finished(folder: Path, key: str) -> bool:
    return (folder / "step.json").is_file() and _read_step(folder)["key"] == key


def _read_step(folder: Path) -> dict[str, Any]:
    rows = [row for row in store.read_json_rows(folder / "step.json") if isinstance(row, store.Raw)]
    if not rows or "key" not in rows[0].data:
        raise BadInput(f"{folder / 'step.json'}: damaged; delete {folder} and run again")
    return cast(dict[str, Any], rows[0].data)


def _manifest(recipe: str, config: Config, seed: int) -> dict[str, Any]:
    return {
        "recipe": recipe,
        "config": to_dict(config),
        "fingerprint": fingerprint(config),
        "seed": seed,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {"python": platform.python_version(), **_versions(), "commit": _commit()},
        "machine": {"system": platform.platform(), "cores": os.cpu_count() or 1},
    }


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _commit() -> str:
    """The commit of a source checkout, recorded and never keyed; empty elsewhere."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return ""
    told = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return told.stdout.strip()


@contextmanager
def _locked(path: Path) -> Generator[None]:
    try:
        file = path.open("w")
    except OSError as error:
        raise FailedWork(f"cannot write {path.parent}: {error.strerror}; choose another --out") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInput(
                f"{path.parent}: another process is at work in this run; wait for it or choose another --out"
            ) from error
        yield
