"""fastMRI+: rectangles and findings that radiologists drew on fastMRI brain scans.

References
----------
Zhao R. et al., fastMRI+: clinical pathology annotations for knee and brain fully sampled magnetic resonance imaging
data, Scientific Data 2022, 9:152; https://github.com/microsoft/fastmri-plus
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from anomri.datasets.record import Box, Label, Record
from anomri.datasets.tables import find_files, read_rows

__all__ = ["with_annotations"]

# Findings that call nothing abnormal.
NORMAL_FINDINGS = ("normal for age", "normal variant")


def with_annotations(records: Sequence[Record], files: Sequence[Path]) -> tuple[Sequence[Record], list[str]]:
    """Boxes, findings and labels from ``brain.csv`` and ``brain_file_list.csv``.

    A scan of the list without a row in the table was looked at and nothing was found: normal. A scan that is not in
    the list was not looked at: unknown. `y` counts on the image flipped up–down, as it was shown to the radiologist.
    """
    folder = records[0].path.parent if records else Path()
    tables, lists = (find_files((name,), files, folder) for name in ("brain.csv", "brain_file_list.csv"))
    if not tables:
        return records, ["no brain.csv of fastMRI+: no boxes, and every label is unknown"]
    problems = [] if lists else ["no brain_file_list.csv of fastMRI+: scans without a finding stay unknown"]
    reviewed = {line.strip() for path in lists for line in path.read_text(encoding="utf-8-sig").splitlines()}
    boxes: dict[str, list[Box]] = {}
    findings: dict[str, list[str]] = {}
    for row in (row for path in tables for row in read_rows(path)):
        try:
            x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
            box = Box(int(row["slice"]), x, y, width, height, row["label"])
            boxes.setdefault(row["file"], []).append(box)
        except KeyError:
            return records, [*problems, "brain.csv lacks a column of fastMRI+"]
        except ValueError:
            findings.setdefault(row["file"], []).append(row["label"])
    return [
        replace(
            record,
            boxes=tuple(boxes.get(record.subject, ())),
            findings=tuple(findings.get(record.subject, ())),
            label=_label(record.subject, boxes, findings, reviewed),
        )
        for record in records
    ], problems


def _label(name: str, boxes: dict[str, list[Box]], findings: dict[str, list[str]], reviewed: set[str]) -> Label:
    found = [box.finding for box in boxes.get(name, ())] + findings.get(name, [])
    if any(finding.lower() not in NORMAL_FINDINGS for finding in found):
        return "abnormal"
    return "normal" if found or name in reviewed else "unknown"
