"""Several processes that train one model: started, told apart, sharded over, and stopped together.

Formula  FSDP2: each process holds 1/N of every weight, gradient and moment, gathers a block's weights while it runs, and takes
         its share of the micro-batches; gradients are summed over processes, never averaged
Source   Zhao et al. 2023 (FSDP, arXiv 2304.11277); Rajbhandari et al. 2020 (ZeRO-3); `torch.distributed.fsdp.fully_shard`
Flow     collect -> curate -> [train] -> [evaluate] -> report; every function also holds for one process, where it does nothing:

             def work(config, out):                        # a top-level function, run by every process
                 model = shard(make(config), blocks_of(model))
                 trainer = Trainer(model, config.optim, total_steps=..., workdir=out)
             spawn(config.optim.processes, work, config, out)

Imports  what shards a model costs a second to import, so functions import it, and only where there are several processes
Run      skyloom run RECIPE --set train.optim.processes=2; a Trainer loop of your own also joins torchrun's group (shared file system)
"""

import atexit
import datetime
import multiprocessing
import os
import pickle
import socket
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from skyloom.core.errors import BadInput, FailedWork, SkyloomError
from skyloom.core.execute import start_worker

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

B = TypeVar("B")
R = TypeVar("R")
M = TypeVar("M", bound=nn.Module)
_INSIDE: str = "_skyloom_inside"
_PATIENCE = datetime.timedelta(hours=2)  # a large checkpoint is written by one process while the others wait


class Share(NamedTuple, Generic[B]):
    """One batch that this process works on."""

    place: int
    """Its position among all batches."""
    batch: B
    counts: bool
    """False where the process is idle and repeats the first batch, so that all make the same collective calls."""


class _Failure(NamedTuple):
    """How a process ended badly."""

    when: float
    error: BaseException


# --- starting and stopping ---


