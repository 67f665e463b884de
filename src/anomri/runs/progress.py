"""How far a run is: a bar on a terminal, one line a scan elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TextIO

from anomri.io.names import shown, visible

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from anomri.runs.worker import Done

__all__ = ["Bar", "Lines", "Progress", "Silent", "progress_on"]

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red", "out_of_scope": "magenta", "unreadable": "magenta"}


class Progress(Protocol):
    """Told of a run as it goes."""

    def begin(self, total: int, *, skipped: int, workers: int, device: str) -> None:
        """A run of `total` scans begins, `skipped` of them finished earlier."""
        ...

    def done(self, done: Done) -> None:
        """A scan is finished."""
        ...

    def end(self) -> None:
        """The run is over, well or not."""
        ...


def progress_on(stream: TextIO) -> Progress:
    """A bar where the stream is a terminal, lines where it is not."""
    return Bar(stream) if stream.isatty() else Lines(stream)


def _opening(total: int, skipped: int, workers: int, device: str) -> str:
    return (
        f"{total} {'scan' if total == 1 else 'scans'}, {skipped} finished earlier; device {device}, workers {workers}"
    )


def _line(done: Done) -> str:
    p_value = "" if done.p_value is None else f"  p {done.p_value:.3g}"
    path = f" [{shown(done.path)}]" if done.verdict == "unreadable" else ""
    return f"{shown(done.scan_id)}  {done.verdict}{p_value}  {done.elapsed_s:.1f} s  {visible(done.reason)}{path}"


class Silent:
    """Says nothing."""

    def begin(self, total: int, *, skipped: int, workers: int, device: str) -> None: ...

    def done(self, done: Done) -> None: ...

    def end(self) -> None: ...


class Lines:
    """One line a scan."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = 0
        self._count = 0

    def begin(self, total: int, *, skipped: int, workers: int, device: str) -> None:
        self._total, self._count = total, skipped
        self._say(_opening(total, skipped, workers, device))

    def done(self, done: Done) -> None:
        self._count += 1
        self._say(f"[{self._count}/{self._total}] {_line(done)}")

    def end(self) -> None: ...

    def _say(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class Bar:
    """A bar with the time left; scans that are not a pass are listed above it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def begin(self, total: int, *, skipped: int, workers: int, device: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        # An estimate of the time left needs more than the default half minute where a scan takes that long.
        self._bar = RichProgress(
            TextColumn("scoring"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(file=self._stream),
            speed_estimate_period=600.0,
        )
        self._bar.start()
        self._task = self._bar.add_task("scoring", total=total - skipped)
        self._bar.console.print(_opening(total, skipped, workers, device), highlight=False)

    def done(self, done: Done) -> None:
        if self._bar is not None and self._task is not None:
            if done.verdict != "pass":
                self._bar.console.print(_line(done), style=_COLOURS[done.verdict], markup=False, highlight=False)
            self._bar.advance(self._task)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
