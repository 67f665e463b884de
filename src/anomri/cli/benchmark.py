"""`anomri benchmark`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anomri.cli.options import Jobs
from anomri.cli.terminal import say

__all__ = ["benchmark"]


class Until(StrEnum):
    """The last stage of a run."""

    prepare = "prepare"
    train = "train"
    score = "score"
    tables = "tables"


def benchmark(
    protocol: Annotated[str, typer.Argument(metavar="PROTOCOL", help="A shipped protocol, or a TOML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="Folder of tables and pages.")],
    data: Annotated[
        list[str] | None, typer.Option(metavar="SET=FOLDER", help="Where a data set of the protocol lies.")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Prepared scans, fits and scores; protocols may share it. OUT/work."),
    ] = None,
    heatmaps: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FOLDER", help="A row made elsewhere: scores.csv and heatmaps.")
    ] = None,
    write_cases: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Only write the cases as NIfTI, for a program elsewhere.")
    ] = None,
    until: Annotated[Until, typer.Option(help="The last stage to run.")] = Until.tables,
    jobs: Jobs = None,
) -> None:
    """A fair row for any method: train on normals, score defects, beside all baselines.

    A run that was killed goes on where it was when it is started again, and ends with the same tables.

    \b
    anomri benchmark t1-lesions --data t1w-site-a=DATA/t1w_site_a -o lesions
    anomri benchmark t1-lesions --data … --heatmaps mine=FOLDER -o lesions
    """
    from anomri.benchmark.protocol import read_protocol
    from anomri.benchmark.run import run_benchmark
    from anomri.benchmark.run import write_cases as write_all
    from anomri.runs.room import default_jobs

    wanted = read_protocol(protocol)
    folders, rows = _pairs(data, "--data"), _pairs(heatmaps, "--heatmaps")
    processes = default_jobs(2) if jobs is None else jobs
    if write_cases is not None:
        count = write_all(
            wanted, folders, write_cases, work=out / "work" if work is None else work, jobs=processes, report=_tell
        )
        say(f"{count} cases: {write_cases}")
        return
    written = run_benchmark(
        wanted, folders, out, work=work, heatmaps=rows, jobs=processes, until=until.value, report=_tell
    )
    for path in written:
        if path.suffix in (".html", ".md") and not path.name.startswith("method-"):
            say(str(path))


def _pairs(texts: list[str] | None, option: str) -> dict[str, Path]:
    pairs = {}
    for text in texts or []:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise typer.BadParameter(f"{text!r} is not NAME=FOLDER", param_hint=option)
        pairs[name] = Path(folder)
    return pairs


def _tell(line: str) -> None:
    say(line, error=True)
