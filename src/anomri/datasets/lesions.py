"""Adapters to public sets of brains with lesions."""

from __future__ import annotations

from anomri.datasets.adapter import Adapter, Layout
from anomri.datasets.fastmri import with_annotations
from anomri.datasets.tables import Table

__all__ = ["LESIONS"]

BRATS = Adapter(
    name="brats",
    title="BraTS, glioma in four contrasts",
    sequences=("T1w", "T1ce", "T2w", "FLAIR"),
    subjects=1251,
    licence="CC BY-NC-SA 4.0 for 2021; see the year's page",
    access="registration",
    how="Register with the year's challenge at https://www.synapse.org",
    citation="Menze B. H. et al., IEEE TMI 2015, 34(10):1993-2024; Baid U. et al., arXiv:2107.02314",
    sources=(
        "https://github.com/neuro-ml/amid/blob/f1d2c37ab77ca09864c368d3e6dd647c720c2ea7/amid/brats2021.py",
        "https://huggingface.co/datasets/rocky93/BraTS_segmentation/tree/main",
        "https://huggingface.co/datasets/obi77/brats23-first-10-examples/tree/main",
    ),
    layouts=(
        Layout(
            example="BraTS2021_00000/BraTS2021_00000_flair.nii.gz",
            pattern=r"(?P<subject>BraTS(?:2021|20_(?:Training|Validation))_\d+)_(?P<sequence>t1|t1ce|t2|flair)"
            r"(?P<ending>\.nii(?:\.gz)?)",
            label="abnormal",
            stripped=True,
            masks=("{folder}/{subject}_seg{ending}",),
        ),
        Layout(
            example="BraTS-GLI-00000-000/BraTS-GLI-00000-000-t2f.nii.gz",
            pattern=r"(?P<subject>BraTS-[A-Z]+-\d{5})-(?P<session>\d{3})-(?P<sequence>t1n|t1c|t2w|t2f)\.nii\.gz",
            label="abnormal",
            stripped=True,
            masks=("{folder}/{subject}-{session}-seg.nii.gz",),
        ),
    ),
    notes="No normal scans of the same scanners: a set to be marked CONFOUNDED. Years overlap: use one of them.",
)
ATLAS = Adapter(
    name="atlas-2",
    title="ATLAS 2.0, chronic stroke",
    sequences=("T1w",),
    subjects=655,
    licence="see the provider",
    access="application",
    how="Request at http://fcon_1000.projects.nitrc.org/indi/retro/atlas.html",
    citation="Liew S.-L. et al., Scientific Data 2022, 9:320",
    sources=(
        "https://github.com/liamirpy/RAX-NET_ISCHEMIC_STROKE_SEGMENTATION/blob/"
        "0fb186c720ad9251a57d9f063a2530d85a4952e1/Dataset/Extract_lesion_information.py",
        "https://github.com/npnl/ATLAS",
    ),
    layouts=(
        Layout(
            example="Training/R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz",
            pattern=r"(?P<subject>sub-r(?P<cohort>\d{3})s\d{3})_ses-(?P<session>\d)_space-MNI152NLin2009aSym_T1w\.nii\.gz",
            sequence="T1w",
            label="abnormal",
            stripped=False,
            site="R{cohort}",
            masks=("{folder}/{subject}_ses-{session}_space-MNI152NLin2009aSym_label-L_desc-T1lesion_mask.nii.gz",),
        ),
    ),
    notes="The 300 scans for testing come without masks.",
)
ISLES = Adapter(
    name="isles-2022",
    title="ISLES 2022, acute and subacute stroke",
    sequences=("dwi", "adc", "FLAIR"),
    subjects=250,
    licence="CC BY 4.0",
    access="open",
    how="Download from https://zenodo.org/record/7960856",
    citation="Hernandez Petzsche M. R. et al., Scientific Data 2022, 9:762",
    sources=(
        "https://github.com/rajpurkarlab/ReX-MLE/blob/6492376569f115a7141530a2761389c6333efc0d/"
        "rex-mle/rexmle/challenges/isles22/prepare.py",
        "https://github.com/ezequieldlrosa/isles22/issues/5",
    ),
    layouts=(
        Layout(
            example="sub-strokecase0001/ses-0001/dwi/sub-strokecase0001_ses-0001_dwi.nii.gz",
            pattern=r"(?P<subject>sub-strokecase\d{4})/ses-(?P<session>\d{4})/dwi/[^/]+_(?P<sequence>dwi|adc)\.nii\.gz",
            label="abnormal",
            masks=(
                "{root}derivatives/{subject}/ses-{session}/{subject}_ses-{session}_msk.nii.gz",
                "{root}../derivatives/{subject}/ses-{session}/{subject}_ses-{session}_msk.nii.gz",
            ),
        ),
        Layout(
            example="sub-strokecase0001/ses-0001/anat/sub-strokecase0001_ses-0001_FLAIR.nii.gz",
            pattern=r"(?P<subject>sub-strokecase\d{4})/ses-(?P<session>\d{4})/anat/[^/]+_(?P<sequence>FLAIR)\.nii\.gz",
            label="abnormal",
        ),
    ),
    notes="Masks lie on the diffusion grid alone; FLAIR has none.",
    excluded=r"/derivatives/",
)
_MSLUB = r"cross_sectional/raw/(?P<subject>patient\d{2})/"
MSLUB = Adapter(
    name="mslub",
    title="MSLUB, multiple sclerosis, three raters' consensus",
    sequences=("FLAIR", "T1w", "T1ce", "T2w"),
    subjects=30,
    licence="CC BY",
    access="open",
    how="Clone https://github.com/muschellij2/open_ms_data, or http://lit.fe.uni-lj.si/tools.php?lang=eng",
    citation="Lesjak Z. et al., Neuroinformatics 2018, 16(1):51-63",
    sources=("https://github.com/muschellij2/open_ms_data/blob/HEAD/README.md",),
    layouts=(
        Layout(
            example="cross_sectional/raw/patient01/FLAIR.nii.gz",
            pattern=_MSLUB + r"(?P<sequence>FLAIR)\.nii\.gz",
            label="abnormal",
            stripped=False,
            masks=("{folder}/consensus_gt.nii.gz",),
        ),
        Layout(
            example="cross_sectional/raw/patient01/T1W.nii.gz",
            pattern=_MSLUB + r"(?P<sequence>T1W|T1WKS|T2W)\.nii\.gz",
            label="abnormal",
            stripped=False,
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
    notes="Masks go with FLAIR; the other contrasts have their own grids. Raw images alone.",
)
WMH = Adapter(
    name="wmh-2017",
    title="WMH challenge, white matter hyperintensities",
    sequences=("FLAIR", "T1w"),
    subjects=170,
    licence="see the provider",
    access="open",
    how="Download from https://doi.org/10.34894/AECRSD",
    citation="Kuijf H. J. et al., IEEE TMI 2019, 38(11):2556-2568",
    sources=("https://wmh.isi.uu.nl", "http://wmh.isi.uu.nl/data/manual-reference-standard/"),
    layouts=(
        Layout(
            example="training/Amsterdam/GE3T/100/pre/FLAIR.nii.gz",
            pattern=r"(?P<place>Utrecht|Singapore|Amsterdam)/(?:(?P<scanner>[^/]+)/)?(?P<subject>\d+)/pre/"
            r"(?P<sequence>FLAIR|T1)\.nii\.gz",
            label="abnormal",
            stripped=False,
            site="{place}",
            masks=("{up}/wmh.nii.gz",),
            mask_values=(1,),
        ),
    ),
    notes="Value 1 of the mask is a hyperintensity, 2 another pathology that does not count. Images of the folder pre.",
)
FASTMRI = Adapter(
    name="fastmri-brain",
    title="fastMRI brain with the boxes of fastMRI+",
    sequences=("T1w", "T1ce", "T2w", "FLAIR"),
    subjects=6970,
    licence="fastMRI data sharing agreement",
    access="agreement",
    how="Sign at https://fastmri.med.nyu.edu; put brain.csv and brain_file_list.csv of "
    "https://github.com/microsoft/fastmri-plus into the folder.",
    citation="Zbontar J. et al., arXiv:1811.08839; Zhao R. et al., Scientific Data 2022, 9:152",
    sources=("https://github.com/microsoft/fastmri-plus/blob/487d480d61763fe633509099b5acc957c2a8ce9d/README.md",),
    layouts=(
        Layout(
            example="multicoil_train/file_brain_AXFLAIR_200_6002425.h5",
            pattern=r"(?P<subject>file_brain_(?P<sequence>AXFLAIR|AXT1POST|AXT1PRE|AXT1|AXT2)_(?P<scanner>\d{3})_\d+)\.h5",
            stripped=False,
            site="{scanner}",
        ),
    ),
    notes="One radiologist, one view: the boxes are no ground truth. Site is the number in the file name. The patient "
    "stands inside the file, not in its name; contrasts of one patient are several files.",
    patients_known=False,
    finish=with_annotations,
)
LESIONS = (BRATS, ATLAS, ISLES, MSLUB, WMH, FASTMRI)
