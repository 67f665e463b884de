"""The objects of a result: where they lie, what they say, and that a repeat makes them again. What they hold is looked
at through pydicom and SimpleITK, not through what wrote them."""

from __future__ import annotations

import io
import itertools
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.seg import segread
from highdicom.sr import srread
from PIL import Image

from anomri.core.outcome import Outcome
from anomri.core.result import Result
from anomri.dicom import FILES, dicom_results, read_source, write_dicom
from anomri.errors import InputError
from anomri.report.figures import preview_png
from dicom.conftest import LEVEL, PATIENT, Case, oblique, outcome_on, write_case

CREATED = datetime(2026, 11, 27, 9, 30, 15, 123456)
PDF = b"%PDF-1.4 what it says"
Written = dict[str, Path]


def made(case: Case, outcome: Outcome | None = None, **options: Any) -> dict[str, Any]:
    source = read_source(case.folder, case.outcome)
    return dicom_results(case.outcome if outcome is None else outcome, source, **{"created": CREATED, **options})


@pytest.fixture(scope="module")
def written(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Written:
    paths = write_dicom(made(case, pdf=PDF), tmp_path_factory.mktemp("results") / "dicom")
    return {path.stem: path for path in paths}


def frame_affine(image: Any, number: int) -> np.ndarray:
    """(column, row) of a frame → LPS, by PS3.3 equation C.7.6.2.1-1."""
    groups = (image.PerFrameFunctionalGroupsSequence[number], image.SharedFunctionalGroupsSequence[0])

    def group(name: str) -> Any:
        return next(getattr(g, name)[0] for g in groups if name in g)

    directions = np.array(group("PlaneOrientationSequence").ImageOrientationPatient, dtype=float)
    down, across = (float(v) for v in group("PixelMeasuresSequence").PixelSpacing)
    position = np.array(group("PlanePositionSequence").ImagePositionPatient, dtype=float)
    return np.column_stack([directions[:3] * across, directions[3:] * down, position])


def at(image: Any, number: int, column: float, row: float) -> np.ndarray:
    return frame_affine(image, number) @ [column, row, 1.0]


def nearest_voxel(case: Case, lps: np.ndarray) -> tuple[int, ...]:
    ras = [-lps[0], -lps[1], lps[2], 1.0]
    index = np.linalg.inv(case.geometry.affine) @ ras
    assert np.abs(index - np.rint(index)).max() < 1e-3
    return tuple(int(i) for i in np.rint(index[:3]))


def test_each_object_is_a_series_of_its_own_in_the_patients_study(case: Case, written: Written):
    images = [pydicom.dcmread(path) for path in written.values()]
    source = pydicom.dcmread(next(case.folder.iterdir()))
    assert [image.Modality for image in images] == ["SR", "OT", "OT", "SEG", "DOC"]
    assert len({i.SeriesInstanceUID for i in images}) == len({i.SOPInstanceUID for i in images}) == 5
    assert all(len(uid) <= 64 for i in images for uid in (i.SeriesInstanceUID, i.SOPInstanceUID))
    for image in images:
        for name in (
            "StudyInstanceUID",
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "AccessionNumber",
            "StudyDate",
        ):
            assert getattr(image, name) == getattr(source, name)
        assert "research use only" in image.SeriesDescription
    placed = [pydicom.dcmread(written[name]) for name in ("heatmap", "findings")]
    assert {image.FrameOfReferenceUID for image in placed} == {source.FrameOfReferenceUID}


def test_the_corners_of_the_overlays_are_those_of_the_series(case: Case, written: Written):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(case.folder)))
    series = reader.Execute()
    columns, rows, slices = series.GetSize()
    theirs = [
        series.TransformIndexToPhysicalPoint(c)
        for c in itertools.product((0, columns - 1), (0, rows - 1), (0, slices - 1))
    ]
    heatmap = pydicom.dcmread(written["heatmap"])
    assert (heatmap.Columns, heatmap.Rows, heatmap.NumberOfFrames) == (columns, rows, slices)
    ours = [at(heatmap, n, c, r) for n in (0, slices - 1) for c in (0, columns - 1) for r in (0, rows - 1)]
    for corner in theirs:
        assert np.linalg.norm(np.array(ours) - corner, axis=1).min() < 0.1