def spawn(processes: int, work: Callable[..., R], *args: Any) -> R:  # Any: whatever `work` takes
    """Run `work(*args)` in each of N processes that form a group; one process is a plain call in this one.

    Under torchrun, and inside another `spawn`, the group that is already there is joined instead.

    Args:
        processes: 1 or more; processes of this machine, one a GPU where the work is on GPUs.
        work: a top-level function; it and `args` are pickled to fresh processes.

    Returns what `work` returned in the main process (rank 0).

    Raises:
        BadInput: `processes` contradicts the group that is already there.
        FailedWork: a process died.
        Exception: what `work` raised first in any process, of the same class; the other processes are stopped.
    """
    if "WORLD_SIZE" in os.environ and not distributed.is_initialized():
        _join("env://", int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
        atexit.register(_leave)  # a group that stands at the end has threads, and C++ aborts over those
    if distributed.is_initialized():
        if processes not in (1, world()):
            raise BadInput(f"processes={processes}, but this group has {world()} processes; leave processes at 1")
        return work(*args)
    if processes < 1:
        raise BadInput(f"processes={processes} must be at least 1")
    return work(*args) if processes == 1 else _spawn(processes, work, args)


def _spawn(processes: int, work: Callable[..., R], args: tuple[Any, ...]) -> R:
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // processes)
    started: dict[Connection, Any] = {}  # Any: a spawned process, whose class is private
    with tempfile.TemporaryDirectory(prefix="skyloom-") as folder:
        meeting = (Path(folder) / "store").as_uri()
        try:
            for place in range(processes):
                reader, writer = context.Pipe(duplex=False)
                child = context.Process(target=_run, args=(place, processes, meeting, threads, writer, work, args))
                child.start()
                writer.close()  # so that the reader sees the end when the process dies
                started[cast(Connection, reader)] = child
            return _await(started)
        finally:
            for child in started.values():
                child.kill()  # what it was writing is a partial file that nobody takes for a whole one
                child.join()


def _run(
    place: int,
    processes: int,
    meeting: str,
    threads: int,
    writer: Connection,
    work: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    """The whole life of one process: join, work, tell the parent how it went."""
    start_worker()
    torch.set_num_threads(threads)
    try:
        _stay_on_loopback()
        _join(meeting, place, processes)
        value = work(*args)
        distributed.barrier()
        _tell(writer, value if place == 0 else None)
        distributed.destroy_process_group()
    except BaseException as error:  # noqa: BLE001 - the parent raises it again
        if not isinstance(error, SkyloomError):
            error.add_note(f"in process {place} of {processes}:\n{traceback.format_exc()}")
        _tell(writer, _Failure(time.monotonic(), error))
        os._exit(1)  # no farewell: the others may be waiting in a collective call that this one never makes


def _await(started: dict[Connection, Any]) -> Any:  # Any: whatever `work` returns
    """The main process's result; raises the first failure of any process, where one was told, before that of its victims."""
    waiting, result = dict(started), None
    main = next(iter(started))
    while waiting:
        failures: list[_Failure] = []
        for reader in cast(list[Connection], wait(list(waiting))):
            child = waiting.pop(reader)
            try:
                told = pickle.loads(reader.recv_bytes())
            except EOFError:
                child.join()
                # Silence comes first: whoever lost a silent peer speaks up at about the same time.
                failures.append(_Failure(0.0, FailedWork(_epitaph(len(started), child.exitcode))))
                continue
            if isinstance(told, _Failure):
                failures.append(told)
            elif reader is main:
                result = told
        if failures:
            raise min(failures, key=lambda failure: failure.when).error
    return result


def _epitaph(processes: int, code: int | None) -> str:
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return f"one of {processes} training processes died ({how}; out of memory?); the same command resumes"


def _tell(writer: Connection, value: object) -> None:
    try:
        data = pickle.dumps(value)
        pickle.loads(data)  # an exception may go in and not come out
    except Exception as error:  # noqa: BLE001 - any class may be at fault
        said = repr(value.error) if isinstance(value, _Failure) else f"the result of the work: {error!r}"
        data = pickle.dumps(_Failure(time.monotonic(), RuntimeError(f"cannot be pickled: {said}")))
    with suppress(BrokenPipeError):  # the parent is gone, and this process is about to follow
        writer.send_bytes(data)


def _join(meeting: str, place: int, processes: int) -> None:
    """Become one of a group: gloo for tensors of the CPU, NCCL for those of GPUs."""
    local = int(os.environ.get("LOCAL_RANK", place))
    cuda = torch.cuda.is_available() and local < torch.cuda.device_count()
    if cuda:
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    distributed.init_process_group(backend, init_method=meeting, rank=place, world_size=processes, timeout=_PATIENCE)


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _stay_on_loopback() -> None:
    """Processes of one machine talk over its loopback interface alone."""
    name = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    if name is not None:
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = name


# --- who is who ---


def rank() -> int:
    """This process's place in its group, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """Processes in the group, at least 1."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_main() -> bool:
    """Whether this process writes files and shows progress: rank 0."""
    return rank() == 0


# --- sharing work ---


def gather(value: R) -> list[R]:
    """Every process's value, by rank, on every process; it also waits until all have come this far."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world()  # Any: filled in by the call
    distributed.all_gather_object(values, value)
    return values


def share(batches: Iterable[B]) -> Iterator[Share[B]]:
    """This process's batches: places rank, rank + N, ... of a sequence that is the same on every process.

    Each process gets equally many; the idle ones get the first batch once more, which does not count.
    """
    if world() == 1:
        yield from (Share(place, batch, counts=True) for place, batch in enumerate(batches))
        return
    whole = list(batches)
    for start in range(0, len(whole), world()):
        place = start + rank()
        counts = place < len(whole)
        yield Share(place if counts else 0, whole[place if counts else 0], counts)


def map_batches(batches: Sequence[B], fn: Callable[[B], R]) -> list[R]:
    """`fn(batch)` of each batch, in order, on every process, each computed by one of them.

    `fn` may call a sharded model's forward; another method of it needs `partial(inside, model, fn)`. Results are pickled
    between the processes: return NumPy arrays or numbers, not GPU tensors.
    """
    own = [(one.place, fn(one.batch), one.counts) for one in share(batches)]
    found = {place: result for part in gather(own) for place, result, counts in part if counts}
    return [found[place] for place in range(len(batches))]


def total(sums: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Scalars added up over the processes, which all hold the same names; one collective call."""
    if world() == 1:
        return sums
    names = sorted(sums)
    packed_K = torch.stack([sums[name].to(device) for name in names])
    distributed.all_reduce(packed_K)
    return dict(zip(names, packed_K, strict=True))


# --- sharding a model ---


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The transformer blocks of a backbone: those of the classes that Hugging Face calls unsplittable, wherever a ModuleList
    holds them; failing that, the members of the longest ModuleList; none where there is no such list."""
    lists = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    whole = {
        str(name)
        for module in model.modules()
        for name in cast(Iterable[str], getattr(module, "_no_split_modules", None) or ())
    }
    named = [block for blocks in lists for block in blocks if type(block).__name__ in whole]
    return list(dict.fromkeys(named or max(lists, key=len, default=[])))


def shard(
    model: M,
    blocks: Sequence[nn.Module],
    device: torch.device | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> M:
    """Split every weight over the processes, in place: each block, then what is left of the model; nothing for one process.

    All processes must hold the same weights: made from one seed or read from one file. Make the optimiser afterwards.

    Args:
        model: on the CPU or on `device`; its blocks go to the device one by one, so that it never stands there whole.
        blocks: from `blocks_of`; their weights are gathered while they run and freed after.
        device: of the weights; None leaves them where they are.
        dtype: `bfloat16` gathers the blocks in that type, for training under autocast; shards and sums stay as they are.

    Raises:
        BadInput: more processes than GPUs.
    """
    if world() == 1:
        return model
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    place = device or next(model.parameters()).device
    if place.type == "cuda" and int(os.environ.get("LOCAL_RANK", rank())) >= torch.cuda.device_count():
        raise BadInput(f"processes={world()}, but torch sees {torch.cuda.device_count()} GPUs; one process a GPU")
    mesh = init_device_mesh(place.type, (world(),))
    half = torch.bfloat16 if dtype == "bfloat16" else None
    # Autocast itself would keep a bfloat16 copy of every gathered weight until the backward pass: the whole model.
    policy = MixedPrecisionPolicy(
        param_dtype=half, reduce_dtype=torch.float32 if half else None, cast_forward_inputs=False
    )
    for block in reversed(blocks):
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # the sum over processes, where FSDP would take the mean
            module.set_force_sum_reduction_for_comms(True)
    model.__dict__[_INSIDE] = _call
    register_fsdp_forward_method(model, _INSIDE)
    return model


def inside(model: nn.Module, fn: Callable[..., R], *args: Any) -> R:  # Any: whatever `fn` takes
    """`fn(*args)` as if it were the model's forward, so that it may call any method and read any weight outside the blocks.

    A plain call where the model is not sharded. Tensors of the result that carry a gradient start the backward pass.
    """
    within = cast(Callable[[Callable[[], R]], R] | None, getattr(model, _INSIDE, None))
    if within is None:
        return fn(*args)
    result = within(lambda: fn(*args))
    if not torch.is_grad_enabled():  # no backward pass will free the gathered weights, which grow stale
        cast("FSDPModule", model).reshard()
    return result


def _call(work: Callable[[], R]) -> R:
    return work()


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is split over the processes."""
    if world() == 1:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """The tensor itself, or all of a sharded one, gathered by all processes at once."""
    return cast("DTensor", tensor).full_tensor() if is_sharded(tensor) else tensor


def sharded_like(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor that all processes hold, on the device and in the layout of `like`."""
    if not is_sharded(like):
        return tensor.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    layout = cast("DTensor", like)
    # Without a source rank each process cuts its own part: nothing is sent.
    return distribute_tensor(tensor.to(like.device), layout.device_mesh, layout.placements, src_data_rank=None)
