"""Sheets give age, sex, label and ratings; without them, or with bad ones, a set still lists."""

from __future__ import annotations

import csv
import io

import pytest

from anomri.datasets import list_dataset
from anomri.datasets.tables import read_rows

IXI = "IXI-T1/IXI012-HH-1211-T1.nii.gz"


def one(name: str, folder):
    [record] = list_dataset(name, folder).records
    return record


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_ixi_sheet_saved_by_any_spreadsheet(tree, delimiter: str):
    sheet = io.StringIO()
    rows = [["IXI_ID", "SEX_ID (1=m, 2=f)", "HEIGHT", "AGE"], ["12", "1", "180", "38.78"]]
    csv.writer(sheet, delimiter=delimiter).writerows(rows)
    record = one("ixi", tree(IXI, sheets={"IXI.csv": "\ufeff" + sheet.getvalue()}))
    assert (record.age, record.sex) == (38.78, "M")
    assert record.covariates == {"age": 38.78, "sex": 1.0}


def test_a_sheet_beside_the_folder_is_found(tree):
    root = tree(IXI, sheets={"IXI.csv": "IXI_ID,SEX_ID,AGE\n12,2,30\n"})
    assert one("ixi", root / "IXI-T1").sex == "F"


def test_without_the_sheet_the_covariates_are_absent_and_that_is_said(tree):
    listing = list_dataset("ixi", tree(IXI))
    assert listing.records[0].covariates == {}
    assert listing.problems == ("no IXI.csv: age, sex unknown",)


def test_a_sheet_in_a_format_that_is_not_read_is_named(tree):
    assert list_dataset("ixi", tree(IXI, "IXI.xls")).problems == ("IXI.xls is not read: save it as IXI.csv",)


@pytest.mark.parametrize(
    ("sheet", "problem"),
    [
        ("", "cannot be read as a table"),
        ("ID,AGE\n1,2\n", "has no column IXI_ID"),
        ("IXI_ID,AGE\ntwelve,20\n", "which is no id of this set"),
    ],
)
def test_a_bad_sheet_is_a_problem_and_no_failure(tree, sheet: str, problem: str):
    listing = list_dataset("ixi", tree(IXI, sheets={"IXI.csv": sheet}))
    assert listing.records[0].age is None
    assert any(problem in text for text in listing.problems)


@pytest.mark.parametrize(("cell", "age"), [("89+", 89.0), ("n/a", None), ("", None), ("-3", None), ("old", None)])
def test_an_age_is_a_number_of_years_or_unknown(tree, cell: str, age: float | None):
    folder = tree("sub-01/anat/sub-01_T1w.nii.gz", sheets={"participants.tsv": f"participant_id\tage\n01\t{cell}\n"})
    assert one("bids", folder).age == age


def test_rows_that_contradict_each_other_leave_the_field_unknown(tree):
    sheet = "IXI_ID,SEX_ID,AGE\n12,1,30\n12,2,30\n"
    record = one("ixi", tree(IXI, sheets={"IXI.csv": sheet}))
    assert (record.age, record.sex) == (30.0, None)


def test_a_longer_row_than_the_header_is_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2,3\n4\n", encoding="utf-8")
    assert read_rows(path) == [{"a": "1", "b": "2"}, {"a": "4", "b": ""}]


@pytest.mark.parametrize(("rating", "label"), [("0", "normal"), ("0.5", "abnormal"), ("", "unknown")])
def test_dementia_rating_is_the_label_of_oasis(tree, rating: str, label: str):
    path = "OAS1_0001_MR1/PROCESSED/MPRAGE/SUBJ_111/OAS1_0001_MR1_mpr_n4_anon_sbj_111.hdr"
    sheet = f"ID,M/F,Hand,Age,CDR\nOAS1_0001_MR1,F,R,74,{rating}\n"
    record = one("oasis-1", tree(path, sheets={"oasis_cross-sectional.csv": sheet}))
    assert (record.label, record.sex, record.age) == (label, "F", 74.0)


@pytest.mark.parametrize(("findings", "label"), [(("TRUE", "FALSE"), "abnormal"), (("FALSE", "FALSE"), "unknown")])
def test_one_significant_cancer_makes_a_patient_abnormal(tree, findings, label: str):
    rows = "".join(f"ProstateX-0000,{n},1 2 3,PZ,{value}\n" for n, value in enumerate(findings, 1))
    folder = tree(
        "ProstateX-0000/study/4.0-t2tsetra-1/1-01.dcm",
        sheets={"ProstateX-Findings-Train.csv": "ProxID,fid,pos,zone,ClinSig\n" + rows},
    )
    assert one("prostatex", folder).label == label