def test_simpleitk_finds_the_segments_in_the_slices_they_are_in(case: Case, written: Written):
    """It reads origin, directions and pixels of a segmentation, no spacing, and no map of floating-point numbers."""
    series = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(case.folder)))
    segments = sitk.ReadImage(str(written["findings"]))
    np.testing.assert_allclose(segments.GetDirection(), series.GetDirection(), atol=1e-6)
    index = np.array(series.TransformPhysicalPointToContinuousIndex(segments.GetOrigin()))
    corner = series.TransformIndexToPhysicalPoint(tuple(int(i) for i in np.rint(index)))
    assert np.linalg.norm(np.subtract(corner, segments.GetOrigin())) < 0.1
    assert (segments.GetWidth(), segments.GetHeight()) == (series.GetWidth(), series.GetHeight())
    first = sitk.GetArrayFromImage(segments)[0] > 0
    above = np.nan_to_num(case.outcome.heatmap.values) > LEVEL
    # By the series' own grid; it has no other finding in this slice.
    lps = [series.TransformIndexToPhysicalPoint((int(c), int(r), round(index[2]))) for r, c in np.argwhere(first)]
    voxels = [nearest_voxel(case, np.array(point)) for point in lps]
    assert all(above[voxel] for voxel in voxels)
    assert len(voxels) == above[:, :, voxels[0][2]].sum() > 0


def test_the_map_holds_the_heatmaps_own_numbers(case: Case, written: Written):
    image = pydicom.dcmread(written["heatmap"])
    frames = np.frombuffer(image.FloatPixelData, dtype="<f4").reshape(image.NumberOfFrames, image.Rows, image.Columns)
    values = np.nan_to_num(case.outcome.heatmap.values)
    rng = np.random.default_rng(0)
    for n, r, c in zip(*(rng.integers(0, size, 60) for size in frames.shape), strict=True):
        assert frames[n, r, c] == values[nearest_voxel(case, at(image, n, c, r))]
    mapping = image.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)


def test_each_finding_is_a_segment(case: Case, written: Written):
    image = pydicom.dcmread(written["findings"])
    masks = [np.zeros(case.geometry.shape, dtype=bool) for _ in image.SegmentSequence]
    for n, frame in enumerate(image.pixel_array):
        number = image.PerFrameFunctionalGroupsSequence[n].SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for r, c in np.argwhere(frame):
            masks[number - 1][nearest_voxel(case, at(image, n, c, r))] = True
    above = np.nan_to_num(case.outcome.heatmap.values) > LEVEL
    np.testing.assert_array_equal(masks[0] | masks[1], above)
    assert masks[0][5, 11, 4]
    assert masks[1][13, 16, 9]
    volumes = [mask.sum() * case.geometry.voxel_ml * 1000.0 for mask in masks]
    np.testing.assert_allclose(volumes, [f.volume_mm3 for f in case.outcome.result.findings])
    assert segread(written["findings"]).number_of_segments == 2


