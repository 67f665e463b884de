"""`anomri demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomri.cli.exits import exit_code
from anomri.cli.inputs import found_images
from anomri.cli.options import Jobs, Seed
from anomri.cli.score import tell
from anomri.cli.terminal import say_table

if TYPE_CHECKING:
    from anomri.runs.run import RunSummary

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("anomri-demo"),
    seed: Seed = 0,
    your_t1: Annotated[
        Path | None, typer.Option("--input", "-i", help="A skull-stripped T1w scan of your own.")
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Judge examples made on the spot.

    They are two normals, motion, ghosting, a lesion, a missing part, and an object that is no brain. They are
    simulated, and judged by a model of simulated brains; no network is needed. A scan of your own is
    judged by brain-t1.

    \b
    anomri demo
    anomri demo --seed 7 -o demo-7
    anomri demo -i my_T1w.nii.gz
    """
    import sys

    from anomri.runs.progress import progress_on
    from anomri.runs.run import run

    if your_t1 is not None:
        found, model = found_images([your_t1], include=None), "brain-t1"
    else:
        _write_examples(out / "scans", seed)
        found, model = found_images([out / "scans"], include=None), "demo-brain"
    summary = run(found, model, out / "results", jobs=jobs, progress=progress_on(sys.stderr))
    _verdicts(summary)
    tell(summary, as_json=False)
    code = exit_code(summary)
    raise typer.Exit(0 if code == 3 and your_t1 is None else code)


def _write_examples(folder: Path, seed: int) -> None:
    from anomri.io.write import write_nifti
    from anomri.pipeline.demo import examples

    folder.mkdir(parents=True, exist_ok=True)
    for example in examples(seed):
        write_nifti(folder / f"{example.name}.nii.gz", example.scan.voxels, example.scan.geometry)


def _verdicts(summary: RunSummary) -> None:
    rows = [
        (result.scan_id, result.verdict, "" if result.p_value is None else f"{result.p_value:.3g}", result.reason)
        for result in summary.results
    ]
    say_table(("scan", "verdict", "p", "reason"), rows)
