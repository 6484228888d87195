"""A GPU made of host memory: real commands run on ``cuda:0`` of a machine that has none.

Its tensors hold their values in host memory but say ``cuda:0``, and every operation is checked as
a GPU would: tensors of two devices do not mix (but for what CUDA allows, `HOST_INDICES` and
numbers of no dimension in pointwise operations), nothing becomes NumPy's without ``.cpu()``, and
collectives take tensors of the GPU only, as NCCL does (gloo carries them). As a program:

    simulated.py [--stop CALL] MODULE [the arguments of python -m gzsl_dist.MODULE]

``--stop CALL`` kills the process just before its training step CALL, as in
``tests/integration/stopping.py``.
"""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from gzsl_dist.monitoring import matrix_products

CUDA, STAND_IN = torch.device("cuda", 0), torch.device("meta")
"""What the tensors say, and what torch's C++ code takes them for: it initializes no GPU then."""
HOST_INDICES = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
ACROSS_DEVICES = ("_to_copy", "copy_", "copy", "_copy_from")
NUMBERS = ("masked_fill", "masked_fill_", "index_fill", "index_fill_", "fill_", "fill", "where")
AUTOCAST = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCUDA)
FREE_BYTES = 64 * 2**30


class DeviceTensor(Tensor):
    """A tensor of the simulated GPU; `held` has its values."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> DeviceTensor:
        result: DeviceTensor = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=STAND_IN,
            _extra_dispatch_keys=AUTOCAST,
        )
        result.held = held
        return result

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return on_device(function, args, kwargs or {})

    def __repr__(self) -> str:
        return f"DeviceTensor({self.held!r})"


class MixedDevicesError(RuntimeError):
    """Tensors of two devices met in one operation."""


def on_device(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute an operation of torch on what the tensors hold, after the checks of a GPU."""
    leaves, spec = tree_flatten((args, kwargs))
    wrappers = {id(leaf.held): leaf for leaf in leaves if isinstance(leaf, DeviceTensor)}
    _check(function, leaves, bool(wrappers))
    inner = [
        leaf.held
        if isinstance(leaf, DeviceTensor)
        else torch.device("cpu")
        if isinstance(leaf, torch.device) and leaf.type in ("cuda", "meta")
        else leaf
        for leaf in leaves
    ]
    named = kwargs.get("device")
    device = bool(wrappers) if named is None else named.type in ("cuda", "meta")
    args, kwargs = tree_unflatten(inner, spec)
    result = function(*args, **kwargs)

    def wrapped(value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, DeviceTensor):
            return value
        if id(value) in wrappers:  # computed in place
            return wrappers[id(value)]
        return DeviceTensor(value) if device else value

    return tree_map(wrapped, result)


def _check(function: Any, leaves: list[Any], any_wrapped: bool) -> None:
    name = function._schema.name.rpartition("::")[2]
    hosts = [
        leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, DeviceTensor)
    ]
    if function.namespace == "c10d":
        wrong = "cpu" if hosts else ""
        if not _by_nccl(leaves):  # a group of gloo's own beside
            wrong = "cuda" if any_wrapped else ""
        if wrong:
            raise RuntimeError(f"No backend type associated with device type {wrong} ({name})")
        return
    if not any_wrapped or name in ACROSS_DEVICES:
        return
    if name in HOST_INDICES and isinstance(leaves[0], DeviceTensor):
        hosts = [host for host in hosts if host.dtype not in (torch.int64, torch.bool)]
    if torch.Tag.pointwise in function.tags or name in (*NUMBERS, *HOST_INDICES):
        hosts = [host for host in hosts if host.dim()]
    if hosts:
        raise MixedDevicesError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! ({function})"
        )


def _by_nccl(leaves: list[Any]) -> bool:
    """Whether a collective is one of the job's own group."""
    groups = [
        dist.ProcessGroup.unbox(leaf)
        for leaf in leaves
        if isinstance(leaf, torch.ScriptObject) and "ProcessGroup" in str(leaf._type())
    ]
    return all(group.group_name == dist.group.WORLD.group_name for group in groups)