def test_the_report_says_what_the_result_says(case: Case, written: Written):
    report, result = srread(written["report"]), case.outcome.result
    whole, *findings = (
        report.content.get_image_measurement_groups(),
        *report.content.get_volumetric_roi_measurement_groups(),
    )
    (scan,) = whole
    values = {m.name.value: m.value for m in scan.get_measurements()}
    assert values == pytest.approx({"score": 6.25, "p-value": 1 / 46, "robust-z": 5.5})
    evaluated = {e.name.value: e.value.value for e in scan.get_qualitative_evaluations()}
    assert evaluated["verdict"] == "fail"
    said = pydicom.dcmread(written["report"]).to_json()
    for text in (result.reason, *result.notes, "Not a medical device", result.model.sha256, "anomri brain-t1"):
        assert text in said.encode().decode("unicode_escape", "ignore") or text in said
    segmentation = pydicom.dcmread(written["findings"])
    for number, (group, finding) in enumerate(zip(findings, result.findings, strict=True), start=1):
        measured = [m.value for m in group.get_measurements()]
        assert measured == pytest.approx([finding.volume_mm3, finding.peak, finding.mean])
        assert group.referenced_segment.referenced_sop_instance_uid == segmentation.SOPInstanceUID
        assert group.referenced_segment.referenced_segment_numbers == [number]
        centre, peak = (np.array(item.GraphicData) for item in group[0].ContentSequence if item.ValueType == "SCOORD3D")
        x, y, z = finding.centroid_mm
        np.testing.assert_allclose(centre, [-x, -y, z], atol=1e-3)
        assert case.outcome.heatmap.values[nearest_voxel(case, peak)] == np.float32(finding.peak)


def described(case: Case, **changes: Any) -> Any:
    """The first finding's group in the report of a result whose findings are described."""
    result = case.outcome.result
    first = result.findings[0].model_copy(update=changes)
    findings = (first, *result.findings[1:])
    objects = made(case, replace(case.outcome, result=result.model_copy(update={"findings": findings})))
    buffer = io.BytesIO()
    objects["report"].save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return srread(buffer).content.get_volumetric_roi_measurement_groups()[0]


@pytest.mark.parametrize(
    ("side", "code"), [("left", "7771000"), ("right", "24028007"), ("midline", "261129000"), (None, None)]
)
def test_side_depth_and_direction_of_a_finding_are_coded(case: Case, side: str | None, code: str | None):
    group = described(case, side=side, depth_mm=12.5, direction="darker", region="on a side, deep")
    (site,) = group.finding_sites
    assert site.value.value == "12738006"  # brain, SNOMED CT
    coded = {"left": site.laterality, "right": site.laterality, "midline": site.topographical_modifier}.get(side)
    assert (None if coded is None else coded.value) == code
    assert (site.laterality is None) == (side in ("midline", None))
    depths = {m.name.value: (m.value, m.unit.value) for m in group.get_measurements()}
    assert depths["131197000"] == (12.5, "mm")
    (said,) = [e.value.value for e in group.get_qualitative_evaluations() if e.name.value == "direction"]
    assert said == "darker"
    texts = [item.TextValue for item in group[0].ContentSequence if item.ValueType == "TEXT"]
    assert any(text.endswith("is darker than expected, on a side, deep.") for text in texts)


def test_a_finding_outside_a_brain_has_no_site(case: Case):
    group = described(case, side="left", direction="brighter")
    assert not group.finding_sites


def test_what_the_report_refers_to_is_in_its_evidence(case: Case, written: Written):
    report = pydicom.dcmread(written["report"])
    evidence = {
        image.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for one in study.ReferencedSeriesSequence
        for image in one.ReferencedSOPSequence
    }
    sources = {pydicom.dcmread(p).SOPInstanceUID for p in case.folder.iterdir()}
    assert sources | {pydicom.dcmread(written[n]).SOPInstanceUID for n in ("findings", "heatmap")} <= evidence


def test_picture_and_document_are_what_was_given(case: Case, written: Written):
    picture = pydicom.dcmread(written["preview"])
    preview = np.asarray(Image.open(io.BytesIO(preview_png(case.outcome))))
    np.testing.assert_array_equal(picture.pixel_array, preview)
    document = pydicom.dcmread(written["document"])
    assert document.EncapsulatedDocument[: document.EncapsulatedDocumentLength] == PDF


