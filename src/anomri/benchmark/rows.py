"""The rows of a table: those the protocol names, and the trivial baselines that always stand beside them."""

from __future__ import annotations

from anomri.benchmark.protocol import MethodRow, Protocol

__all__ = ["BASELINES", "rows_of"]

# Numbered as in the design of the evaluation; B9 is the source classifier, which learns from both classes and so is
# computed with the table (`anomri.benchmark.source`).
BASELINES: tuple[tuple[str, str, str], ...] = (
    ("B0 random", "baseline-constant", "baseline-random"),
    ("B1 volume", "baseline-volume", "baseline-volume"),
    ("B2 intensity", "baseline-intensity", "baseline-intensity"),
    ("B3 sharpness", "baseline-sharpness", "baseline-sharpness"),
    ("B4 equalised intensity", "equalised", "equalised"),
    ("B4′ equalised, both tails", "equalised", "equalised-both"),
    ("B5 atlas", "zatlas", "zatlas"),
    ("B6 asymmetry", "baseline-asymmetry", "baseline-asymmetry"),
    ("B7 blur residual", "baseline-blur", "baseline-blur"),
    ("B8 gradient", "baseline-gradient", "baseline-gradient"),
    ("B10 PCA", "pca", "pca"),
    ("B11 slice position", "baseline-position", "baseline-position"),
)


def rows_of(protocol: Protocol) -> tuple[MethodRow, ...]:
    """The protocol's rows, then every baseline; slice position only where slices have one.

    A row of the protocol by a baseline's name stands for it, with other settings for instance.
    """
    named = {row.name for row in protocol.methods}
    baselines = tuple(
        MethodRow(name=name, methods=(method,), presets=(preset,), baseline=True)
        for name, method, preset in BASELINES
        if name not in named and (protocol.unit == "slice" or method != "baseline-position")
    )
    return (*protocol.methods, *baselines)