class _Operations(TorchDispatchMode):
    """Brings operations that make tensors on the GPU from nothing to `on_device`."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return on_device(function, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """What Python code asks of a tensor's device, and the device that it names."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        first = args[0] if args else None
        if isinstance(first, DeviceTensor):
            if function in (Tensor.numpy, Tensor.__array__):
                raise TypeError(
                    "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy "
                    "the tensor to host memory first."
                )
            if function in ANSWERS:
                return ANSWERS[function](first)
        if function is torch.device:
            return function(*args, **(kwargs or {}))
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and _names_device(kwargs.get("device")):
            # torch makes these below its operations, where no mode is asked
            return function(*args, **kwargs | {"device": "cpu"}).to(STAND_IN)
        leaves, spec = tree_flatten((args, kwargs))
        replaced = [STAND_IN if _names_device(leaf) else leaf for leaf in leaves]
        args, kwargs = tree_unflatten(replaced, spec)
        return function(*args, **kwargs)


ANSWERS = {
    Tensor.device.__get__: lambda tensor: CUDA,
    Tensor.is_cuda.__get__: lambda tensor: True,
    Tensor.is_cpu.__get__: lambda tensor: False,
    Tensor.is_meta.__get__: lambda tensor: False,
    Tensor.get_device: lambda tensor: 0,
    Tensor.tolist: lambda tensor: tensor.held.detach().tolist(),
    Tensor.data_ptr: lambda tensor: tensor.held.data_ptr(),
    Tensor.untyped_storage: lambda tensor: tensor.held.untyped_storage(),
}


def _names_device(value: Any) -> bool:
    if isinstance(value, torch.device):
        return value.type == "cuda"
    return isinstance(value, str) and value.partition(":")[0] == "cuda"


@contextmanager
def simulated_cuda() -> Iterator[None]:
    """``torch.cuda`` has one device inside, in every thread."""
    run, start = threading.Thread.run, dist.init_process_group
    engine = torch.autograd._engine_run_backward

    def run_in_mode(thread: threading.Thread) -> None:
        with _Calls(), _Operations():
            run(thread)

    def differentiate(*args: Any, **kwargs: Any) -> Any:
        with _Calls():  # which is off inside of what it calls, but backward passes run Python code
            return engine(*args, **kwargs)

    def start_by_gloo(backend: str, *args: Any, **kwargs: Any) -> None:
        assert backend == "nccl"
        start("gloo", *args, **kwargs)

    cuda = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "synchronize": lambda device=None: None,
        "is_bf16_supported": lambda including_emulation=True: True,
        "mem_get_info": lambda device=None: (FREE_BYTES, FREE_BYTES),
        "max_memory_allocated": lambda device=None: 1,
        "reset_peak_memory_stats": lambda device=None: None,
        "empty_cache": lambda: None,
    }
    with (
        mock.patch.multiple(torch.cuda, **cuda),
        mock.patch.dict(matrix_products.SIZES, {"cuda": 64}),  # sizes that a GPU needs take minutes
        mock.patch.object(threading.Thread, "run", run_in_mode),
        mock.patch.object(dist, "init_process_group", start_by_gloo),
        mock.patch.object(torch.autograd, "_engine_run_backward", differentiate),
        mock.patch.object(dist.distributed_c10d, "_get_object_coll_device", return_value="cuda"),
        _Calls(),
        _Operations(),
    ):
        yield


def main(arguments: list[str]) -> None:
    """Run one of the package's commands on the simulated GPU."""
    from gzsl_dist.command import run_command

    if arguments[0] == "--stop":
        from tests.integration.stopping import stop_before

        stop_before(int(arguments[1]), signal.SIGKILL)
        arguments = arguments[2:]
    command = importlib.import_module(f"gzsl_dist.{arguments[0]}")
    with simulated_cuda():
        run_command(command.main, arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
