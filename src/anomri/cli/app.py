"""The command `anomri`.

Nothing heavy is imported before a command runs, so that `anomri --help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from anomri.cli.benchmark import benchmark
from anomri.cli.bids import bids
from anomri.cli.calibrate import calibrate
from anomri.cli.cohort import cohort
from anomri.cli.datasets import datasets
from anomri.cli.demo import demo
from anomri.cli.dicom import dicom
from anomri.cli.extract import extract
from anomri.cli.fit import fit
from anomri.cli.info import info
from anomri.cli.methods import methods
from anomri.cli.models import models
from anomri.cli.report import report
from anomri.cli.score import score
from anomri.cli.simulate import simulate
from anomri.cli.usage import UsageError, one_line, refuse_empty
from anomri.errors import AnomriError

__all__ = ["app", "main"]

app = typer.Typer(
    name="anomri",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
COMMANDS = (
    score, bids, report, dicom, cohort, fit, calibrate, demo, extract, simulate, datasets, benchmark, methods, models,
    info,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("anomri"))
        raise typer.Exit


@app.callback()
def _anomri(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Print the version and end.")
    ] = False,
) -> None:
    """Is this MRI scan normal, why not, and where not: learnt from normal scans alone.

    Research use only, not a medical device.

    \b
    anomri demo                              examples made on the spot, judged and reported
    anomri score -i scan.nii.gz -o results   judge a scan
    anomri COMMAND --help                    what a command does, with examples
    """


def main() -> None:
    """Run the command line; what the user can do something about is one line on stderr and an exit code."""
    try:
        refuse_empty(sys.argv[1:])
        sys.exit(app(standalone_mode=False))
    except UsageError as error:
        if len(sys.argv) < 2:
            error.show()  # the help
            sys.exit(error.exit_code)
        _end(one_line(error), error.exit_code)
    except AnomriError as error:
        # A note names the file; causes name no path, because they go to results.
        notes = "".join(f" [{note}]" for note in getattr(error, "__notes__", ()))
        _end(f"anomri: {error}{notes}", error.exit_code)


def _end(line: str, code: int) -> NoReturn:
    from anomri.io.names import visible

    sys.stderr.write(f"{visible(line)}\n")
    sys.exit(code)
