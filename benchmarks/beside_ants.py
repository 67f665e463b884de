"""One 1 mm brain from file to report, beside what a user would otherwise put together for the preparation alone.

    python benchmarks/beside_ants.py SCAN ANTS_PYTHON WORK [--pairs 3] [--threads 1]

ANTS_PYTHON is the interpreter of an environment of its own that holds antspyx (`python -m venv ANTS; ANTS/bin/pip
install antspyx`): N4 at its defaults and an affine registration to the ICBM template, the least that any comparison
with normals needs. Both are run in turn, each in its own process. Prints the wall and processor seconds and the largest
memory of either in every pair, and of the last one anomri's split into stages.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from anomri.io.template import icbm_template
from anomri.io.write import write_nifti

ANOMRI = str(Path(sys.executable).with_name("anomri"))
ANTS = """
import sys, ants
scan, template = ants.image_read(sys.argv[1]), ants.image_read(sys.argv[2])
mask = scan > 0
corrected = ants.n4_bias_field_correction(scan, mask=mask.clone("unsigned char"))
ants.registration(template, corrected, type_of_transform="Affine", random_seed=1)
"""


def run(command: list[str], threads: int) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak memory (GB) of one command."""
    names = ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OPENBLAS_NUM_THREADS")
    start = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | dict.fromkeys(names, str(threads)), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("scan", type=Path)
    parser.add_argument("ants_python", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of the other side; anomri's worker has one")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    template = icbm_template()
    write_nifti(given.work / "template.nii.gz", template.t1w, template.geometry)
    out = given.work / "out"
    other = [str(given.ants_python), "-c", ANTS, str(given.scan), str(given.work / "template.nii.gz")]
    for number in range(1, given.pairs + 1):
        shutil.rmtree(out, ignore_errors=True)
        pair = {
            "anomri score": run([ANOMRI, "score", "-i", str(given.scan), "-o", str(out), "--jobs", "1"], 1),
            f"antspyx, {given.threads} threads": run(other, given.threads),
        }
        for name, (wall, cpu, memory) in pair.items():
            print(f"pair {number}: {name}: {wall:.1f} s, {cpu:.1f} s of processor, {memory:.2f} GB", flush=True)
    (scan,) = json.loads((out / "run.json").read_text())["scans"].values()
    for stage, seconds in scan["stages_s"].items():
        print(f"{stage}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
