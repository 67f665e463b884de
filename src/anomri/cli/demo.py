"""`anomri demo`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomri.cli.exits import exit_code
from anomri.cli.inputs import found_images
from anomri.cli.options import Jobs, Seed
from anomri.cli.score import tell
from anomri.cli.terminal import say, say_table

if TYPE_CHECKING:
    from anomri.core.result import Result, Verdict

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

    expected: dict[str, frozenset[Verdict]] = {}
    if your_t1 is not None:
        found, model, results = found_images([your_t1], include=None), "brain-t1", out / "yours"
    else:
        expected = _write_examples(out / "scans", seed)
        found, model, results = found_images([out / "scans"], include=None), "demo-brain", out / "results"
    summary = run(found, model, results, jobs=jobs, progress=progress_on(sys.stderr))
    rows = [(*_row(result), _comment(result, expected)) for result in summary.results]
    say_table(("scan", "verdict", "p", "reason", "expected"), rows)
    tell(summary, as_json=False)
    code = exit_code(summary)
    # The object that is no brain is meant to be out of scope.
    raise typer.Exit(0 if code == 3 and your_t1 is None else code)


def _write_examples(folder: Path, seed: int) -> dict[str, frozenset[Verdict]]:
    """Write the examples; the verdicts that would be right, by the example's name."""
    from anomri.io.write import write_nifti
    from anomri.pipeline.demo import examples
    from anomri.runs.save import writing_to

    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for example in examples(seed):
        write_nifti(folder / f"{example.name}.nii.gz", example.scan.voxels, example.scan.geometry)
        expected[example.name] = example.expected
        say(f"made {example.name}", error=True)
    return expected


def _row(result: Result) -> tuple[str, str, str, str]:
    p_value = "" if result.p_value is None else f"{result.p_value:.3g}"
    return result.scan_id, result.verdict, p_value, result.reason


def _comment(result: Result, expected: Mapping[str, frozenset[Verdict]]) -> str:
    right = expected.get(result.scan_id)
    if right is None:
        return ""
    words = " or ".join(sorted(right))
    return words if result.verdict in right else f"{words}: missed"
