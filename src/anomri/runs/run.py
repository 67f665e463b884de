"""Many scans into one output folder: what is finished is kept, what is not is made, a bad scan costs itself alone."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from anomri.core.result import Result
from anomri.runs.interrupts import Interrupts
from anomri.runs.jobs import Crew, Lost, Worker, opened_worker
from anomri.runs.journal import Journal
from anomri.runs.lock import Lock
from anomri.runs.plan import make_plan, make_tasks, remove_leftovers
from anomri.runs.progress import Progress, Silent
from anomri.runs.room import check_disk, default_jobs
from anomri.runs.save import Keep, writing_to
from anomri.runs.scorer import DEFAULT_SCORER, Request
from anomri.runs.settings import Settings
from anomri.runs.summary import INDEX, finished, write_summary
from anomri.runs.worker import Done, Job

if TYPE_CHECKING:
    from anomri.io.participants import Participants
    from anomri.io.protocol import ProtocolReference
    from anomri.io.walk import Found

__all__ = ["RunSummary", "run"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run ended.

    Parameters
    ----------
    out : the output folder.
    results : of the scans that were asked for and are finished, by scan id.
    skipped : how many of them were finished before.
    others : how many more scans the folder holds from earlier runs; the summary and the index list them, too.
    interrupted : the signal that ended the run early; None where it came to its end.
    troubles : tracebacks of errors nobody foresaw, by scan id; those scans count as unreadable.
    """

    out: Path
    results: tuple[Result, ...]
    skipped: int
    others: int = 0
    interrupted: int | None = None
    troubles: Mapping[str, str] = field(default_factory=dict)

    @property
    def index(self) -> Path:
        """The page that lists every scan."""
        return self.out / INDEX

    def counts(self) -> dict[str, int]:
        """How many scans got each verdict."""
        verdicts = [result.verdict for result in self.results]
        return {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}


def run(
    found: Sequence[Found],
    model_ref: str | Path,
    out: str | Path,
    *,
    mask: Path | None = None,
    participants: Participants | None = None,
    alarm_rate: float | None = None,
    protocol: ProtocolReference | None = None,
    keep: Keep = "all",
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress | None = None,
    deadline_s: float = 600.0,
    scorer: str = DEFAULT_SCORER,
    notes: Sequence[str] = (),
) -> RunSummary:
    """Judge scans, each into ``out/<scan_id>/``, with ``summary.csv``, ``index.html`` and ``run.json`` beside them.

    A scan is skipped where its result was made from the same bytes, with the same model and settings. A run that was
    killed goes on where it was when it is started again, and ends with the same bytes as one that was not, for any
    number of jobs and any order of scans; ``run.json`` alone differs. What earlier runs of the same settings made of
    other scans stays in the folder, and in its summary and index.

    Parameters
    ----------
    found : the images, each with an id of its own.
    model_ref : name of a bundled model, or a model folder.
    mask : the user's own brain mask, on the grid of the scans.
    participants : age and sex by scan.
    alarm_rate : false-alarm rate at which a scan fails; None for the model's own.
    protocol : how the scans should have been acquired; what departs from it becomes notes.
    keep : ``summary`` writes no images.
    device : ``auto``, ``cpu`` or ``cuda``.
    jobs : workers; None for as many as cores and memory allow.
    progress : told as scans finish.
    deadline_s : longest time for one scan, and for opening the model.
    scorer : ``module:function`` that opens the scorer in a worker.
    notes : sentences on how the images were found, for ``run.json``.

    Raises
    ------
    InputError : two scans share an id, or an id is no safe name.
    ModelError : the model cannot be loaded.
    CalibrationError : the model's normals cannot show the alarm rate.
    OutputConflict : another run is at work in `out`, or it holds results of other settings, or of another image under
        the id of a scan.
    EnvironmentProblem : disk, permissions, memory, or a model that takes longer than `deadline_s` to open.
    WorkerTrouble : the model could not be opened, by an error nobody foresaw.
    """
    out = Path(out)
    request = Request(str(model_ref), alarm_rate, device, protocol)
    # No model is opened here: that brings libraries which only workers need.
    with opened_worker(scorer, request, deadline_s=deadline_s) as (first, opened):
        settings = Settings.of(opened.model, alarm_rate=opened.alarm_rate, keep=keep, protocol=protocol)
        with writing_to(out):
            out.mkdir(parents=True, exist_ok=True)
        with Lock(out), Interrupts() as interrupts:
            remove_leftovers(out)
            tasks = make_tasks(found, out, mask=mask, participants=participants)
            plan = make_plan(tasks, out, settings)
            check_disk(out, len(plan.jobs), keep)
            workers = max(1, default_jobs(len(plan.jobs)) if jobs is None else min(jobs, len(plan.jobs)))
            teller = Silent() if progress is None else progress
            teller.begin(len(tasks), skipped=plan.skipped, workers=workers, device=opened.device)
            on_table = () if participants is None else participants.notes_on([task.scan_id for task in tasks])
            journal = Journal(out, settings, tasks, jobs=workers, device=opened.device, notes=(*notes, *on_table))
            troubles: dict[str, str] = {}
            crew = Crew(workers, scorer, request, deadline_s=deadline_s, stopped=interrupts.stopped)
            try:
                with closing(_events(plan.jobs, crew, first)) as events:
                    for done in events:
                        journal.done(done)
                        teller.done(done)
                        if done.trouble is not None:
                            troubles[done.scan_id] = done.trouble
            finally:
                teller.end()
                # Of workers that were stopped in the middle of a file.
                remove_leftovers(out)
            results = {name: result for name, result in finished(out).items() if settings.made(result)}
            write_summary(out, results.values())
            journal.end(interrupted=interrupts.signum)
    asked = tuple(results[task.scan_id] for task in tasks if task.scan_id in results)
    return RunSummary(out, asked, plan.skipped, len(results) - len(asked), interrupts.signum, troubles)


def _events(jobs: Sequence[Job], crew: Crew, first: Worker) -> Generator[Done]:
    """Every job's end. A worker's death is no proof against a scan: it is tried once more, with no other beside it.

    A scan that its workers did not survive is recorded by another worker, at the end; the next run tries it again.
    """
    again, lost = list[Job](), list[Lost]()
    with closing(crew.work(jobs, first)) as events:
        for event in events:
            if isinstance(event, Done):
                yield event
            elif event.error.code == "crashed":
                again.append(event.job)
            else:
                lost.append(event)
    for job in again:
        with closing(crew.alone().work([job])) as events:
            for event in events:
                if isinstance(event, Done):
                    yield event
                else:
                    lost.append(event)
    records = [replace(each.job, lost=each.error, stamp=each.job.retry_stamp) for each in lost]
    with closing(crew.alone().work(records)) as events:
        for each, event in zip(lost, events, strict=False):  # fewer where the run was ended
            if isinstance(event, Lost):
                raise event.error
            yield replace(event, elapsed_s=each.elapsed_s)
