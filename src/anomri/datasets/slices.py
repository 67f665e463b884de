"""Adapters to public sets of single slices: PNG, JPEG, TIFF."""

from __future__ import annotations

from anomri.datasets.adapter import Adapter, Layout
from anomri.datasets.tables import Table

__all__ = ["SLICES"]

LGG = Adapter(
    name="lgg-slices",
    title="LGG slices, lower-grade glioma of TCGA with masks",
    sequences=("FLAIR",),
    subjects=110,
    licence="not stated in the repository; see the provider (non-commercial)",
    access="registration",
    how="Download https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation",
    citation="Buda M., Saha A., Mazurowski M. A., Computers in Biology and Medicine 2019, 109:218-225",
    sources=(
        "https://github.com/mateuszbuda/brain-segmentation-pytorch/blob/332969587481c4356b71913c26cde2fc92f34577/dataset.py",
    ),
    layouts=(
        Layout(
            example="kaggle_3m/TCGA_CS_4942_19970222/TCGA_CS_4942_19970222_10.tif",
            pattern=r"(?P<subject>TCGA_(?P<site>[A-Z0-9]{2})_[A-Z0-9]{4})_(?P<session>\d{8})_(?P<slice>\d+)"
            r"\.(?P<ending>tif|png)",
            sequence="FLAIR",
            stripped=False,
            masks=("{folder}/{stem}_mask.{ending}",),
        ),
    ),
    tables=(
        Table(
            files=("data.csv",),
            key=("Patient",),
            columns={"age": ("age_at_initial_pathologic",)},
        ),
        Table(
            files=("slices.tsv",),
            key=("patient", "slice"),
            of="{stem}",
            columns={"label": ("has_tumour",), "slices": ("slices_in_patient",)},
            codes={"label": {"1": "abnormal", "0": "normal"}},
        ),
    ),
    notes="FLAIR is the second channel of a TIFF of three. The published folder does not say which slices hold tumour: "
    "labels need slices.tsv (patient, slice, slices_in_patient, has_tumour). A slice without tumour is of a patient.",
)
TUMOUR = Adapter(
    name="tumour-slices",
    title="Brain tumour slices, yes and no",
    sequences=(),
    subjects=None,
    licence="not stated for the images",
    access="registration",
    how="Download https://www.kaggle.com/datasets/navoneel/brain-mri-images-for-brain-tumor-detection",
    citation="Chakrabarty N., Brain MRI images for brain tumor detection, Kaggle 2019",
    sources=("https://github.com/MohamedAliHabib/Brain-Tumor-Detection/tree/30470ae8eb2e4a523df7dc45dd5323903cb98365",),
    layouts=(
        Layout(
            example="yes/Y1.jpg",
            pattern=r"(?P<subject>(?P<label>yes|no)/[^/]+\.(?:jpg|jpeg|png|JPG|JPEG|PNG))",
            labels={"yes": "abnormal", "no": "normal"},
        ),
    ),
    tables=(
        Table(
            files=("index.tsv",),
            key=("file",),
            of="{subject}",
            columns={"group": ("duplicate_of",)},
        ),
    ),
    notes="Collected from the web: mixed contrasts, text burnt in, copies of one image. No tumour is not normal.",
    patients_known=False,
)
SLICES = (LGG, TUMOUR)
