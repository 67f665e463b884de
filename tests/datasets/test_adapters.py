"""Every adapter finds what its published folder holds, on a small made folder, without reading an image."""

from __future__ import annotations

import re

import pytest

from anomri.datasets import DATASETS, LEFT_OUT, find_adapter, list_dataset
from anomri.datasets.adapter import Adapter
from anomri.errors import InputError

WITH_LAYOUT = [adapter for adapter in DATASETS.values() if adapter.layouts]
# Name → (path of an image, what its record must say beyond its path).
EXPECTED = {
    "ixi": ("IXI-T1/IXI012-HH-1211-T1.nii.gz", {"subject": "IXI012", "site": "HH", "sequence": "T1w"}),
    "oasis-1": (
        "disc1/OAS1_0002_MR1/PROCESSED/MPRAGE/SUBJ_111/OAS1_0002_MR1_mpr_n4_anon_sbj_111.hdr",
        {"subject": "OAS1_0002", "session": "MR1", "stripped": False},
    ),
    "oasis-3": (
        "OAS30001_MR_d0757/anat1/sub-OAS30001_ses-d0757_acq-TSE_T2w.nii.gz",
        {"subject": "OAS30001", "session": "d0757", "sequence": "T2w", "label": "unknown"},
    ),
    "hcp-ya": ("100307/T1w/T1w_acpc_dc_restore_brain.nii.gz", {"subject": "100307", "stripped": True}),
    "cam-can": ("sub-CC110033/anat/sub-CC110033_T2w.nii", {"subject": "sub-CC110033", "sequence": "T2w"}),
    "adni": (
        "ADNI/002_S_0295/MP-RAGE/2006-11-02_08_16_44.0/I28561/"
        "ADNI_002_S_0295_MR_MP-RAGE__br_raw_20061102123250714_1_S21856_I28561.nii",
        {"subject": "002_S_0295", "site": "002", "session": "20061102"},
    ),
    "kirby-21": ("visit_2/505/505-02-T1.nii.gz", {"subject": "505", "session": "02", "sequence": "T1w"}),
    "nfbs": ("A00028185/sub-A00028185_ses-NFB3_T1w_brain.nii.gz", {"subject": "sub-A00028185", "stripped": True}),
    "cc359": (
        "Original/CC0359_siemens_3_48_F.nii.gz",
        {"subject": "CC0359", "site": "siemens-3", "age": 48.0, "sex": "F"},
    ),
    "bids": (
        "sub-07/ses-2/anat/sub-07_ses-2_acq-hi_run-1_FLAIR.nii.gz",
        {"subject": "sub-07", "session": "2", "sequence": "FLAIR", "label": "unknown"},
    ),
    "brats": ("BraTS2021_00003/BraTS2021_00003_t1ce.nii.gz", {"subject": "BraTS2021_00003", "sequence": "T1ce"}),
    "atlas-2": (
        "ATLAS_2/Training/R047/sub-r047s003/ses-1/anat/sub-r047s003_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz",
        {"subject": "sub-r047s003", "site": "R047", "label": "abnormal"},
    ),
    "isles-2022": (
        "sub-strokecase0009/ses-0001/dwi/sub-strokecase0009_ses-0001_adc.nii.gz",
        {"subject": "sub-strokecase0009", "sequence": "adc"},
    ),
    "mslub": ("cross_sectional/raw/patient03/T1WKS.nii.gz", {"subject": "patient03", "sequence": "T1ce"}),
    "wmh-2017": ("test/Amsterdam/GE1T5/150/pre/T1.nii.gz", {"subject": "150", "site": "Amsterdam", "sequence": "T1w"}),
    "fastmri-brain": ("multicoil_val/file_brain_AXT1POST_201_6002780.h5", {"site": "201", "sequence": "T1ce"}),
    "mr-art": (
        "sub-000103/anat/sub-000103_acq-standard_T1w.nii.gz",
        {"subject": "sub-000103", "label": "normal"},
    ),
    "abide-1": (
        "RawDataBIDS/CMU_a/sub-0050642/anat/sub-0050642_T1w.nii.gz",
        {"subject": "sub-0050642", "site": "CMU_a"},
    ),
    "ds030": ("sub-10159/anat/sub-10159_T1w.nii.gz", {"subject": "sub-10159"}),
    "lund-probe": ("P0001/MR_StorT2/image.nii.gz", {"subject": "P0001", "sequence": "T2w"}),
    "promise12": ("TrainingData_Part1/Case07.mhd", {"subject": "Case07"}),
    "prostatex": (
        "ProstateX-0001/07-08-2011/10.000000-t2tsetra-17541/1-01.dcm",
        {"subject": "ProstateX-0001", "sequence": "T2w"},
    ),
    "mood": ("brain/brain_train/00412.nii.gz", {"subject": "00412", "label": "normal"}),
    "lgg-slices": (
        "kaggle_3m/TCGA_HT_7473_19970826/TCGA_HT_7473_19970826_5.tif",
        {"subject": "TCGA_HT_7473", "site": "HT", "session": "19970826"},
    ),
    "tumour-slices": ("no/1_no.jpeg", {"subject": "no/1_no.jpeg", "label": "normal"}),
    "t1w-site-a": ("sub-54_T1w.nii.gz", {"subject": "sub-54", "stripped": True, "label": "normal"}),
    "t1w-site-b": ("sub-03_inplaneT2.nii.gz", {"subject": "sub-03", "sequence": "inplaneT2"}),
    "ms-mni": ("patient26_T2.nii.gz", {"subject": "patient26", "sequence": "T2w", "label": "abnormal"}),
    "aged-2mm": ("Subj7_T1.nii.gz", {"subject": "Subj7", "sequence": "T1w"}),
    "pelvis-t2": ("pelvis_t2/dicom_series_13/IM0002.dcm", {"subject": "pelvis_t2", "session": "13"}),
    "brats-slices": (
        "BRATS_HG0005_/BRATS_HG0005_T1C_slice95.nii.gz",
        {"subject": "BRATS_HG0005", "sequence": "T1ce"},
    ),
    "lesion-shapes": ("stroke/sub-102_lesion.nii.gz", {"subject": "sub-102", "site": "stroke"}),
}


