"""Where work runs: inline, in processes of this machine, or on a Ray cluster; results come in the order of the items.

Workers start fresh ("spawn"), so they hold no lock, thread or torch state of the parent; at most four items a worker are in
flight, so a long list never stands in memory twice.

Flow  sources, annotators and matches map over shards with it.
Run   skyloom run scc --set execute.kind=processes
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from skyloom.core.config import NOT_KEYED, Config
from skyloom.core.errors import BadInput, FailedWork, MissingExtra
from skyloom.core.progress import bar

T = TypeVar("T")
U = TypeVar("U")
_AHEAD: int = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecuteConfig(Config):
    """Where map work runs; results do not depend on it, so it stays out of fingerprints."""

    kind: Literal["inline", "processes", "ray"] = field(default="inline", metadata=NOT_KEYED)
    workers: int = field(default=0, metadata=NOT_KEYED)
    """Worker processes; 0 means one a core."""


def run_all(config: ExecuteConfig, work: Callable[[T], U], items: Sequence[T], label: str) -> Iterator[U]:
    """`work(item)` for each item, in order. `work` is a top-level function; its exceptions reach the caller unchanged."""
    if config.workers < 0:
        raise BadInput(f"execute.workers: expected 0 or more, got {config.workers}")
    runners = {"inline": _run_inline, "processes": _run_processes, "ray": _run_ray}
    workers = min(config.workers or os.cpu_count() or 1, max(len(items), 1))
    with bar(label, len(items)) as shown:
        for result in runners[config.kind](work, items, workers):
            yield result
            shown.advance()


def _run_inline(work: Callable[[T], U], items: Sequence[T], workers: int) -> Iterator[U]:
    del workers
    for item in items:
        yield work(item)


def _run_processes(work: Callable[[T], U], items: Sequence[T], workers: int) -> Iterator[U]:
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=start_worker)
    waiting: deque[Future[U]] = deque()
    rest = iter(items)
    try:
        for item in rest:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise FailedWork(
            "a worker process died (out of memory?); fewer execute.workers may help; rerun to resume"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def start_worker() -> None:
    """End a worker at once on Ctrl-C, and when its parent was killed: it would wait for ever, or write into the folder of the
    run that resumes. Whatever it was writing is a partial file that nobody takes for a whole one."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(1))
    threading.Thread(target=watch, daemon=True).start()


def _run_ray(work: Callable[[T], U], items: Sequence[T], workers: int) -> Iterator[U]:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtra("execute.kind=ray needs the package ray: pip install 'skyloom[ray]'") from error
    started = not ray.is_initialized()
    if started:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    try:
        remote: Any = ray.remote(work)  # Any: ray's stubs do not carry the function's type
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(remote.remote(item))
            if len(waiting) >= _AHEAD * workers:
                yield ray.get(waiting.popleft())
        while waiting:
            yield ray.get(waiting.popleft())
    finally:
        if started:
            ray.shutdown()
