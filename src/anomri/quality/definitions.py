"""One table of every image quality metric: what it is, where it comes from, and what an unusual value usually means.

The names differ from MRIQC's on purpose: MRIQC measures similar things after bias correction, with other masks and with
the air around the head, so equal names would promise equal numbers. The module is longer than others because it is
one literal table.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["METRICS", "MetricDefinition"]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What one metric is.

    Parameters
    ----------
    title : for reports.
    unit : empty for a pure number.
    formula : in words.
    reference : where the idea comes from; ``anomri`` for our own.
    low_means, high_means : what an unusually low or high value usually comes from, a few words.
    needs_air : whether it needs air around the head, which a stripped scan does not have.
    in_score : whether the one-class model of quality uses it; what needs air, or says among normal scans nearly the
        same as another metric (rank correlation above 0.85), is for the reader only.
    """

    title: str
    unit: str
    formula: str
    reference: str
    low_means: str
    high_means: str
    needs_air: bool = False
    in_score: bool = True


_SNR = "Magnotta V. A., Friedman L., J. Digit. Imaging 19:140, 2006"
_GANZETTI = "Ganzetti M. et al., Front. Neuroinform. 10:10, 2016"
_FORMAN = "Forman S. D. et al., Magn. Reson. Med. 33:636, 1995"
_CEPSTRUM = "cepstrum (Bogert, Healy, Tukey, 1963) of k-space lines; anomri"
_SHEHZAD = "Shehzad Z. et al., Front. Neurosci. Conf. Abstract: Neuroinformatics, 2015"

