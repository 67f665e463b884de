"""Adapters to public sets of brains that are normal, or nearly so."""

from __future__ import annotations

from anomri.datasets.adapter import Adapter, Layout
from anomri.datasets.tables import Table

__all__ = ["BIDS", "BRAINS", "PARTICIPANTS"]

PARTICIPANTS = Table(
    files=("participants.tsv",),
    key=("participant_id",),
    columns={"age": ("age",), "sex": ("sex", "gender"), "site": ("site",)},
    key_as=lambda text: text if text.startswith("sub-") else f"sub-{text}",
)
BIDS = Layout(
    example="sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
    pattern=r"(?P<subject>sub-[A-Za-z0-9]+)/(?:ses-(?P<session>[A-Za-z0-9]+)/)?anat/"
    r"(?P=subject)_(?:[a-z]+-[A-Za-z0-9]+_)*(?P<sequence>T1w|T2w|FLAIR|PDw|T2starw)\.nii(?:\.gz)?",
)
IXI = Adapter(
    name="ixi",
    title="IXI, Information eXtraction from Images",
    sequences=("T1w", "T2w", "PDw", "angio"),
    subjects=None,
    licence="CC BY-SA 3.0",
    access="open",
    how="Download from https://brain-development.org/ixi-dataset/; save the sheet IXI.xls as IXI.csv.",
    citation="IXI, EPSRC GR/S21533/02, https://brain-development.org/ixi-dataset/",
    sources=(
        "https://github.com/aramis-lab/clinica/blob/01f9061c7157b5aee1880b76d31b2fdb9d0d0d04/docs/Converters/IXItoBIDS.md",
    ),
    layouts=(
        Layout(
            example="IXI-T1/IXI002-Guys-0828-T1.nii.gz",
            pattern=r"(?P<subject>IXI\d{3})-(?P<site>Guys|HH|IOP)-\d{4}-(?P<sequence>T1|T2|PD|MRA)\.nii\.gz",
            label="normal",
            stripped=False,
        ),
    ),
    tables=(
        Table(
            files=("IXI.csv",),
            key=("IXI_ID",),
            columns={"age": ("AGE",), "sex": ("SEX_ID (1=m, 2=f)", "SEX_ID")},
            codes={"sex": {"1": "M", "2": "F"}},
            key_as=lambda text: f"IXI{int(float(text)):03d}",
            spreadsheet="IXI.xls",
        ),
    ),
    notes="Three hospitals in London: HH is 3 T, Guys and IOP are 1.5 T. Diffusion images are left out.",
)
OASIS_1 = Adapter(
    name="oasis-1",
    title="OASIS-1, cross-sectional, young to old",
    sequences=("T1w",),
    subjects=416,
    licence="OASIS data use terms",
    access="registration",
    how="Accept the terms at https://www.oasis-brains.org and download the discs and the CSV sheet.",
    citation="Marcus D. S. et al., Journal of Cognitive Neuroscience 2007, 19(9):1498-1507",
    sources=(
        "https://github.com/aramis-lab/clinica/blob/22aa29ce17be9aa91214f93c1f613becf2db75d4/docs/Converters/OASIS2BIDS.md",
        "https://huggingface.co/DRDMsig/Data_Engineering/blob/main/OAISIS_clean/dataclean_OASIS_1_CS_Sectional.py",
    ),
    layouts=(
        Layout(
            example="OAS1_0001_MR1/PROCESSED/MPRAGE/SUBJ_111/OAS1_0001_MR1_mpr_n4_anon_sbj_111.hdr",
            pattern=r"(?P<subject>OAS1_\d{4})_(?P<session>MR\d)/PROCESSED/MPRAGE/SUBJ_111/[^/]+\.hdr",
            sequence="T1w",
            stripped=False,
        ),
        Layout(
            example="OAS1_0001_MR1/PROCESSED/MPRAGE/T88_111/OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc.hdr",
            pattern=r"(?P<subject>OAS1_\d{4})_(?P<session>MR\d)/PROCESSED/MPRAGE/T88_111/[^/]+_masked_gfc\.hdr",
            sequence="T1w",
            stripped=True,
        ),
    ),
    tables=(
        Table(
            files=("oasis_cross-sectional*.csv",),
            key=("ID",),
            of="{subject}_{session}",
            columns={"age": ("Age",), "sex": ("M/F",), "label": ("CDR",)},
            codes={"label": {"0": "normal", "0.0": "normal", "0.5": "abnormal", "1": "abnormal", "1.0": "abnormal",
                             "2": "abnormal", "2.0": "abnormal"}},
        ),
    ),
    notes="Abnormal means a clinical dementia rating above 0; the young have none and stay unknown. Analyze files.",
)  # fmt: skip
OASIS_3 = Adapter(
    name="oasis-3",
    title="OASIS-3, longitudinal ageing and Alzheimer's disease",
    sequences=("T1w", "T2w", "FLAIR"),
    subjects=1098,
    licence="OASIS data use terms",
    access="application",
    how="Apply at https://www.oasis-brains.org and download MR sessions.",
    citation="LaMontagne P. J. et al., medRxiv 2019, 2019.12.13.19014902",
    sources=(
        "https://github.com/aramis-lab/clinica/blob/017e08a5ca7c31d0ab00566ffe7639b4f10b1813/docs/Converters/OASIS3TOBIDS.md",
    ),
    layouts=(
        Layout(
            example="OAS30001_MR_d0757/anat2/sub-OAS30001_ses-d0757_T1w.nii.gz",
            pattern=r"sub-(?P<subject>OAS3\d{4})_ses-(?P<session>d\d+)_(?:[a-z]+-[A-Za-z0-9]+_)*"
            r"(?P<sequence>T1w|T2w|FLAIR)\.nii\.gz",
            stripped=False,
        ),
    ),
    notes="Diagnoses lie in clinical tables whose columns depend on the export: every label is unknown.",
)
HCP = Adapter(
    name="hcp-ya",
    title="Human Connectome Project, young adults",
    sequences=("T1w", "T2w"),
    subjects=1200,
    licence="HCP data use terms",
    access="registration",
    how="Register at https://db.humanconnectome.org; structural packages, unprocessed or preprocessed.",
    citation="Van Essen D. C. et al., NeuroImage 2013, 80:62-79",
    sources=(
        "https://github.com/neuro-ml/amid/blob/f1d2c37ab77ca09864c368d3e6dd647c720c2ea7/amid/hcp.py",
        "https://github.com/MRtrix3/mrtrix3/blob/10631ea12f4ad082e9af62a8540d4f819ea1ae7d/docs/"
        "quantitative_structural_connectivity/ismrm_hcp_tutorial.rst",
    ),
    layouts=(
        Layout(
            example="100307/unprocessed/3T/T1w_MPR1/100307_3T_T1w_MPR1.nii.gz",
            pattern=r"(?P<subject>\d{6})_3T_(?P<sequence>T1w_MPR1|T2w_SPC1)\.nii\.gz",
            label="normal",
            stripped=False,
        ),
        Layout(
            example="100307/T1w/T1w_acpc_dc_restore_brain.nii.gz",
            pattern=r"(?P<subject>\d{6})/T1w/(?P<sequence>T1w|T2w)_acpc_dc_restore_brain\.nii\.gz",
            label="normal",
            stripped=True,
        ),
    ),
    notes="Families are known from restricted data alone; without them siblings may stand on both sides of a split.",
)
CAM_CAN = Adapter(
    name="cam-can",
    title="Cam-CAN, adult lifespan",
    sequences=("T1w", "T2w"),
    subjects=653,
    licence="Cam-CAN data use terms",
    access="application",
    how="Apply at https://www.cam-can.org/index.php?content=dataset",
    citation="Taylor J. R. et al., NeuroImage 2017, 144:262-269; Shafto M. A. et al., BMC Neurology 2014, 14:204",
    sources=(
        "https://github.com/dengemann/meg-mri-surrogate-biomarkers-aging-2020/blob/"
        "602590cd0ea6d85e6b33d6f3c515c41c69062498/camcan/datasets/camcan.py",
        "https://bids-specification.readthedocs.io",
    ),
    layouts=(
        Layout(
            example="anat/sub-CC110033/anat/sub-CC110033_T1w.nii.gz",
            pattern=r"(?P<subject>sub-CC\d{6})/anat/(?P=subject)_(?P<sequence>T1w|T2w)\.nii(?:\.gz)?",
            label="normal",
            stripped=False,
        ),
    ),
    tables=(
        Table(
            files=("participant_data.csv",),
            key=("Observations",),
            columns={"age": ("age",), "sex": ("gender_text",)},
            key_as=lambda text: f"sub-{text}",
        ),
    ),
)
ADNI = Adapter(
    name="adni",
    title="ADNI, Alzheimer's Disease Neuroimaging Initiative",
    sequences=("T1w",),
    subjects=None,
    licence="ADNI data use agreement, no redistribution",
    access="application",
    how="Apply at https://adni.loni.usc.edu and download an image collection as NIfTI with its CSV sheet.",
    citation="Jack C. R. et al., Journal of Magnetic Resonance Imaging 2008, 27(4):685-691",
    sources=(
        "https://github.com/DBC-Lab/Brain_images_processed/blob/main/ADNI_Alzheimer's_Disease_Neuroimaging_Initiative/README.md",
    ),
    layouts=(
        Layout(
            example="ADNI/002_S_0295/MP-RAGE/2006-11-02_08_16_44.0/I28561/"
            "ADNI_002_S_0295_MR_MP-RAGE__br_raw_20061102123250714_1_S21856_I28561.nii",
            pattern=r"ADNI_(?P<subject>(?P<centre>\d{3})_S_\d{4})_MR_(?P<series>.*)_br_raw_(?P<session>\d{8})\d*_\d+_S\d+_"
            r"(?P<image>I\d+)\.nii(?:\.gz)?",
            site="{centre}",
            stripped=False,
        ),
    ),
    tables=(
        Table(
            files=("*.csv",),
            key=("Image Data ID",),
            of="{image}",
            columns={"age": ("Age",), "sex": ("Sex",), "label": ("Group",)},
            codes={"label": {"CN": "normal", "AD": "abnormal", "MCI": "abnormal", "EMCI": "abnormal",
                             "LMCI": "abnormal"}},
        ),
    ),
    notes="Original images alone. The name does not state the contrast. Abnormal is a diagnosis, not a lesion.",
)  # fmt: skip
KIRBY = Adapter(
    name="kirby-21",
    title="Kirby 21, scan and rescan",
    sequences=("T1w", "T2w", "FLAIR"),
    subjects=21,
    licence="see the provider",
    access="open",
    how="Download from https://www.nitrc.org/projects/multimodal, or the R packages kirby21.t1 and kirby21.flair.",
    citation="Landman B. A. et al., NeuroImage 2011, 54(4):2854-2866",
    sources=("https://github.com/neuroconductor/kirby21.t1/tree/a5ad75d1226977ab3423d3994c09d47fd7d31a1f/inst",),
    layouts=(
        Layout(
            example="visit_1/113/113-01-T1.nii.gz",
            pattern=r"visit_\d/(?P<subject>\d{3})/(?P=subject)-(?P<session>\d{2})-(?P<sequence>T1|T2|FLAIR)\.nii\.gz",
            label="normal",
            stripped=False,
        ),
    ),
    notes="Files named KKI2009-## are left out: which two scans are of one person is not in their names.",
)
NFBS = Adapter(
    name="nfbs",
    title="NFBS, stripped by hand",
    sequences=("T1w",),
    subjects=125,
    licence="see the provider",
    access="open",
    how="Download NFBS_Dataset.tar.gz from http://preprocessed-connectomes-project.org/NFB_skullstripped",
    citation="Puccio B. et al., GigaScience 2016, 5(1):45",
    sources=("https://github.com/preprocessed-connectomes-project/NFB_skullstripped/blob/master/README.md",),
    layouts=tuple(
        Layout(
            example=f"A00028185/sub-A00028185_ses-NFB3_T1w{ending}.nii.gz",
            pattern=rf"(?P<subject>sub-A\d{{8}})_ses-(?P<session>NFB3)_T1w{ending}\.nii\.gz",
            sequence="T1w",
            label="normal",
            stripped=bool(ending),
            brains=("{folder}/{subject}_ses-{session}_T1w_brainmask.nii.gz",),
        )
        for ending in ("", "_brain")
    ),
    notes="Many have psychiatric symptoms, which leave no mark on T1w. Each has a full head and a stripped one.",
)
CC359 = Adapter(
    name="cc359",
    title="Calgary–Campinas 359: three vendors, two fields",
    sequences=("T1w",),
    subjects=359,
    licence="CC BY-ND 4.0",
    access="registration",
    how="Follow https://sites.google.com/view/calgary-campinas-dataset/home and unpack Original.zip.",
    citation="Souza R. et al., NeuroImage 2018, 170:482-494",
    sources=("https://github.com/neuro-ml/amid/blob/f1d2c37ab77ca09864c368d3e6dd647c720c2ea7/amid/cc359/dataset.py",),
    layouts=(
        Layout(
            example="Original/CC0001_philips_15_55_M.nii.gz",
            pattern=r"(?P<subject>CC\d{4})_(?P<vendor>philips|siemens|ge)_(?P<field>15|3)_(?P<age>\d+)_(?P<sex>[MF])"
            r"\.nii\.gz",
            sequence="T1w",
            label="normal",
            stripped=False,
            site="{vendor}-{field}",
        ),
    ),
    notes="Site is vendor and field, 15 for 1.5 T. Maps in WM-GM-CSF bear the same names and are left out.",
    excluded=r"/WM-GM-CSF/",
)
ANY_BIDS = Adapter(
    name="bids",
    title="Any BIDS folder",
    sequences=("T1w", "T2w", "FLAIR", "PDw", "T2starw"),
    subjects=None,
    licence="see dataset_description.json",
    access="open",
    how="Your own, or from https://openneuro.org",
    citation="Gorgolewski K. J. et al., Scientific Data 2016, 3:160044",
    sources=("https://bids-specification.readthedocs.io",),
    layouts=(BIDS,),
    tables=(PARTICIPANTS,),
    notes="Every label is unknown: BIDS has no word for normal. Derivatives are left out.",
    excluded=r"/(?:derivatives|sourcedata)/",
)
BRAINS = (IXI, OASIS_1, OASIS_3, HCP, CAM_CAN, ADNI, KIRBY, NFBS, CC359, ANY_BIDS)
