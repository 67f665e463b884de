"""Settings of the token system."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from anomri.methods.method import Config
from anomri.methods.tokens.masking import Blocks, Rates
from anomri.methods.tokens.perceptual import read_lpips
from anomri.methods.tokens.surprisal import slopes
from anomri.methods.tokens.tokenizer import TokenizerShape
from anomri.methods.tokens.transformer import TransformerShape

__all__ = ["SMALLEST_STEP", "TokensConfig"]

# The denoiser halves a slice three times.
SMALLEST_STEP = 8
# Largest probability that random masks never hide a given token, whose surprisal would then be unknown.
_NEVER_HIDDEN = 1e-9


class TokensConfig(Config):
    """Settings of `Tokens`; sizes and trainings default to the published ones of the brain, scoring to anomri's own.

    Parameters
    ----------
    image : (H, W) pixels of a slice, X and Y of the prepared grid cropped or padded about their centre; multiples of
        `patch`. None: the prepared grid, padded.
    patch, width, depth, heads, hidden, codes, stem, dropout : of the tokenizer; see `TokenizerShape`.
    neighbours : slices above and below that the tokenizer sees besides (2.5D).
    window : values are standardised within the brain and clipped to ±window; air is −window.
    decay : of the codebooks' moving averages.
    perceptual_weight, commitment : weights in the tokenizer's loss beside the absolute error.
    orthogonality : how far each update turns the codes apart; see `turned_apart`.
    perceptual_file, perceptual_sha256 : VGG-16 with LPIPS weights, and their digest, which alone a model keeps beside
        the weights; the features learnt on the normals where there is none.
    feature_width, feature_epochs : of the network those features come from.
    first_epochs, first_batch, first_rate : of the tokenizer's training.
    second_width, second_depth, second_heads, second_hidden : of the transformer.
    sliced : whether the transformer is told where a slice lies.
    second_epochs, second_batch, second_rate, smoothing, second_weight : of its training; the loss is that of L1 plus
        `second_weight` times that of L2.
    warm_up : share of its training in which the rate rises.
    rates, blocks : of the training masks; see `training_mask`.
    every : of the training slices, only each so many-th (another one every epoch).
    surprisal : ``cover`` hides each token equally often, ``monte-carlo`` at random; ``autoregressive`` has another
        transformer, that predicts each token from those before it; see `OrderedTransformer`.
    groups, sets : of the cover: hides all but one in `groups`, `sets` times over.
    passes, rate : of the Monte Carlo.
    orderings, unlikely : of the autoregressive transformer: how many it scores and heals in, and the surprisal (nats)
        above which a token is healed.
    healing : whether slices are healed and compared; without, the surprisal alone is the map.
    patterns, steps : sides of the checkerboards, each of which heals both halves, merged and decoded once; and commits
        of each level and half.
    reference : what a healed slice is compared with: the tokenizer's ``reconstruction`` of the slice (published for the
        brain), or the slice itself, ``input`` (pelvis).
    mirrored : the mirrored slice is healed too, and both maps averaged.
    holdout : share of the subjects kept out of training; they give all statistics of normal slices.
    spread_sigma_voxels : smoothing of those statistics along all axes.
    fused : ``continuous`` mean of the standardised maps, or the published binary ``union``.
    pool : side, in pixels, of the windows the perceptual map is averaged over before it is standardised; odd.
    cut_surprisal, cut_z, cut_perceptual : of the union: nats; spreads of the pooled perceptual map; the
        perceptual map's own units. None: the `cut_quantile` of held-out normal slices.
    cut_quantile : see above.
    dilation_px : side of the window that the perceptual mask is dilated by; odd, 1 for none.
    smallest_px : smaller 4-connected parts of that mask are dropped.
    backflow : tokens under that mask are healed once more, and what looks different from it by more than
        `cut_perceptual` joins the union.
    edge_erosion : most erosions of the union, at the corners of a slice; none near its centre.
    score : ``top`` mean of the largest `top_fraction` of the map; ``area`` mean of the map over the examined region;
        ``sum`` over it of the union, the published one, which grows with the size of the head; ``clamped`` mean over
        the region of the surprisal of tokens, 0 where it is at most `cut_surprisal` (after Marimont and Tarroni).
    top_fraction : see above.
    least_normals : fewer are refused.
    """

    reading_only: ClassVar[frozenset[str]] = frozenset(
        {"fused", "dilation_px", "smallest_px", "backflow", "edge_erosion", "score", "top_fraction"}
    )

    image: tuple[int, int] | None = (256, 256)
    patch: int = Field(default=8, ge=2)
    width: int = Field(default=256, ge=4)
    depth: int = Field(default=8, ge=1)
    heads: int = Field(default=8, ge=1)
    hidden: int = Field(default=1024, ge=4)
    codes: int = Field(default=256, ge=2)
    stem: int = Field(default=512, ge=8)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    neighbours: int = Field(default=0, ge=0, le=3)
    window: float = Field(default=3.0, gt=0.0)
    decay: float = Field(default=0.85, gt=0.0, lt=1.0)
    perceptual_weight: float = Field(default=0.5, ge=0.0)
    commitment: float = Field(default=0.125, ge=0.0)
    orthogonality: float = Field(default=0.05, ge=0.0)
    # Where the file lay is nothing a model or a resumed fit has to know.
    perceptual_file: Path | None = Field(default=None, exclude=True)
    perceptual_sha256: str = ""
    feature_width: int = Field(default=16, ge=1)
    feature_epochs: int = Field(default=10, ge=1)
    first_epochs: int = Field(default=100, ge=1)
    first_batch: int = Field(default=192, ge=1)
    first_rate: float = Field(default=2e-4, gt=0.0)
    second_width: int = Field(default=256, ge=8)
    second_depth: int = Field(default=8, ge=1)
    second_heads: int = Field(default=8, ge=1)
    second_hidden: int = Field(default=1024, ge=4)
    sliced: bool = True
    second_epochs: int = Field(default=100, ge=1)
    second_batch: int = Field(default=158, ge=1)
    second_rate: float = Field(default=2e-4, gt=0.0)
    warm_up: float = Field(default=0.08, ge=0.0, lt=1.0)
    smoothing: float = Field(default=0.01, ge=0.0, lt=1.0)
    second_weight: float = Field(default=0.25, ge=0.0)
    rates: Rates = "wide"
    blocks: Blocks = "rectangles"
    every: int = Field(default=1, ge=1)
    surprisal: Literal["cover", "monte-carlo", "autoregressive"] = "cover"
    groups: int = Field(default=5, ge=2)
    sets: int = Field(default=2, ge=1)
    passes: int = Field(default=100, ge=1)
    rate: float = Field(default=0.8, gt=0.0, lt=1.0)
    orderings: int = Field(default=8, ge=1, le=8)
    unlikely: float = Field(default=5.0, gt=0.0)
    healing: bool = True
    patterns: tuple[int, ...] = (4,)
    steps: int = Field(default=6, ge=1)
    reference: Literal["reconstruction", "input"] = "reconstruction"
    mirrored: bool = True
    holdout: float = Field(default=0.2, gt=0.0, lt=1.0)
    spread_sigma_voxels: float = Field(default=2.0, ge=0.0)
    fused: Literal["continuous", "union"] = "continuous"
    pool: int = Field(default=7, ge=1)
    cut_surprisal: float | None = None
    cut_z: float | None = None
    cut_perceptual: float | None = None
    cut_quantile: float = Field(default=0.999, gt=0.0, lt=1.0)
    dilation_px: int = Field(default=1, ge=1)
    smallest_px: int = Field(default=5, ge=1)
    backflow: bool = False
    edge_erosion: int = Field(default=0, ge=0)
    score: Literal["top", "area", "sum", "clamped"] = "top"
    top_fraction: float = Field(default=0.002, gt=0.0, le=1.0)
    least_normals: int = Field(default=5, ge=5)

    @model_validator(mode="after")
    def _sizes_fit(self) -> TokensConfig:
        if self.patch & (self.patch - 1):
            raise ValueError(f"patch {self.patch} is not a power of two")
        if not self.patterns or min(self.patterns) < 1:
            raise ValueError(f"patterns {self.patterns}: sides of one or more checkerboards, each 1 or more")
        step = max(self.patch, SMALLEST_STEP)
        if self.image is not None and any(n % step or n < step for n in self.image):
            raise ValueError(f"image {self.image}: a side is not a multiple of {step}")
        if self.width % self.heads or self.second_width % (4 * self.second_heads):
            raise ValueError("a width is not a multiple of its heads (the transformer's of four times as many)")
        if self.stem % max(8, self.patch):
            raise ValueError(f"stem {self.stem} is not a multiple of 8 and of the patch")
        if self.sets > len(slopes(self.groups)):
            raise ValueError(f"{self.groups} groups make {len(slopes(self.groups))} different sets, not {self.sets}")
        if not (self.pool % 2 and self.dilation_px % 2):
            raise ValueError("pool and dilation_px are odd")
        if self.backflow and not self.healing:
            raise ValueError("backflow needs healing")
        if self.score == "sum" and self.fused != "union":
            raise ValueError("a sum needs the union")
        if self.surprisal == "monte-carlo" and (1.0 - self.rate) ** self.passes > _NEVER_HIDDEN:
            raise ValueError(f"{self.passes} passes at a rate of {self.rate} would leave tokens that are never hidden")
        if self.perceptual_file is not None and not self.perceptual_sha256:
            raise ValueError("a perceptual file needs its SHA-256")
        return self

    def require_files(self) -> None:
        """See `Config`: the perceptual weights, where they are not learnt."""
        if self.perceptual_sha256:
            read_lpips(self.perceptual_file, self.perceptual_sha256)

    def tokenizer(self, image: tuple[int, int]) -> TokenizerShape:
        """Sizes of the tokenizer for slices of `image`."""
        return TokenizerShape(
            image=image,
            channels=1 + 2 * self.neighbours,
            patch=self.patch,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            hidden=self.hidden,
            codes=self.codes,
            stem=self.stem,
            dropout=self.dropout,
            window=self.window,
        )

    def transformer(self, image: tuple[int, int]) -> TransformerShape:
        """Sizes of the transformer for slices of `image`."""
        return TransformerShape(
            grid=(image[0] // self.patch, image[1] // self.patch),
            codes=self.codes,
            width=self.second_width,
            depth=self.second_depth,
            heads=self.second_heads,
            hidden=self.second_hidden,
            sliced=self.sliced,
        )
