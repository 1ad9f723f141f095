"""Where evaluations run: this process, worker processes, or a Dask cluster.

All behind the interface of `concurrent.futures`. In worker processes an evaluation that takes
too long or takes its process down is a failed trial, and the pool goes on.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from imccompiler.errors import UserInputError
from imccompiler.search.optional import require
from imccompiler.search.problem import Payload, problem_of

T = TypeVar("T")
_AHEAD = 2  # tasks in hand for each worker, so that none waits for the driver


@dataclass(frozen=True, slots=True)
class Workers:
    """An executor, and how many tasks it should have in hand."""

    executor: Executor
    window: int


@contextmanager
def workers_of(
    payload: Payload, count: int, *, timeout_s: float, scheduler: str | None = None
) -> Generator[Workers]:
    """Workers that have a space loaded.

    Args:
        payload: The space.
        count: Processes; 1 is this process, which knows no time limit.
        timeout_s: Time limit of one task.
        scheduler: Address of a Dask scheduler, in place of processes of our own.

    Raises:
        UserInputError: pebble or distributed is needed and not installed.
    """
    if scheduler is not None:
        with _dask(scheduler) as workers:
            yield workers
    elif count == 1:
        with _one_thread():
            yield Workers(_Here(), 1)
    else:
        require("threadpoolctl")  # in the workers: to miss it here is easier to understand
        pool = require("pebble").ProcessPool(
            max_workers=count,
            initializer=begin_work,
            initargs=(payload,),
            context=multiprocessing.get_context("spawn"),
        )
        try:
            yield Workers(_Pool(pool, timeout_s), _AHEAD * count)
        finally:
            pool.stop()
            pool.join()


def begin_work(payload: Payload) -> None:
    """Make a new worker process ready: one thread, the space loaded."""
    _one_thread()
    problem_of(payload)


def _one_thread() -> Any:
    """Keep numpy's matrix products to one thread each; a context manager, to end that.

    They are small: on two busy cores, waiting for a second thread made them ten times slower.
    """
    return require("threadpoolctl").threadpool_limits(1)


def run_all(
    workers: Workers, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[int, T | Exception]]:
    """Run a function on many tasks; yields each task's place and result as soon as it is there.

    Args:
        workers: Where.
        function: Of a module, so that it can be sent.
        tasks: Its arguments.
    """
    waiting = iter(enumerate(tasks))
    running: dict[Future[T], int] = {}
    while True:
        while len(running) < workers.window and (task := next(waiting, None)) is not None:
            place, arguments = task
            running[workers.executor.submit(function, *arguments)] = place
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=lambda f: running[f]):
            yield running.pop(future), _result(future)


def _result(future: Future[T]) -> T | Exception:
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - whatever ended a worker is the task's result
        return error


class _Here(Executor):
    """Runs each task when it is submitted."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """The finished future; Ctrl-C goes through."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - told by the future, as any executor does
            future.set_exception(error)
        return future


class _Pool(Executor):
    """A pebble process pool, every task with the same time limit."""

    def __init__(self, pool: Any, timeout_s: float) -> None:
        self._pool, self._timeout_s = pool, timeout_s

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Schedule a task."""
        return self._pool.schedule(fn, args=args, kwargs=kwargs, timeout=self._timeout_s)


@contextmanager
def _dask(scheduler: str) -> Generator[Workers]:
    try:
        client = require("distributed").Client(scheduler)
    except (OSError, ValueError) as error:
        raise UserInputError(f"no scheduler answers: {error}", where=scheduler) from error
    try:
        threads: dict[str, int] = client.nthreads()
        if any(count != 1 for count in threads.values()):
            raise UserInputError(
                "its workers have several threads, and an evaluation needs a process of its own",
                where=scheduler,
                hint="start them as `dask worker ADDRESS --nthreads 1 --nworkers N`",
            )
        yield Workers(client.get_executor(pure=False), _AHEAD * max(len(threads), 1))
    finally:
        client.close()