def test_a_repeat_gives_the_same_bytes_and_only_times_follow_the_clock(case: Case):
    one, same, later = made(case), made(case), made(case, created=datetime(2027, 1, 2, 3, 4, 5))
    kinds = ("Content{}", "InstanceCreation{}", "Series{}", "{}OfSecondaryCapture")
    times = {kind.format(what) for kind in kinds for what in ("Date", "Time")}
    for name, image in one.items():
        assert bytes_of(image) == bytes_of(same[name])
        assert image.SOPInstanceUID == later[name].SOPInstanceUID
        different = {e.keyword for e in image if e.value != later[name][e.tag].value}
        assert {"InstanceCreationDate"} <= different <= times | {"ContributingEquipmentSequence"}


def test_another_result_or_source_gives_other_identifiers(case: Case, tmp_path: Path):
    def uids(images: dict[str, Any]) -> set[str]:
        return {str(uid) for i in images.values() for uid in (i.SOPInstanceUID, i.SeriesInstanceUID)}

    other = write_case(tmp_path, oblique((20, 24, 13)))
    again = outcome_on(case.geometry, case.voxels, score=6.5)
    assert not uids(made(case)) & (uids(made(other)) | uids(made(case, again)))


def bytes_of(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("verdict", ["unreadable", "out_of_scope"])
def test_a_scan_that_was_not_judged_has_a_report_and_a_picture(
    case: Case, refused: Callable[..., Result], verdict: str
):
    source = read_source(case.folder, case.outcome)
    images = dicom_results(Outcome(refused(verdict=verdict)), source, created=CREATED)
    assert set(images) == {"report", "preview"}
    assert verdict in str(images["report"])


def test_without_findings_there_is_no_segmentation_and_an_older_one_goes(case: Case, tmp_path: Path):
    write_dicom(made(case), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    thresholds = case.outcome.result.thresholds.model_copy(update={"finding_level": 20.0})
    plain = outcome_on(case.geometry, case.voxels, findings=(), thresholds=thresholds)
    write_dicom(made(case, plain), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"report.dcm", "preview.dcm", "heatmap.dcm", "notes.txt"}
    assert set(FILES) >= {"findings.dcm", "document.dcm"}


def test_findings_that_the_heatmap_does_not_hold_are_refused(case: Case):
    one = outcome_on(case.geometry, case.voxels, findings=case.outcome.result.findings[:1])
    with pytest.raises(InputError, match="findings"):
        made(case, one)


def test_a_header_that_the_standard_forbids_is_refused(case: Case, tmp_path: Path):
    from dicom_slices import series, write

    write(tmp_path, series(case.voxels, case.geometry.affine, **{**PATIENT, "PatientSex": "UNKNOWN"}))
    with pytest.raises(InputError, match="series_header"):
        made(replace(case, folder=tmp_path))


def test_an_anonymous_series_gives_anonymous_results(case: Case, tmp_path: Path):
    from dicom_slices import series, write

    write(tmp_path, series(case.voxels, case.geometry.affine, FrameOfReferenceUID=PATIENT["FrameOfReferenceUID"]))
    images = made(replace(case, folder=tmp_path), pdf=PDF)
    assert len(images) == 5
    assert not any(image.PatientName or image.PatientID for image in images.values())


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.mark.parametrize("name", ["report", "preview", "heatmap", "findings", "document"])
def test_dcmtk_reads_each_object(written: Written, name: str):
    done = subprocess.run([tool("dcmdump"), str(written[name])], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "E:" not in done.stderr


def test_dcmtk_prints_the_report(written: Written):
    done = subprocess.run([tool("dsrdump"), "+U8", str(written["report"])], capture_output=True, check=False)
    text = done.stdout.decode("utf-8")
    assert done.returncode == 0
    assert 'CODE:(,,"Verdict on the scan")=(fail,99ANOMRI' in text
    assert "A bright place – brighter" in text
    assert text.count("SCOORD3D") == 4


@pytest.mark.parametrize("name", ["report", "preview", "heatmap", "findings", "document"])
def test_dciodvfy_finds_no_error(written: Written, name: str):
    done = subprocess.run([tool("dciodvfy"), str(written[name])], capture_output=True, text=True, check=False)
    assert [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")] == []
