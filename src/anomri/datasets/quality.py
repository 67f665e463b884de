"""Adapters to public sets with motion or with verdicts on image quality."""

from __future__ import annotations

from anomri.datasets.adapter import Adapter, Layout
from anomri.datasets.brains import PARTICIPANTS
from anomri.datasets.ratings import rated_records
from anomri.datasets.tables import Table

__all__ = ["QUALITY"]

MRIQC = "https://github.com/nipreps/mriqc/tree/master/mriqc/data/csv"
MR_ART = Adapter(
    name="mr-art",
    title="MR-ART, the same heads still and moving",
    sequences=("T1w",),
    subjects=148,
    licence="CC0",
    access="open",
    how="Download OpenNeuro ds004173, https://openneuro.org/datasets/ds004173",
    citation="Nárai Á. et al., Scientific Data 2022, 9:630",
    sources=(
        "https://github.com/yasinzaii/BrainScape/blob/HEAD/BrainScape/MRART/README.md",
        "https://bids-specification.readthedocs.io",
    ),
    layouts=(
        Layout(
            example="sub-000103/anat/sub-000103_acq-headmotion1_T1w.nii.gz",
            pattern=r"(?P<subject>sub-\d{6})/anat/(?P=subject)_acq-(?P<label>standard|headmotion1|headmotion2)_T1w\.nii\.gz",
            sequence="T1w",
            stripped=False,
            labels={"standard": "normal", "headmotion1": "abnormal", "headmotion2": "abnormal"},
        ),
    ),
    tables=(
        PARTICIPANTS,
        Table(files=("scores.tsv",), key=("bids_name",), of="{stem}", ratings=("score",)),
    ),
    notes="Abnormal means that the person was asked to move. The score is a neuroradiologist's, 1 to 3, 1 the best.",
    excluded=r"/derivatives/",
)
ABIDE = Adapter(
    name="abide-1",
    title="ABIDE I with MRIQC's ratings",
    sequences=("T1w",),
    subjects=1102,
    licence="see the provider",
    access="registration",
    how="Download RawDataBIDS from s3://fcp-indi/data/Projects/ABIDE; put y_abide.csv of MRIQC into the folder.",
    citation="Di Martino A. et al., Molecular Psychiatry 2014, 19:659; Esteban O. et al., PLoS ONE 2017, 12:e0184661",
    sources=(MRIQC, "https://bids-specification.readthedocs.io"),
    layouts=(
        Layout(
            example="RawDataBIDS/PITT/sub-0050002/anat/sub-0050002_T1w.nii.gz",
            pattern=r"(?:RawDataBIDS/(?P<site>[^/]+)/)?(?P<subject>sub-\d{7})/(?:ses-(?P<session>\w+)/)?anat/"
            r"(?P=subject)_(?:[a-z]+-[A-Za-z0-9]+_)*T1w\.nii\.gz",
            sequence="T1w",
            stripped=False,
        ),
    ),
    tables=(
        Table(
            files=("y_abide.csv",),
            key=("subject_id",),
            columns={"site": ("site",)},
            ratings=("rater_1", "rater_2", "rater_3"),
            key_as=lambda text: f"sub-{int(text):07d}",
        ),
    ),
    notes="Ratings: 1 accept, 0 doubtful, -1 exclude. Raters disagree: state which. Labels are unknown.",
)
DS030 = Adapter(
    name="ds030",
    title="UCLA CNP (OpenNeuro ds000030) with MRIQC's ratings",
    sequences=("T1w",),
    subjects=265,
    licence="see the provider",
    access="open",
    how="Download https://openneuro.org/datasets/ds000030; put y_ds030.csv of MRIQC into the folder.",
    citation="Poldrack R. A. et al., Scientific Data 2016, 3:160110; Esteban O. et al., PLoS ONE 2017, 12(9):e0184661",
    sources=(MRIQC, "https://bids-specification.readthedocs.io"),
    layouts=(
        Layout(
            example="sub-10159/anat/sub-10159_T1w.nii.gz",
            pattern=r"(?P<subject>sub-\d{5})/anat/(?P=subject)_T1w\.nii\.gz",
            sequence="T1w",
            stripped=False,
        ),
    ),
    tables=(
        PARTICIPANTS,
        Table(
            files=("y_ds030.csv",),
            key=("subject_id",),
            columns={"site": ("site",)},
            ratings=("rater_1",),
            key_as=lambda text: f"sub-{text}",
        ),
    ),
    notes="Ratings: 1 accept, 0 doubtful, -1 exclude. Labels are unknown.",
)
RATINGS = Adapter(
    name="quality-ratings",
    title="MRIQC's metrics and ratings of ABIDE I and ds030, without images",
    sequences=("T1w",),
    subjects=1366,
    licence="Apache-2.0 (the repository's)",
    access="open",
    how=f"Copy x_abide.csv, y_abide.csv, x_ds030.csv and y_ds030.csv from {MRIQC}",
    citation="Esteban O. et al., PLoS ONE 2017, 12(9):e0184661",
    sources=(MRIQC,),
    layouts=(),
    notes="Tables alone: read_ratings gives metrics and ratings of each scan.",
    finish=rated_records,
)
QUALITY = (MR_ART, ABIDE, DS030, RATINGS)