def test_every_adapter_is_tried():
    assert set(EXPECTED) == {adapter.name for adapter in WITH_LAYOUT}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_path_as_published_becomes_a_record(name: str, tree):
    path, expected = EXPECTED[name]
    listing = list_dataset(name, tree(path))
    [record] = listing.records
    assert listing.key(record) == path
    assert {field: getattr(record, field) for field in expected} == expected
    assert (record.age is None) == ("age" not in expected), "an age came from nowhere"


@pytest.mark.parametrize("adapter", WITH_LAYOUT, ids=lambda adapter: adapter.name)
def test_the_examples_of_an_adapter_are_of_its_layouts(adapter: Adapter, tree):
    for layout in adapter.layouts:
        assert re.search(rf"(?:^|/){layout.pattern}$", layout.example), layout.example
    found = list_dataset(adapter.name, tree(*(layout.example for layout in adapter.layouts)))
    assert {found.key(record) for record in found.records} == {layout.example for layout in adapter.layouts}


@pytest.mark.parametrize("adapter", DATASETS.values(), ids=lambda adapter: adapter.name)
def test_an_adapter_says_where_its_layout_and_its_licence_come_from(adapter: Adapter):
    assert adapter.sources
    assert all(re.match(r"https?://", source) for source in adapter.sources)
    assert adapter.licence
    assert adapter.citation
    assert adapter.how