def test_adni_goes_by_image_and_cam_can_by_its_own_ids(tree):
    image = "ADNI_002_S_0295_MR_MP-RAGE__br_raw_20061102123250714_1_S21856_I28561.nii"
    sheet = '"Image Data ID","Subject","Group","Sex","Age"\n"I28561","002_S_0295","CN","M","85"\n'
    record = one("adni", tree(image, sheets={"collection.csv": sheet}))
    assert (record.label, record.age, record.sex) == ("normal", 85.0, "M")
    folder = tree(
        "anat/sub-CC110033/anat/sub-CC110033_T1w.nii.gz",
        sheets={"participant_data.csv": "Observations,age,hand,gender_text\nCC110033,24,1,MALE\n"},
    )
    assert one("cam-can", folder).covariates == {"age": 24.0, "sex": 1.0}


def test_slices_get_label_and_place_from_their_sheet(tree):
    folder = tree(
        "TCGA_CS_4942_19970222/TCGA_CS_4942_19970222_10.png",
        sheets={
            "slices.tsv": "patient\tslice\tslices_in_patient\thas_tumour\nTCGA_CS_4942_19970222\t10\t20\t1\n",
            "data.csv": "Patient,gender,age_at_initial_pathologic\nTCGA_CS_4942,1,44\n",
        },
    )
    record = one("lgg-slices", folder)
    assert (record.label, record.position, record.age, record.sex) == ("abnormal", 0.5, 44.0, None)


def test_copies_of_a_picture_travel_with_the_first(tree):
    folder = tree("no/a.jpg", "no/b.jpg", sheets={"index.tsv": "file\tduplicate_of\nno/a.jpg\t\nno/b.jpg\tno/a.jpg\n"})
    assert {record.group for record in list_dataset("tumour-slices", folder).records} == {"no/a.jpg"}


def test_ratings_of_motion_and_of_abide(tree):
    name = "sub-000103_acq-headmotion2_T1w"
    folder = tree(f"sub-000103/anat/{name}.nii.gz", sheets={"derivatives/scores.tsv": f"bids_name\tscore\n{name}\t3\n"})
    record = one("mr-art", folder)
    assert (record.label, dict(record.ratings)) == ("abnormal", {"score": 3.0})
    sheet = "subject_id,site,rater_1,rater_2,rater_3\n50003,PITT,-1,,1\n"
    folder = tree("sub-0050003/anat/sub-0050003_T1w.nii.gz", sheets={"y_abide.csv": sheet})
    [record] = [r for r in list_dataset("abide-1", folder).records if r.subject == "sub-0050003"]
    assert (record.site, dict(record.ratings)) == ("PITT", {"rater_1": -1.0, "rater_3": 1.0})


FASTMRI = [f"file_brain_AXT1_202_20200{n}.h5" for n in range(1, 6)]
ROWS = (
    "file,slice,study_level,x,y,width,height,label\n"
    "file_brain_AXT1_202_202001,3,No,91,132,7,6,Nonspecific white matter lesion\n"
    "file_brain_AXT1_202_202002,,Yes,,,,,Normal for age\n"
    "file_brain_AXT1_202_202003,,Yes,,,,,Small vessel chronic white matter ischemic change\n"
)


def test_boxes_make_a_scan_abnormal_and_a_look_without_finding_normal(tree):
    listed = "\n".join(f"file_brain_AXT1_202_20200{n}" for n in range(1, 5))
    listing = list_dataset("fastmri-brain", tree(*FASTMRI, sheets={"brain.csv": ROWS, "brain_file_list.csv": listed}))
    assert [r.label for r in listing.records] == ["abnormal", "normal", "abnormal", "normal", "unknown"]
    [box] = listing.records[0].boxes
    assert (box.slice, box.x, box.y, box.width, box.height) == (3, 91.0, 132.0, 7.0, 6.0)
    assert listing.records[2].findings == ("Small vessel chronic white matter ischemic change",)


@pytest.mark.parametrize(
    ("sheets", "problem"),
    [
        ({}, "no brain.csv"),
        ({"brain.csv": ROWS}, "no brain_file_list.csv"),
        ({"brain.csv": "file,slice\na,1\n"}, "lacks a column"),
    ],
)
def test_without_the_boxes_every_label_is_unknown_and_that_is_said(tree, sheets, problem: str):
    listing = list_dataset("fastmri-brain", tree(FASTMRI[4], sheets=sheets))
    assert listing.records[0].label == "unknown"
    assert any(problem in text for text in listing.problems)
    assert any("names no patients" in text for text in listing.problems)
