"""What stands at the root of the derivatives: what they are, whence they come, and how their files are named."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomri.errors import InputError, OutputConflict

if TYPE_CHECKING:
    from anomri.runs.settings import Settings

__all__ = ["DESCRIPTION", "describe", "refuse_foreign", "source_link"]

DESCRIPTION = "dataset_description.json"
BIDS_VERSION = "1.10.0"
# BIDS has no place for a verdict, its page or a group table, and no suffix for a map of deviations. Their names hold to
# its grammar, and the validator is told to pass over them.
_IGNORED = "*_desc-anomri_*\n*_statmap.*\n/group_*\n"
_README = """# Verdicts of anomri

For each scan, beside the entities of its own name:

| file | is |
|---|---|
| `*_desc-anomri_SUFFIX.json` | the verdict: score, p-value, reason, findings, quality metrics |
| `*_desc-anomri_SUFFIX.html` | the report, one file |
| `*_desc-anomri_SUFFIX.png` | its preview |
| `*_desc-anomaly_statmap.nii.gz` | how abnormal each voxel is, on the scan's own grid; 0 where nothing was examined |
| `*_desc-examined_mask.nii.gz` | where it was examined |
| `*_desc-brain_mask.nii.gz` | the brain |
| `*_desc-brain_SUFFIX.nii.gz` | the scan inside the brain |
| `*_desc-expected_SUFFIX.nii.gz` | what the model expected to see |
| `*_desc-expectedBRANCH_SUFFIX.nii.gz` | what a further branch of the model expected, where a finding rests on it |
| `*_desc-MAP_statmap.nii.gz` | further maps of the model |
| `group_SUFFIX.tsv`, `.json`, `.html` | all scans at a glance, written by the group level |

SUFFIX is that of the scan: `T1w`. A scan that could not be judged has the first three files alone, with the reason.

Research use only. Not a medical device.
"""


def describe(out: Path, *, source: Path, settings: Settings, anew: bool) -> None:
    """Write ``dataset_description.json``, ``.bidsignore`` and ``README.md`` where they are missing: what the user has
    added to them stays.

    Parameters
    ----------
    anew : there are no results yet, so that a description of earlier ones is replaced.

    Raises
    ------
    InputError : the description of the source is no JSON object (`dataset_description`).
    EnvironmentProblem : the folder cannot be written.
    """
    from anomri.io.write import write_json, write_text

    if anew or not (out / DESCRIPTION).exists():
        write_json(out / DESCRIPTION, _description(out, source, settings))
    for name, text in ((".bidsignore", _IGNORED), ("README.md", _README)):
        if not (out / name).exists():
            write_text(out / name, text)


def refuse_foreign(out: Path) -> None:
    """Refuse to write among the files of another data set.

    Raises
    ------
    OutputConflict : the folder is described as something that anomri did not make (`other_dataset`).
    """
    made_by = _read(out).get("GeneratedBy", []) if (out / DESCRIPTION).exists() else [{"Name": "anomri"}]
    names = [entry.get("Name") for entry in made_by if isinstance(entry, dict)] if isinstance(made_by, list) else []
    if "anomri" not in names:
        raise OutputConflict(
            f"{out} is another data set",
            remedy="Choose a folder of its own: BIDS_DIR/derivatives/anomri.",
            code="other_dataset",
        )


def source_link(source: Path, out: Path) -> str | None:
    """Where the source is: its DOI, or the way up from derivatives inside it.

    None for any other: a path of this machine leads nobody there, and may name a person.
    """
    doi = _read(source).get("DatasetDOI")
    if isinstance(doi, str) and doi.strip():
        bare = doi.strip().removeprefix("doi:")
        return bare if bare.startswith("http") else f"https://doi.org/{bare}"
    inside, root = os.path.realpath(out), os.path.realpath(source)
    return Path(os.path.relpath(root, inside)).as_posix() if Path(inside).is_relative_to(root) else None


def _description(out: Path, source: Path, settings: Settings) -> dict[str, Any]:
    raw, link = _read(source), source_link(source, out)
    name = raw["Name"] if isinstance(raw.get("Name"), str) else None
    model = f"model {settings.model_name} {settings.model_version} ({settings.model_sha256})"
    described: dict[str, Any] = {
        "Name": "Verdicts of anomri" + (f" on {name}" if name else ""),
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {
                "Name": "anomri",
                "Version": version("anomri"),
                "Description": f"Judged by the {model} at a false-alarm rate of {settings.alarm_rate:g}.",
            }
        ],
    }
    known = {"Name": name, "URL": link}
    if any(known.values()):
        described["SourceDatasets"] = [{key: value for key, value in known.items() if value}]
    if link is not None:
        described["DatasetLinks"] = {"raw": link}
    # The maps hold voxels of the scans, so the licence of the scans holds for them.
    if isinstance(raw.get("License"), str):
        described["License"] = raw["License"]
    return described


def _read(dataset: Path) -> Mapping[str, Any]:
    """A data set's description; empty where it has none."""
    try:
        found = json.loads((dataset / DESCRIPTION).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged() from error
    if not isinstance(found, dict):
        raise _damaged()
    return found


def _damaged() -> InputError:
    return InputError(
        f"{DESCRIPTION} is no JSON object that can be read", remedy="Check the data set.", code="dataset_description"
    )
