"""Adapters to the folders of real scans that tests and benchmarks use: small parts of public sets, files renamed."""

from __future__ import annotations

from anomri.datasets.adapter import Adapter, Layout
from anomri.datasets.brains import PARTICIPANTS
from anomri.datasets.site_a import SUBJECTS
from anomri.datasets.tables import Table

__all__ = ["SAMPLES"]

_MSLUB = "https://github.com/muschellij2/open_ms_data/tree/65704901f60650824565aa5a4818611aa89716f4"
SITE_A = Adapter(
    name="t1w-site-a",
    title="Site A: 60 adults of one scanner, stripped (OpenNeuro ds002748)",
    sequences=("T1w",),
    subjects=60,
    licence="CC0",
    access="open",
    how="Take sub-*/anat of https://github.com/aaronsossin/DepressionMRI_AI or OpenNeuro ds002748.",
    citation="Bezmaternykh D. D. et al., Neural Plasticity 2021, 8846097",
    sources=("https://github.com/aaronsossin/DepressionMRI_AI/tree/baa0d5f0b80425a8d55f5210d609c7773f7570a4",),
    layouts=(
        Layout(
            example="sub-05_T1w.nii.gz",
            # The source holds twelve more people, who are kept out.
            pattern=rf"(?P<subject>{'|'.join(SUBJECTS)})_T1w\.nii\.gz",
            sequence="T1w",
            label="normal",
            stripped=True,
            site="site-a",
        ),
    ),
    tables=(PARTICIPANTS,),
    notes="43 of the 60 have mild depression, which leaves no mark on T1w.",
)
SITE_B = Adapter(
    name="t1w-site-b",
    title="Site B: healthy adults of another scanner, defaced full heads (OpenfMRI ds011)",
    sequences=("T1w", "inplaneT2"),
    subjects=11,
    licence="PDDL 1.0",
    access="open",
    how="Take sub-*/anat of https://github.com/sbassetto/LHData or OpenfMRI ds000011.",
    citation="Foerde K., Knowlton B. J., Poldrack R. A., PNAS 2006, 103(31):11778-11783",
    sources=("https://github.com/sbassetto/LHData/tree/b08773c5eb0765404fdf5fa80a55a0a7149fda0f",),
    layouts=(
        Layout(
            example="sub-01_T1w.nii.gz",
            pattern=r"(?P<subject>sub-\d{2})_(?P<sequence>T1w|inplaneT2)\.nii\.gz",
            label="normal",
            stripped=False,
            site="site-b",
        ),
    ),
    tables=(PARTICIPANTS,),
)
MS_MNI = Adapter(
    name="ms-mni",
    title="One patient of MSLUB in MNI space",
    sequences=("FLAIR", "T1w", "T2w"),
    subjects=1,
    licence="CC BY",
    access="open",
    how=f"Take cross_sectional/MNI of {_MSLUB}",
    citation="Lesjak Z. et al., Neuroinformatics 2018, 16(1):51-63",
    sources=(_MSLUB,),
    layouts=(
        Layout(
            example="patient26_FLAIR.nii.gz",
            pattern=r"(?P<subject>patient\d{2})_(?P<sequence>FLAIR|T1|T2)\.nii\.gz",
            label="abnormal",
            stripped=True,
            masks=("{folder}/{subject}_lesions.nii.gz",),
        ),
    ),
    tables=(
        Table(
            files=("patient_info.csv",),
            key=("patient_id",),
            columns={"age": ("age",), "sex": ("sex",)},
            key_as=lambda text: f"patient{int(text):02d}",
        ),
    ),
)
AGED = Adapter(
    name="aged-2mm",
    title="Elderly heads at 2 mm with masks of white matter hyperintensities",
    sequences=("T1w", "FLAIR"),
    subjects=5,
    licence="CBICA/SBIA software licence (the repository's)",
    access="open",
    how="Take sample_datasets/demo_dataset of https://github.com/CBICA/NiChart_Project",
    citation="CBICA, NiChart",
    sources=("https://github.com/CBICA/NiChart_Project/tree/1a04acb4ce41cc69472c79647ddeb85e73946544",),
    layouts=(
        Layout(
            example="Subj1_FL.nii.gz",
            pattern=r"(?P<subject>Subj\d+)_(?P<sequence>FL)\.nii\.gz",
            label="abnormal",
            stripped=False,
            masks=("{folder}/{subject}_FL_WMH.nii.gz",),
        ),
        Layout(
            example="Subj1_T1.nii.gz",
            pattern=r"(?P<subject>Subj\d+)_(?P<sequence>T1)\.nii\.gz",
            label="abnormal",
            stripped=False,
        ),
    ),
    tables=(Table(files=("participants.csv",), key=("MRID",), columns={"age": ("Age",), "sex": ("Sex",)}),),
    notes="The masks were made by a program: not a truth to measure against.",
)
PELVIS_T2 = Adapter(
    name="pelvis-t2",
    title="One male pelvis, DICOM and MetaImage",
    sequences=("T2w",),
    subjects=1,
    licence="not stated in the repository",
    access="open",
    how="Take the test data of https://github.com/SlicerProstate/SliceTracker",
    citation="The Cancer Imaging Archive, PCAMRGBX",
    sources=("https://github.com/SlicerProstate/SliceTracker/tree/afe7398538df999ba997079306ec6751737c69d8",),
    layouts=(
        Layout(
            example="pelvis_t2/T2_axial_series_03.mha",
            pattern=r"(?P<subject>pelvis_t2)/T2_axial_series_(?P<session>\d{2})\.mha",
            sequence="T2w",
        ),
        Layout(
            example="pelvis_t2/dicom_series_13/IM0001.dcm",
            pattern=r"(?P<subject>pelvis_t2)/dicom_series_(?P<session>\d{2})/[^/]+\.dcm",
            sequence="T2w",
            series=True,
        ),
    ),
    notes="Tests reading and foreign anatomy, nothing else.",
)
BRATS_SLICES = Adapter(
    name="brats-slices",
    title="One slice of eight BraTS 2013 patients",
    sequences=("FLAIR", "T1w", "T1ce", "T2w"),
    subjects=8,
    licence="not stated in the repository",
    access="open",
    how="Take SimpleExample/BRATS2DData of https://github.com/ntustison/BRATS2013",
    citation="Menze B. H. et al., IEEE TMI 2015, 34(10):1993-2024",
    sources=("https://github.com/ntustison/BRATS2013/tree/52e8315811fbc799475cb7e9e1e12d708884c6d3",),
    layouts=(
        Layout(
            example="BRATS_HG0001_/BRATS_HG0001_FLAIR_slice90.nii.gz",
            pattern=r"(?P<subject>BRATS_HG\d{4})_(?P<sequence>FLAIR|T1C|T1|T2)_slice(?P<slice>\d+)\.nii\.gz",
            label="abnormal",
            stripped=True,
            masks=("{folder}/{subject}_TRUTH_slice{slice}.nii.gz",),
            mask_values=(4, 5, 6, 7),
            brains=("{folder}/{subject}_MASK_slice{slice}.nii.gz",),
        ),
    ),
)
SHAPES = Adapter(
    name="lesion-shapes",
    title="Shapes of real lesions: masks without images",
    sequences=(),
    subjects=261,
    licence="CC BY (MS), BSD-2-Clause (stroke)",
    access="open",
    how=f"GOLD_STANDARD of {_MSLUB}; NIfTI of https://github.com/neurolabusc/StrokeOutcomeOptimizationProjectDemo",
    citation="Lesjak Z. et al., Neuroinformatics 2018, 16(1):51-63; Absher J. et al., Scientific Data 2024, 11:839",
    sources=(
        _MSLUB,
        "https://github.com/neurolabusc/StrokeOutcomeOptimizationProjectDemo/tree/ae553f82c24721dec4cd3bcffdd6c952257e8dba",
    ),
    layouts=tuple(
        Layout(
            example=f"{kind}/{name}_lesion{plural}.nii.gz",
            pattern=rf"{kind}/(?P<subject>{shape})_lesion{plural}\.nii\.gz",
            label="abnormal",
            site=kind,
            masks=("{folder}/{name}",),
        )
        for kind, name, shape, plural in (
            ("ms", "patient01", r"patient\d{2}", "s"),
            ("stroke", "sub-1006", r"sub-\d+", ""),
        )
    ),
    notes="The path is the mask itself.",
)
SAMPLES = (SITE_A, SITE_B, MS_MNI, AGED, PELVIS_T2, BRATS_SLICES, SHAPES)
