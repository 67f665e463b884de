"""Adapters to public sets of the pelvis and of mixed anatomy."""

from __future__ import annotations

from anomri.datasets.adapter import Adapter, Layout
from anomri.datasets.tables import Table

__all__ = ["PELVIS"]

LUND = Adapter(
    name="lund-probe",
    title="LUND-PROBE, pelvis planned for radiotherapy on MRI alone",
    sequences=("T2w",),
    subjects=467,
    licence="controlled access; medical diagnostics research",
    access="application",
    how="Request at https://datahub.aida.scilifelab.se/10.23698/aida/lund-probe",
    citation="Rogowski V. et al., LUND-PROBE, AIDA 2025, doi:10.23698/aida/lund-probe",
    sources=(
        "https://github.com/jamtheim/LUND-PROBE/blob/6ec24547dbab9babdf22514885af53aa48298568/directoryStructure.txt",
    ),
    layouts=(
        Layout(
            example="Patient/MR_StorT2/image.nii.gz",
            pattern=r"(?P<subject>[^/]+)/MR_StorT2/image\.nii\.gz",
            sequence="T2w",
            label="normal",
        ),
    ),
    notes="Every patient has prostate cancer: normal means fit for planning. Organs lie beside the image as mask_*.",
)
PROMISE = Adapter(
    name="promise12",
    title="PROMISE12, prostate",
    sequences=("T2w",),
    subjects=50,
    licence="see the provider",
    access="registration",
    how="Download from https://zenodo.org/records/8026660 or https://promise12.grand-challenge.org",
    citation="Litjens G. et al., Medical Image Analysis 2014, 18(2):359-373",
    sources=(
        "https://github.com/sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-PROMISE12-Prostate-Cancer/blob/"
        "96553d330412d97fbe7c9a7096748863b8eb9553/README.md",
    ),
    layouts=(
        Layout(
            example="training_data/Case00.mhd",
            pattern=r"(?P<subject>Case\d{2})\.mhd",
            sequence="T2w",
        ),
    ),
    notes="The masks are of the prostate, not of a lesion; what is normal is not stated.",
)
PROSTATEX = Adapter(
    name="prostatex",
    title="PROSTATEx, findings in the prostate",
    sequences=("T2w",),
    subjects=346,
    licence="see the provider",
    access="open",
    how="Download PROSTATEx and its lesion information from https://www.cancerimagingarchive.net/collection/prostatex/",
    citation="Litjens G. et al., IEEE TMI 2014, 33(5):1083-1092",
    sources=("https://github.com/DIAGNijmegen/picai_prep/blob/aac797b9b0e653f6076837b7789dfa5d96fc8864/README.md",),
    layouts=(
        Layout(
            example="ProstateX-0000/07-07-2011-NA-MR prostaat kanker detectie WDSmc MCAPRODETW-05711/"
            "4.000000-t2tsetra-00702/1-01.dcm",
            pattern=r"(?P<subject>ProstateX-\d{4})/(?P<session>[^/]+)/[^/]*-(?P<sequence>t2tsetra)-[^/]*/[^/]+\.dcm",
            series=True,
        ),
    ),
    tables=(
        Table(
            files=("ProstateX-Findings-Train.csv",),
            key=("ProxID",),
            columns={"label": ("ClinSig",)},
            codes={"label": {"TRUE": "abnormal", "FALSE": "benign", "True": "abnormal", "False": "benign"}},
        ),
    ),
    notes="Abnormal: a significant cancer. A patient without one has another finding: unknown. Transverse T2 alone.",
)
MOOD = Adapter(
    name="mood",
    title="MOOD challenge, brains",
    sequences=("T1w",),
    subjects=800,
    licence="see the provider",
    access="registration",
    how="Register at https://www.synapse.org/mood; unpack brain_train.zip and brain_toy.zip.",
    citation="Zimmerer D. et al., IEEE TMI 2022, 41(10):2728-2738",
    sources=(
        "https://github.com/neuro-ml/amid/blob/f1d2c37ab77ca09864c368d3e6dd647c720c2ea7/amid/mood.py",
        "https://github.com/MIC-DKFZ/mood/blob/011ad1d7603ab5b8bf490c95a6da303506c22a1e/readme.md",
    ),
    layouts=(
        Layout(
            example="brain_train/00000.nii.gz",
            pattern=r"brain_train/(?P<subject>\d+)\.nii\.gz",
            sequence="T1w",
            label="normal",
        ),
        Layout(
            example="toy/toy_0.nii.gz",
            pattern=r"toy/(?P<subject>toy_\d+)\.nii\.gz",
            sequence="T1w",
            masks=("{up}/toy_label/pixel/{name}",),
        ),
    ),
    notes="Toy cases may be normal: an empty mask says so. The test set is hidden.",
)
PELVIS = (LUND, PROMISE, PROSTATEX, MOOD)