@pytest.mark.parametrize(
    ("name", "image", "mask", "values"),
    [
        ("brats", "B/BraTS2021_00001_t2.nii.gz", "B/BraTS2021_00001_seg.nii.gz", ()),
        ("brats", "B/BraTS20_Training_001_t1.nii", "B/BraTS20_Training_001_seg.nii", ()),
        ("brats", "B/BraTS-GLI-00008-001-t1n.nii.gz", "B/BraTS-GLI-00008-001-seg.nii.gz", ()),
        (
            "atlas-2",
            "sub-r001s001_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz",
            "sub-r001s001_ses-1_space-MNI152NLin2009aSym_label-L_desc-T1lesion_mask.nii.gz",
            (),
        ),
        (
            "isles-2022",
            "rawdata/sub-strokecase0001/ses-0001/dwi/sub-strokecase0001_ses-0001_dwi.nii.gz",
            "derivatives/sub-strokecase0001/ses-0001/sub-strokecase0001_ses-0001_msk.nii.gz",
            (),
        ),
        (
            "mslub",
            "cross_sectional/raw/patient01/FLAIR.nii.gz",
            "cross_sectional/raw/patient01/consensus_gt.nii.gz",
            (),
        ),
        ("wmh-2017", "training/Utrecht/0/pre/FLAIR.nii.gz", "training/Utrecht/0/wmh.nii.gz", (1,)),
        ("mood", "toy/toy_0.nii.gz", "toy_label/pixel/toy_0.nii.gz", ()),
        ("lgg-slices", "T/TCGA_CS_4942_19970222_7.tif", "T/TCGA_CS_4942_19970222_7_mask.tif", ()),
        ("aged-2mm", "Subj1_FL.nii.gz", "Subj1_FL_WMH.nii.gz", ()),
        ("brats-slices", "BRATS_HG0001_T2_slice90.nii.gz", "BRATS_HG0001_TRUTH_slice90.nii.gz", (4, 5, 6, 7)),
    ],
)
def test_a_mask_is_found_beside_its_image_and_missed_where_it_is_not(name, image, mask, values, tree):
    [without] = list_dataset(name, tree(image)).records
    assert without.mask is None
    listing = list_dataset(name, tree(image, mask))
    [record] = listing.records
    assert record.mask == listing.folder / mask
    assert record.mask_values == values
    assert not [problem for problem in listing.problems if "mask" in problem]


def test_missing_masks_are_counted_by_site(tree):
    folder = tree(
        "training/Utrecht/0/pre/FLAIR.nii.gz",
        "training/Utrecht/2/pre/FLAIR.nii.gz",
        "training/Singapore/50/pre/FLAIR.nii.gz",
        "training/Singapore/50/wmh.nii.gz",
    )
    assert any("2 images have no mask (2 of Utrecht)" in p for p in list_dataset("wmh-2017", folder).problems)


def test_a_folder_inside_the_set_does_as_well_as_its_root(tree):
    root = tree("training/Utrecht/0/pre/FLAIR.nii.gz", "training/Utrecht/0/wmh.nii.gz")
    [record] = list_dataset("wmh-2017", root / "training" / "Utrecht" / "0" / "pre").records
    assert record.site == "Utrecht"
    assert record.mask == root / "training" / "Utrecht" / "0" / "wmh.nii.gz"


def test_a_series_of_files_is_one_image(tree):
    series = "ProstateX-0000/study/4.000000-t2tsetra-00702"
    listing = list_dataset("prostatex", tree(f"{series}/1-01.dcm", f"{series}/1-02.dcm", f"{series}/1-03.dcm"))
    [record] = listing.records
    assert record.path.name == "1-01.dcm"


def test_a_brain_mask_that_comes_with_the_set_is_named(tree):
    listing = list_dataset(
        "nfbs", tree(*(f"A1/sub-A00028185_ses-NFB3_T1w{end}.nii.gz" for end in ("", "_brain", "_brainmask")))
    )
    assert [record.stripped for record in listing.records] == [False, True]
    assert {record.brain.name for record in listing.records if record.brain} == {
        "sub-A00028185_ses-NFB3_T1w_brainmask.nii.gz"
    }


def test_derivatives_of_a_bids_folder_are_no_scans(tree):
    folder = tree("sub-01/anat/sub-01_T1w.nii.gz", "derivatives/prep/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz")
    assert len(list_dataset("bids", folder).records) == 1


def test_people_of_site_a_who_are_kept_out_stay_out(tree):
    folder = tree("sub-05/anat/sub-05_T1w.nii.gz", "sub-07/anat/sub-07_T1w.nii.gz")
    assert [record.subject for record in list_dataset("t1w-site-a", folder).records] == ["sub-05"]


def test_a_folder_of_another_set_is_refused_with_an_example(tree):
    with pytest.raises(InputError, match=r"IXI002-Guys-0828-T1") as caught:
        list_dataset("ixi", tree("sub-01/anat/sub-01_T1w.nii.gz"))
    assert caught.value.code == "no_scans"


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="'atlas-2'"):
        find_adapter("atlas2")


def test_what_was_left_out_says_why():
    assert all(LEFT_OUT.values())
    assert not set(LEFT_OUT) & set(DATASETS)
