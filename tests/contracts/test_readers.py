"""One phantom, anisotropic and oblique, in every format of a volume: each reader gives the same scan."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anomri.core.geometry import Geometry
from anomri.core.scan import Scan
from anomri.io import find_images, read
from anomri.io.formats import READERS
from anomri.io.picture import PICTURE_FORMATS

SHAPE = (12, 9, 10)
# Voxels of 0.9 × 1.3 × 3 mm, turned about all three axes.
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", [12, -21, 33], degrees=True).as_matrix() @ np.diag([-0.9, 1.3, 3.0])
AFFINE[:3, 3] = 31.2, -74.9, 12.4
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

Writer = Callable[[Path, np.ndarray, np.ndarray], None]


def phantom() -> np.ndarray:
    return np.random.default_rng(4).integers(-200, 3000, SHAPE).astype(np.int16)


def by_nibabel(kind: Callable[..., object]) -> Writer:
    return lambda path, voxels, affine: nib.save(kind(voxels, affine), path)  # type: ignore[arg-type]


def by_itk(*, compressed: bool) -> Writer:
    def write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
        image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
        world = LPS @ affine
        spacing = np.linalg.norm(world[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((world[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(world[:3, 3].tolist())
        sitk.WriteImage(image, str(path), compressed)

    return write


def packed(write: Writer) -> Writer:
    def pack(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
        plain = path.with_suffix("")
        write(plain, voxels, affine)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()

    return pack


WRITERS: dict[str, Writer] = {
    "x.nii": by_nibabel(nib.Nifti1Image),
    "x.nii.gz": by_nibabel(nib.Nifti2Image),
    "x.hdr": by_nibabel(nib.Nifti1Pair),
    "x.mgh": by_nibabel(nib.MGHImage),
    "x.mgz": by_nibabel(nib.MGHImage),
    "x.mha": by_itk(compressed=False),
    "y.mha": by_itk(compressed=True),
    "x.mha.gz": packed(by_itk(compressed=False)),
    "x.mhd": by_itk(compressed=False),
    "y.mhd": by_itk(compressed=True),
    "x.nrrd": by_itk(compressed=False),
    "y.nrrd": by_itk(compressed=True),
    "x.nrrd.gz": packed(by_itk(compressed=False)),
    "x.nhdr": by_itk(compressed=False),
    "y.nhdr": by_itk(compressed=True),
}


def written(folder: Path, name: str, affine: np.ndarray = AFFINE) -> Scan:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    WRITERS[name](folder / name, phantom(), affine)
    return read(folder / name)


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_content_is_the_same_scan_in_every_format(name, tmp_path):
    scan = written(tmp_path / "x", name)
    np.testing.assert_array_equal(scan.voxels, phantom())
    assert scan.geometry.same_grid(Geometry(SHAPE, AFFINE), 1e-4)
    assert scan.source.image_sha256 == written(tmp_path / "x", "x.nii").source.image_sha256
    assert scan.source.notes == ()
    assert scan.scan_id == name[0]
    assert scan.voxels.flags.c_contiguous
    assert not scan.voxels.flags.writeable


@pytest.mark.parametrize("name", ["x.nii", "x.mgz", "x.mha", "y.mhd", "x.nrrd", "y.nhdr"])
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    steps=st.tuples(*[st.floats(0.4, 6).flatmap(lambda s: st.sampled_from([s, -s]))] * 3),
    origin=st.tuples(*[st.floats(-250, 250)] * 3),
)
@settings(max_examples=20, deadline=None)
def test_any_grid_comes_back_within_a_ten_thousandth_of_a_millimetre(tmp_path_factory, name, angles, steps, origin):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(steps)
    affine[:3, 3] = origin
    scan = written(tmp_path_factory.getbasetemp() / f"grid-{name}", name, affine)
    assert scan.geometry.same_grid(Geometry(SHAPE, affine), 1e-4)
    np.testing.assert_array_equal(scan.voxels, phantom())


def test_every_row_of_the_table_is_a_format_that_is_written_here_or_has_no_grid():
    formats = {"nifti", "mgh", "metaimage", "nrrd"}
    without_orientation = {"hdf5", *PICTURE_FORMATS}
    assert formats | without_orientation == {reader.name for reader in READERS} - {"dicom"}


def test_a_folder_gives_its_volumes_of_every_format_and_not_the_data_files_beside_them(tmp_path):
    for number, (name, write) in enumerate(WRITERS.items()):
        if name != "x.hdr" and not name.endswith((".mha.gz", ".nrrd.gz")):
            write(tmp_path / f"{number:02}{name}", phantom(), AFFINE)
    (tmp_path / "to-mni.h5").touch()
    (tmp_path / "preview.png").touch()
    found = find_images([tmp_path])
    assert len(found) == 12
    assert {read(scan.path).source.format for scan in found} == {"nifti", "mgh", "metaimage", "nrrd"}


@pytest.mark.data
@pytest.mark.parametrize("name", ["T2_axial_series_03.mha", "T2_axial_series_15.mha"])
def test_real_metaimages_are_read_as_itk_reads_them(name, shared_data):
    path = shared_data / "pelvis_t2" / name
    scan, image = read(path), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(scan.voxels, sitk.GetArrayFromImage(image).transpose(2, 1, 0))
    corners = [(x, y, z) for x in (0, 319) for y in (0, 255) for z in (0, 19)]
    for corner in corners:
        there = np.diag([-1.0, -1.0, 1.0]) @ image.TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose((scan.geometry.affine @ [*corner, 1])[:3], there, atol=1e-4)
    assert scan.source.notes == ()
