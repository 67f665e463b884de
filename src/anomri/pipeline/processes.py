"""The same function over many tasks, in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from anomri.errors import EnvironmentProblem

__all__ = ["each"]

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def each(function: Callable[[Task], Answer], tasks: Sequence[Task], jobs: int) -> Iterator[Answer]:
    """Answers in the order of the tasks, as they come.

    Parameters
    ----------
    function : of a module, so that another process can import it.
    jobs : processes; with 1 all runs here.

    Raises
    ------
    EnvironmentProblem : a process was ended from outside.
    """
    if jobs == 1 or len(tasks) < 2:
        yield from map(function, tasks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(function, tasks)
        except BrokenProcessPool as error:
            raise EnvironmentProblem(
                "a process was ended from outside, perhaps for want of memory",
                remedy="Run the same command again with fewer --jobs; what is finished is kept.",
                code="memory",
            ) from error
