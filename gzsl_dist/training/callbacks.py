"""What follows a training: the loop's extras, and a user's own classes by `train.callbacks`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.scored import ScoredProblem
from gzsl_dist.models.networks import Networks
from gzsl_dist.monitoring.callback import Callback as Callback
from gzsl_dist.monitoring.callback import LoopCallback
from gzsl_dist.monitoring.callback import Training as Training


@contextmanager
def following(callbacks: Sequence[LoopCallback], training: Training) -> Iterator[None]:
    """Start callbacks in order; at the end of the context, end them, the last one first."""
    with ExitStack() as stack:
        for each in callbacks:
            each.start(training)
            stack.push(partial(_end, each))
        yield


def _end(callback: LoopCallback, kind: object, error: BaseException | None, trace: object) -> None:
    try:
        callback.end(error)
    except Exception:
        if error is None:  # else why the training ended is what the user must see
            raise


class OfFirstProcess(LoopCallback):
    """A user's callback: the first process calls it, and a failure is one of all processes.

    Args:
        callback: None on other processes.
        processes: the job.
    """

    def __init__(self, callback: Callback | None, processes: DistributedContext) -> None:
        self._callback, self._processes = callback, processes

    def _call(self, action: Callable[[Callback], None]) -> None:
        callback = self._callback
        self._processes.run_on_all_ranks(lambda: None if callback is None else action(callback))

    def start(self, training: Training) -> None:
        """See `Callback`."""
        self._call(lambda callback: callback.start(training))

    def evaluated(
        self, step: int, networks: Networks, scored: ScoredProblem | None
    ) -> dict[str, float]:
        """`Callback.measure` of validation rows, on the first process, which alone logs."""
        found: dict[str, float] = {}
        if scored is not None:
            self._call(lambda callback: found.update(callback.measure(step, scored)))
        return found

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Callback`."""
        self._call(lambda callback: callback.log(step, dict(figures)))

    def saved(self, step: int, checkpoint: Path) -> None:
        """See `Callback`."""
        self._call(lambda callback: callback.saved(step, checkpoint))

    def end(self, error: BaseException | None) -> None:
        """See `Callback`; no process waits for another here, for some may be gone."""
        if self._callback is not None:
            self._callback.end(error)


def user_callbacks(names: Sequence[str], processes: DistributedContext) -> list[LoopCallback]:
    """What `train.callbacks` names; errors as of `callback_classes`, on every process."""
    first = processes.is_main_process

    def make() -> Sequence[Callback | None]:
        return [each() for each in callback_classes(names)] if first else [None] * len(names)

    found = processes.run_on_all_ranks(make) if names else []
    return [OfFirstProcess(each, processes) for each in found]


def callback_classes(names: Sequence[str]) -> list[type[Callback]]:
    """The classes of that name.

    Args:
        names: as ``package.module.Class``; modules beside the current directory count where
            Python was started with ``-m``.

    Raises:
        InputError: one cannot be imported, or is no `Callback`.
    """
    found = []
    for name in names:
        module, _, attribute = name.rpartition(".")
        try:
            found.append(getattr(importlib.import_module(module), attribute))
        except Exception as error:  # whatever importing a user's code raises
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"train.callbacks {name}: cannot be loaded ({reason}); name a class that can be "
                "imported, as package.module.Class"
            ) from error
        if not (isinstance(found[-1], type) and issubclass(found[-1], Callback)):
            raise InputError(
                f"train.callbacks {name}: is no subclass of gzsl_dist.training.callbacks.Callback; "
                "derive it from that"
            )
    return found
