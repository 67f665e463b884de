"""Worker processes: one scan at a time each, watched by a deadline; the death of one costs its scan alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import connection as channels
from typing import TYPE_CHECKING

from anomri.errors import AnomriError, EnvironmentProblem, InputError
from anomri.runs.worker import IGNORED, OUT_OF_MEMORY, Done, Job, Ready, Trouble, serve

if TYPE_CHECKING:
    from anomri.runs.scorer import Request

__all__ = ["Crew", "Lost", "Worker", "WorkerTrouble", "opened_worker"]

# Read by the numeric libraries when they are imported. One thread each: the results of BLAS change with the number
# of threads (Deep-MI/FastSurfer#818), and the run is parallel over scans. The hash seed fixes the order of sets.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
_POLL_S = 0.2
_GRACE_S = 8.0


class WorkerTrouble(RuntimeError):
    """A worker could not start, by an error nobody foresaw; its traceback is the message."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A job whose worker did not finish it.

    Parameters
    ----------
    error : what became of the worker; code ``crashed`` or ``timed_out``.
    elapsed_s : how long it had been at it.
    """

    job: Job
    error: InputError
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Crew:
    """How workers are run.

    Parameters
    ----------
    size : most processes at a time.
    reference, request : how each opens its scorer.
    deadline_s : longest time for one scan, and for opening the scorer.
    stopped : asked several times a second; once true no job is given out any more, and those in work have eight
        seconds to end.
    """

    size: int
    reference: str
    request: Request
    deadline_s: float
    stopped: Callable[[], bool]

    def alone(self) -> Crew:
        """The same with one worker."""
        return replace(self, size=1)

    def work(self, jobs: Iterable[Job], first: Worker | None = None) -> Generator[Done | Lost]:
        """Spread jobs over workers.

        Parameters
        ----------
        first : one that is open already, which works with the others.

        Yields
        ------
        One event a job that was begun, in the order they end.

        Raises
        ------
        AnomriError : one that concerns more than a single scan.
        WorkerTrouble : a worker failed outside a scan.
        """
        waiting = deque(jobs)
        workers = [] if first is None else [first]
        cut_s: float | None = None
        try:
            workers = [worker for worker in workers if self._occupied(worker, waiting)]
            while workers or (waiting and not self.stopped()):
                if self.stopped():
                    cut_s = time.monotonic() + _GRACE_S if cut_s is None else cut_s
                    if time.monotonic() > cut_s:
                        return
                else:
                    opening = sum(worker.job is None for worker in workers)
                    missing = min(self.size - len(workers), len(waiting) - opening)
                    workers += [Worker(self.reference, self.request) for _ in range(missing)]
                for worker in _talking(workers):
                    event = worker.receive()
                    if isinstance(event, Done):
                        yield event
                    if event is None:
                        workers.remove(worker)
                        yield worker.lost(worker.died())
                    elif not self._occupied(worker, waiting):
                        workers.remove(worker)
                for worker in [w for w in workers if w.busy_s > self.deadline_s]:
                    workers.remove(worker)
                    worker.kill()
                    if worker.job is None:
                        raise _not_open_in_time(self.deadline_s)
                    yield worker.lost(_timed_out(self.deadline_s))
        finally:
            for worker in workers:
                worker.kill()

    def _occupied(self, worker: Worker, waiting: deque[Job]) -> bool:
        """Whether there was a job for a worker; it ends where there was none."""
        if waiting and not self.stopped():
            worker.give(waiting.popleft())
            return True
        worker.end()
        return False


class Worker:
    """A process that opens its scorer and then takes one job after the other."""

    def __init__(self, reference: str, request: Request) -> None:
        context = multiprocessing.get_context("spawn")
        self._channel, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, reference, request), daemon=True)
        with _environment(_ENVIRONMENT), _signals_held():
            self._process.start()
        theirs.close()  # so that its death reads as the end of the channel
        self.job: Job | None = None
        self._since_s = time.monotonic()

    @property
    def pid(self) -> int | None:
        """Of its process."""
        return self._process.pid

    @property
    def channel(self) -> channels.Connection:
        """Where its messages come from."""
        return self._channel

    @property
    def busy_s(self) -> float:
        """How long it has been opening its scorer, or at its job."""
        return time.monotonic() - self._since_s

    def receive(self) -> Ready | Done | None:
        """The next message; None where the worker is dead. Raises what the worker could not deal with."""
        try:
            message: Ready | Done | AnomriError | Trouble = self._channel.recv()
        except (EOFError, OSError):
            self._process.join(5.0)
            return None
        if isinstance(message, AnomriError):
            raise message
        if isinstance(message, Trouble):
            raise WorkerTrouble(message.traceback)
        if isinstance(message, Done):
            self.job = None
        return message

    def give(self, job: Job) -> None:
        """Send it a job."""
        self.job, self._since_s = job, time.monotonic()
        with suppress(OSError):  # it died while idle: the end of its channel tells
            self._channel.send(job)

    def lost(self, error: InputError) -> Lost:
        """The job it was on; where it was on none it died opening its scorer, and so would the next."""
        if self.job is None:
            raise self.not_opened()
        return Lost(self.job, error, self.busy_s)

    def died(self) -> InputError:
        """What is said of the scan it was on."""
        remedy = "Try it alone with more memory; if it happens again, please report it."
        return InputError(f"the worker died on this scan ({self._cause()})", remedy=remedy, code="crashed")

    def not_opened(self) -> EnvironmentProblem:
        """What is said where it has not opened the model."""
        return EnvironmentProblem(
            f"a worker ended while it opened the model ({self._cause()})",
            remedy="Give more memory, or fewer --jobs.",
            code="worker",
        )

    def _cause(self) -> str:
        """Why it ended, of which its parent knows the exit status alone."""
        code = self._process.exitcode
        if code is None:
            self.kill()
            return "it closed its channel"
        if code == OUT_OF_MEMORY:
            return "memory ran out"
        if code >= 0:
            return f"exit status {code}"
        often = ", most often because memory ran out" if -code == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-code).name}{often}"

    def end(self) -> None:
        """Let it end by itself, for want of jobs."""
        with suppress(OSError):
            self._channel.send(None)
        self._process.join(5.0)
        self.kill()

    def kill(self) -> None:
        """End it now; once more does no harm."""
        self._process.kill()
        self._process.join()
        self._channel.close()


@contextmanager
def opened_worker(reference: str, request: Request, *, deadline_s: float) -> Iterator[tuple[Worker, Ready]]:
    """A worker whose scorer is open, and what that says of itself; it is killed at the end.

    Raises
    ------
    AnomriError : the scorer could not be opened.
    WorkerTrouble : the same, by an error nobody foresaw.
    """
    worker = Worker(reference, request)
    try:
        if not worker.channel.poll(deadline_s):
            raise _not_open_in_time(deadline_s)
        message = worker.receive()
        if not isinstance(message, Ready):
            raise worker.not_opened()
        yield worker, message
    finally:
        worker.kill()


def _not_open_in_time(deadline_s: float) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"opening the model took longer than {deadline_s:g} s",
        remedy="Try again when the machine is less busy, or its disk answers.",
        code="worker_slow",
    )


def _timed_out(deadline_s: float) -> InputError:
    return InputError(
        f"the scan took longer than {deadline_s:g} s", remedy="Check its size; run it alone.", code="timed_out"
    )


def _talking(workers: list[Worker]) -> list[Worker]:
    ready = channels.wait([worker.channel for worker in workers], timeout=_POLL_S)
    return [worker for worker in workers if worker.channel in ready]


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep signals from a child that cannot ignore them yet: it inherits the mask, and lifts it (`serve`)."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for the processes started inside: libraries read them before a child's own code runs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
