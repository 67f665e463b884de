"""The command `anomri`.

Nothing heavy is imported before a command runs, so that `anomri --help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from anomri.cli.calibrate import calibrate
from anomri.cli.demo import demo
from anomri.cli.fit import fit
from anomri.cli.info import info
from anomri.cli.methods import methods
from anomri.cli.models import models
from anomri.cli.score import score
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
for command in (score, fit, calibrate, demo, methods, models, info):
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
    """Run the command line; an error the user can do something about is one line on stderr and its exit code."""
    try:
        app()
    except AnomriError as error:
        from anomri.io.names import shown

        sys.stderr.write(f"anomri: {shown(str(error))}\n")
        sys.exit(error.exit_code)
