"""One run at a time in an output folder.

The lock is a file made exclusively, which works on network shares too. It names host and process, and its time of
change is the heartbeat. It counts as left over only when the heartbeat is old and the process is dead on the same
host: a process of that number may be missing here yet live in another container that calls itself by the same name.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from anomri.errors import OutputConflict
from anomri.runs.save import writing_to

__all__ = ["Lock"]

_NAME = ".anomri.lock"


class Lock:
    """Holds an output folder while a `with` block runs.

    Parameters
    ----------
    folder : exists.
    beat_s : time between heartbeats.
    stale_s : age from which a heartbeat of a dead process counts as old; several times `beat_s`.

    Raises
    ------
    OutputConflict : on entering, where another run holds the folder.
    EnvironmentProblem : on entering, where the folder cannot be written.
    """

    def __init__(self, folder: Path, *, beat_s: float = 1.0, stale_s: float = 5.0) -> None:
        self._folder = folder
        self._file = folder / _NAME
        self._beat_s = beat_s
        self._stale_s = stale_s
        self._released = threading.Event()
        self._beating: threading.Thread | None = None

    def __enter__(self) -> Self:
        with writing_to(self._folder):
            while not self._made():
                self._remove_left_over()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        if self._beating is not None:
            self._beating.join()
        self._file.unlink(missing_ok=True)

    def _made(self) -> bool:
        try:
            descriptor = os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump({"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}, stream)
        except OSError:
            # On a full disk: a lock that no run holds would keep the next one waiting.
            self._file.unlink(missing_ok=True)
            raise
        return True

    def _remove_left_over(self) -> None:
        """Remove the lock of a dead run, waiting until its heartbeat is old; refuse where the run may live."""
        try:
            beat = self._file.stat().st_mtime_ns
            holder = json.loads(self._file.read_text(encoding="utf-8"))
            host, pid, started = str(holder["host"]), int(holder["pid"]), holder["started"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            # Its run was killed between making and filling it, or is about to fill it.
            host, pid, started = "", 0, None
        here = host == socket.gethostname()
        if host and (not here or _started(pid) == started):
            raise self._held(host, pid)
        # Waited out by the own clock, since the clock of a file server may differ.
        until = time.monotonic() + self._stale_s
        while time.monotonic() < until:
            time.sleep(min(0.1, self._beat_s))
            with suppress(FileNotFoundError):
                if self._file.stat().st_mtime_ns != beat:
                    raise self._held(host, pid)
            if time.time() - beat / 1e9 > self._stale_s:
                break
        self._file.unlink(missing_ok=True)

    def _held(self, host: str, pid: int) -> OutputConflict:
        return OutputConflict(
            f"another run is at work in {self._folder} (process {pid} on {host or 'an unknown host'})",
            remedy=f"Wait for it; if that process is surely dead, delete {self._file}.",
            code="locked",
        )

    def _beat(self) -> None:
        while not self._released.wait(self._beat_s):
            with suppress(OSError):
                os.utime(self._file)


def _started(pid: int) -> float | None:
    """When a process started; None where there is no such process."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