METRICS: dict[str, MetricDefinition] = {
    "white_signal_to_noise": MetricDefinition(
        "Signal-to-noise, white matter",
        "",
        "median ÷ robust SD of white matter, field-corrected",
        _SNR,
        "noise, motion, spikes or ghosts",
        "blur or strong smoothing",
    ),
    "grey_signal_to_noise": MetricDefinition(
        "Signal-to-noise, grey matter",
        "",
        "median ÷ robust SD of grey matter, field-corrected",
        _SNR,
        "noise, motion, spikes or poor tissue classes",
        "blur or strong smoothing",
    ),
    "csf_signal_to_noise": MetricDefinition(
        "Signal-to-noise, CSF",
        "",
        "median ÷ robust SD of CSF, field-corrected",
        _SNR,
        "missing part or poor tissue classes",
        "noise floor or blur",
        in_score=False,
    ),
    "grey_white_contrast_to_noise": MetricDefinition(
        "Contrast-to-noise, grey–white",
        "",
        "|median white − median grey| ÷ √(SD white² + SD grey²), field-corrected",
        _SNR,
        "noise, motion or another contrast",
        "unusual contrast or smoothing",
    ),
    "joint_variation": MetricDefinition(
        "Joint variation of grey and white",
        "",
        "(SD white + SD grey) ÷ |median white − median grey|, field-corrected",
        _GANZETTI,
        "unusual contrast or smoothing",
        "noise, motion or uneven field",
        in_score=False,
    ),
    "grey_white_ratio": MetricDefinition(
        "Grey ÷ white intensity",
        "",
        "median grey ÷ median white, field-corrected",
        "anomri",
        "strong T1 weighting or poor tissue classes",
        "weak or another contrast, blur",
    ),
    "csf_white_ratio": MetricDefinition(
        "CSF ÷ white intensity",
        "",
        "median CSF ÷ median white, field-corrected",
        "anomri",
        "missing part or strong T1 weighting",
        "noise, blur or another contrast",
    ),
    "field_range": MetricDefinition(
        "Bias field range",
        "ln",
        "ln of 98th ÷ 2nd percentile of the log polynomial of degree 3 fitted to grey and white",
        _GANZETTI,
        "field already corrected",
        "uneven receive or transmit field",
    ),
    "csf_share": MetricDefinition(
        "CSF share of the brain",
        "",
        "CSF voxels ÷ mask voxels",
        "anomri",
        "tight mask or poor tissue classes",
        "wide ventricles or sulci, dark or missing part",
    ),
    "white_share": MetricDefinition(
        "White matter share of the brain",
        "",
        "white voxels ÷ mask voxels",
        "anomri",
        "white matter loss or lost contrast",
        "poor tissue classes",
    ),
    "correlation_length_x": MetricDefinition(
        "Correlation length, left–right",
        "mm",
        "full width at half maximum of the Gaussian that explains the likeness of neighbours along X",
        _FORMAN,
        "noise or spikes",
        "blur, motion or coarse voxels",
    ),
    "correlation_length_y": MetricDefinition(
        "Correlation length, front–back",
        "mm",
        "full width at half maximum of the Gaussian that explains the likeness of neighbours along Y",
        _FORMAN,
        "noise or spikes",
        "blur, motion or coarse voxels",
    ),
    "correlation_length_z": MetricDefinition(
        "Correlation length, feet–head",
        "mm",
        "full width at half maximum of the Gaussian that explains the likeness of neighbours along Z",
        _FORMAN,
        "noise or spikes",
        "blur, motion or coarse voxels",
    ),
    "noise_level": MetricDefinition(
        "Noise",
        "white",
        "MAD ÷ 0.6745 of the finest diagonal Haar coefficients, ÷ median white",
        "Donoho D. L., Johnstone I. M., Biometrika 81:425, 1994",
        "smoothing or resampling",
        "noise, spikes or motion",
    ),
    "focus_entropy": MetricDefinition(
        "Entropy focus criterion",
        "",
        "entropy of voxel intensities relative to their total energy in the box of the mask, ÷ its maximum",
        "Atkinson D. et al., IEEE Trans. Med. Imaging 16:903, 1997",
        "missing part or few bright voxels",
        "motion, ghosts or blur",
    ),
    "intensity_entropy": MetricDefinition(
        "Entropy of intensities",
        "bit",
        "Shannon entropy of 64 bins between the 1st and 99th percentile",
        "anomri",
        "missing part or lost contrast",
        "uneven field or noise",
    ),
    "dark_tail": MetricDefinition(
        "Dark tail",
        "",
        "10th percentile ÷ median of the mask",
        "anomri",
        "missing part or wide CSF",
        "tight mask or lost contrast",
    ),
    "bright_tail": MetricDefinition(
        "Bright tail",
        "",
        "99th percentile ÷ median of the mask",
        "anomri",
        "lost contrast",
        "uneven field, bright vessels or spikes",
    ),
    "gradient_energy": MetricDefinition(
        "Gradient energy",
        "mm⁻²",
        "mean squared gradient ÷ variance of intensities",
        "anomri",
        "blur or motion, or an uneven field",
        "noise or spikes",
        in_score=False,
    ),
    "gradient_entropy": MetricDefinition(
        "Gradient entropy",
        "bit",
        "Shannon entropy of gradient magnitude, 64 bins between 0 and the 99th percentile",
        "McGee K. P. et al., J. Magn. Reson. Imaging 11:174, 2000",
        "missing part or few sharp edges",
        "noise or motion",
    ),
    "curvature": MetricDefinition(
        "Laplacian",
        "mm⁻²",
        "SD of the Laplacian ÷ SD of intensities",
        "variance of the Laplacian (Pech-Pacheco J. L. et al., ICPR 2000)",
        "blur or motion",
        "noise or spikes",
    ),
    "edge_slope": MetricDefinition(
        "Grey–white edge slope",
        "mm⁻¹",
        "mean gradient where grey touches white ÷ |median white − median grey|",
        "anomri",
        "blur or motion",
        "noise, spikes or poor tissue classes",
    ),
    "energy_low": MetricDefinition(
        "Spectral energy 0.08–0.16 mm⁻¹",
        "log10",
        "mean power ÷ mean power at 0.03–0.08 mm⁻¹",
        "anomri",
        "blur",
        "motion, ghosts or sharpening",
    ),
    "energy_middle": MetricDefinition(
        "Spectral energy 0.16–0.26 mm⁻¹",
        "log10",
        "mean power ÷ mean power at 0.03–0.08 mm⁻¹",
        "anomri",
        "blur or motion",
        "noise or sharpening",
    ),
    "energy_high": MetricDefinition(
        "Spectral energy 0.26–0.38 mm⁻¹",
        "log10",
        "mean power ÷ mean power at 0.03–0.08 mm⁻¹",
        "anomri",
        "blur or motion",
        "noise or sharpening",
    ),
    "energy_highest": MetricDefinition(
        "Spectral energy 0.38–0.50 mm⁻¹",
        "log10",
        "mean power ÷ mean power at 0.03–0.08 mm⁻¹",
        "anomri",
        "blur, motion or coarse voxels",
        "noise",
        in_score=False,
    ),
    "spectral_peak": MetricDefinition(
        "Spectral peak",
        "log10",
        "largest magnitude beyond 0.06 mm⁻¹ ÷ mean magnitude of its shell",
        "anomri",
        "noise",
        "spike in k-space, or a sharp-edged missing part",
    ),
    "ghost_x": MetricDefinition(
        "Ghost, left–right",
        "",
        "largest lone swing of the mean log power of k-space lines across X, for shifts ≥ 14 mm",
        _CEPSTRUM,
        "nothing unusual",
        "ghost copies or motion along left–right",
    ),
    "ghost_y": MetricDefinition(
        "Ghost, front–back",
        "",
        "as left–right, across Y",
        _CEPSTRUM,
        "nothing unusual",
        "ghost copies or motion along front–back",
    ),
    "ghost_z": MetricDefinition(
        "Ghost, feet–head",
        "",
        "as left–right, across Z",
        _CEPSTRUM,
        "nothing unusual",
        "ghost copies or motion along feet–head",
    ),
    "line_ripple": MetricDefinition(
        "Ripple of k-space lines",
        "",
        "root mean square of the lone swings for shifts of 5–60 mm, worst axis",
        _CEPSTRUM,
        "nothing unusual",
        "motion or ghosts",
    ),
    "line_steps": MetricDefinition(
        "Steps between k-space lines",
        "",
        "root mean square second difference of mean log power from line to line, worst axis",
        "anomri",
        "nothing unusual",
        "motion, ghosts or bad lines",
    ),
    "brain_volume": MetricDefinition(
        "Brain volume",
        "ml",
        "mask voxels × voxel volume",
        "anomri",
        "missing part, tight mask or small head",
        "mask holds non-brain, or large head",
    ),
    "surface_excess": MetricDefinition(
        "Surface of the mask",
        "",
        "surface ÷ surface of the ball of equal volume",
        "anomri",
        "over-smooth mask",
        "ragged mask or missing part",
    ),
    "ellipsoid_fill": MetricDefinition(
        "Fill of the ellipsoid",
        "",
        "mask volume ÷ volume of the ellipsoid of equal second moments",
        "anomri",
        "missing part or holes in the mask",
        "box-like mask or cut field of view",
    ),
    "shape_asymmetry": MetricDefinition(
        "Left–right asymmetry of the mask",
        "",
        "share of the mask without counterpart across the sagittal plane through its centre",
        "anomri",
        "nothing unusual",
        "missing part, tilted head or poor mask",
    ),
    "intensity_asymmetry": MetricDefinition(
        "Left–right asymmetry of intensities",
        "",
        "mean |difference| of mirrored 5 mm blocks ÷ their mean, field-corrected",
        "anomri",
        "nothing unusual",
        "missing part, lesion, tilted head or uneven field",
    ),
    "centre_offset": MetricDefinition(
        "Offset of the centre of intensity",
        "radii",
        "distance between intensity-weighted and plain centre of the mask ÷ radius of the ball of equal volume",
        "anomri",
        "nothing unusual",
        "missing part or one-sided intensity",
    ),
    "darkest_block": MetricDefinition(
        "Darkest block",
        "white",
        "least mean of a 5 mm block wholly inside the mask ÷ median white, field-corrected",
        "anomri",
        "missing part or signal void",
        "noise floor or another contrast",
    ),
    "slice_jump": MetricDefinition(
        "Largest slice jump",
        "white",
        "largest departure of a slice's grey and white intensity from its two neighbours', worst axis",
        "anomri",
        "nothing unusual",
        "dropped slice, missing part or between-slice motion",
    ),
    "slice_unrest": MetricDefinition(
        "Slice unrest",
        "white",
        "robust SD of the departures of slices from their two neighbours, worst axis",
        "anomri",
        "smoothing",
        "uneven slices (cross-talk), ghosts or noise",
    ),
    "slice_difference": MetricDefinition(
        "Largest slice difference",
        "",
        "largest mean |difference| of neighbouring slices ÷ median of the eight pairs around, worst axis",
        "anomri",
        "nothing unusual",
        "misplaced or dropped slice",
    ),
    "foreground_background_energy": MetricDefinition(
        "Brain ÷ air energy",
        "",
        "median squared intensity of the brain ÷ that of the air",
        _SHEHZAD,
        "noise or ghosts in the air",
        "masked air",
        needs_air=True,
        in_score=False,
    ),
    "air_noise": MetricDefinition(
        "Noise in air",
        "white",
        "SD of the air ÷ √(2 − π/2), ÷ median white",
        "Gudbjartsson H., Patz S., Magn. Reson. Med. 34:910, 1995",
        "masked or filtered air",
        "noise or ghosts",
        needs_air=True,
        in_score=False,
    ),
    "air_ghost": MetricDefinition(
        "Ghost in air",
        "white",
        "mean of the air beside the brain along the worst axis − mean of the corners, ÷ median white",
        "anomri",
        "nothing unusual",
        "ghosts, motion or wrap-around",
        needs_air=True,
        in_score=False,
    ),
}
