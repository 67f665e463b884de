"""One file per method, and the table of them all.

A method is added by its file and one row here; nothing is imported before it is used.
"""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from importlib import metadata
from typing import cast

from anomri.errors import ModelError
from anomri.methods.method import Config, FitReport, Method, Preset

__all__ = [
    "METHODS",
    "Config",
    "Entry",
    "FitReport",
    "Method",
    "Preset",
    "all_entries",
    "entry_of",
    "load_method",
    "load_preset",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of `METHODS`.

    Parameters
    ----------
    module, name : where the class stands.
    presets : names in the module's ``PRESETS``; the first is the default.
    summary : one line for ``anomri methods``.
    needs_torch : whether it trains a network.
    """

    module: str
    name: str
    presets: tuple[str, ...]
    summary: str
    needs_torch: bool = False


METHODS: dict[str, Entry] = {
    "zatlas": Entry(
        "anomri.methods.zatlas",
        "ZAtlas",
        ("zatlas", "zatlas-slices", "zatlas-tiny"),
        "robust voxel-wise z-scores against an atlas",
    ),
    "iqm1c": Entry(
        "anomri.methods.iqm1c", "IQM1C", ("iqm1c", "iqm1c-tiny"), "one-class model of image quality metrics"
    ),
    "autoencoder": Entry(
        "anomri.methods.autoencoder",
        "Autoencoder",
        (
            "autoencoder-small",
            "autoencoder",
            "autoencoder-spatial",
            "autoencoder2d-small",
            "autoencoder-slices",
            "autoencoder-tiny",
        ),
        "3D residual autoencoder (Luo et al. 2023)",
        needs_torch=True,
    ),
    "dae": Entry(
        "anomri.methods.dae",
        "DAE",
        ("dae-small", "dae", "dae-slices", "dae-tiny"),
        "denoising autoencoder with coarse noise (Kascenas et al. 2022)",
        needs_torch=True,
    ),
    "tokens": Entry(
        "anomri.methods.tokens",
        "Tokens",
        ("tokens-small", "tokens-autoregressive", "tokens-brain", "tokens-pelvis", "tokens-slices", "tokens-tiny"),
        "discrete tokens of slices and how improbable they are (Kadhim et al. 2026)",
        needs_torch=True,
    ),
    "itermask": Entry(
        "anomri.methods.itermask",
        "IterMask",
        ("itermask-small", "itermask3d", "itermask2d", "itermask-slices", "itermask-tiny"),
        "iterative mask refinement (Liang et al. 2025)",
        needs_torch=True,
    ),
    "pca": Entry("anomri.methods.pca", "PCA", ("pca", "pca-tiny"), "linear autoencoder"),
    "baseline-constant": Entry(
        "anomri.methods.baselines",
        "Constant",
        ("baseline-constant", "baseline-random"),
        "the same or a random score for every scan",
    ),
    "baseline-volume": Entry("anomri.methods.baselines", "Volume", ("baseline-volume",), "size and shape of the mask"),
    "baseline-intensity": Entry(
        "anomri.methods.baselines",
        "Intensity",
        ("baseline-intensity",),
        "mean, spread and quantiles of the intensities",
    ),
    "baseline-sharpness": Entry(
        "anomri.methods.baselines", "Sharpness", ("baseline-sharpness",), "noise, sharpness and entropy"
    ),
    "equalised": Entry(
        "anomri.methods.equalised",
        "Equalised",
        ("equalised", "equalised-both"),
        "rank of the intensity within the scan",
    ),
    "baseline-position": Entry(
        "anomri.methods.baselines", "Position", ("baseline-position",), "position of a slice in its stack"
    ),
    "baseline-asymmetry": Entry(
        "anomri.methods.baselines", "Asymmetry", ("baseline-asymmetry",), "left–right differences"
    ),
    "baseline-blur": Entry(
        "anomri.methods.baselines",
        "BlurResidual",
        ("baseline-blur", "baseline-blur-4"),
        "residual of a blurred copy",
    ),
    "baseline-gradient": Entry("anomri.methods.baselines", "Gradient", ("baseline-gradient",), "size of the gradient"),
}


def all_entries() -> dict[str, Entry]:
    """`METHODS`, then the methods of installed packages: entry points of the group ``anomri.methods``, each an `Entry`.

    Raises
    ------
    ModelError : an entry point is no `Entry`, or takes the name of one of anomri's own methods.
    """
    found = dict(METHODS)
    for point in metadata.entry_points(group="anomri.methods"):
        if point.name in METHODS:
            raise ModelError(
                f"an installed package calls its method {point.name}, a name that is taken",
                remedy="Rename its entry point.",
                code="entry_point",
            )
        entry = point.load()
        if not isinstance(entry, Entry):
            raise ModelError(
                f"the entry point {point.name} of an installed package is no Entry",
                remedy="See the page on adding a method.",
                code="entry_point",
            )
        found[point.name] = entry
    return found


def entry_of(name: str) -> Entry:
    """The row of a method, anomri's own or an installed one.

    Raises
    ------
    ModelError : no such method; the message lists those there are and the closest one.
    """
    if name in METHODS:
        return METHODS[name]
    known = all_entries()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ModelError(
            f"there is no method {name!r}", remedy=f"Known: {', '.join(known)}.{hint}", code="unknown_method"
        )
    return known[name]


def load_method(name: str) -> type[Method]:
    """The class behind a method's row; raises as `entry_of`."""
    entry = entry_of(name)
    return cast("type[Method]", getattr(importlib.import_module(entry.module), entry.name))


def load_preset(method: str, preset: str | None = None) -> tuple[str, Preset]:
    """Name and content of a method's preset (the first one where none is named).

    Raises
    ------
    ModelError : the method or the preset does not exist.
    """
    entry = entry_of(method)
    name = entry.presets[0] if preset is None else preset
    presets = cast("dict[str, Preset]", importlib.import_module(entry.module).PRESETS)
    if name not in presets:
        raise ModelError(
            f"{method} has no preset {name!r}", remedy=f"Known: {', '.join(entry.presets)}.", code="unknown_preset"
        )
    return name, presets[name]
