"""Training of the three networks of the token system, each in its own resumable loop.

denoiser (features of what normal slices look like) → tokenizer → transformer over the frozen tokenizer's codes
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from anomri.methods.tokens.config import TokensConfig
from anomri.methods.tokens.masking import training_mask
from anomri.methods.tokens.ordered import OrderedTransformer, orderings
from anomri.methods.tokens.perceptual import Denoiser, Perceptual, perceptual_map, read_lpips
from anomri.methods.tokens.slices import Slices
from anomri.methods.tokens.tokenizer import Tokenizer
from anomri.methods.tokens.transformer import TokenTransformer
from anomri.training.holdout import held_out_loss
from anomri.training.loop import Batch, Batches, Training, cosine_decay, train
from anomri.training.seeding import generator, seeded_torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Course", "codes_of", "fit_features", "fit_tokenizer", "fit_transformer", "masked_cross_entropy"]

# Of the noise that the features learn to take away, in spreads of the brain's intensities.
_NOISE_SD = 0.5
_FEATURE_RATE = 1e-3
_LARGEST_GRADIENT = 1.0


@dataclass(frozen=True, slots=True)
class Course:
    """What all three trainings share: seed, device, folder of the checkpoints, and what names scans and settings."""

    seed: int
    fabric: Fabric
    resume: Path | None
    settings: Mapping[str, Any]

    def folder(self, name: str) -> Path | None:
        """Where one training keeps its checkpoint."""
        return None if self.resume is None else self.resume / name


def fit_features(trained: Slices, config: TokensConfig, course: Course) -> tuple[Perceptual, Training | None]:
    """The network behind the perceptual map, frozen: learnt here, or read from the file the settings name."""
    if config.perceptual_sha256:
        return read_lpips(config.perceptual_file, config.perceptual_sha256), None
    with seeded_torch(course.seed, 1):
        network = Denoiser(config.feature_width)

    def make(indices: NDArray[np.intp], seed: int, epoch: int) -> Batch:
        clean = trained.own[indices]
        noise = np.stack([generator(seed, epoch, int(n), 1).standard_normal(clean.shape[1:]) for n in indices])
        return torch.from_numpy(clean), torch.from_numpy((clean + _NOISE_SD * noise).astype(np.float32))

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        clean, noisy = batch
        return functional.mse_loss(module(noisy), clean)

    training = train(
        network,
        loss,
        _batches(len(trained.pixels), config.first_batch, config.every, make),
        optimizer=lambda weights: torch.optim.AdamW(weights, _FEATURE_RATE),
        epochs=config.feature_epochs,
        seed=course.seed,
        fabric=course.fabric,
        resume=course.folder("features"),
        decay=cosine_decay,
        settings=course.settings,
    )
    return network.requires_grad_(False).eval(), training


def fit_tokenizer(
    trained: Slices,
    held: Slices,
    features: Perceptual,
    config: TokensConfig,
    course: Course,
) -> tuple[Tokenizer, Training]:
    """Stage 1, frozen: |x − x̂| + perceptual + commitment, the weights being those of the settings."""
    image = (trained.pixels.shape[2], trained.pixels.shape[3])
    with seeded_torch(course.seed, 2):
        network = Tokenizer(config.tokenizer(image))
    network.quantiser.decay, network.quantiser.apart = config.decay, config.orthogonality
    features.to(course.fabric.device)
    middle = config.neighbours

    def make(indices: NDArray[np.intp], seed: int, epoch: int) -> Batch:
        flips = [generator(seed, epoch, int(n), 2).random() < 0.5 for n in indices]
        pixels = trained.pixels[indices]
        # The first axis of a slice is left–right.
        pixels = np.stack([p[:, ::-1] if flip else p for p, flip in zip(pixels, flips, strict=True)])
        return (torch.from_numpy(np.ascontiguousarray(pixels)),)

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        (pixels,) = batch
        own = pixels[:, middle : middle + 1]
        rebuilt, quantised = module(pixels)
        total: Tensor = functional.l1_loss(rebuilt, own) + config.commitment * quantised.commitment
        if config.perceptual_weight:
            total = (
                total
                + config.perceptual_weight
                * perceptual_map(features, own / config.window, rebuilt / config.window).mean()
            )
        return total

    def validate(module: nn.Module) -> float:
        return held_out_loss(module, loss, _parts((held.pixels,), config.first_batch))

    training = train(
        network,
        loss,
        _batches(len(trained.pixels), config.first_batch, config.every, make),
        optimizer=lambda weights: _Clipped(weights, config.first_rate, betas=(0.9, 0.95), weight_decay=1e-4),
        epochs=config.first_epochs,
        seed=course.seed,
        fabric=course.fabric,
        resume=course.folder("tokenizer"),
        validate=validate,
        decay=cosine_decay,
        settings=course.settings,
    )
    return network.freeze(), training


def fit_transformer(
    trained: Slices,
    held: Slices,
    tokenizer: Tokenizer,
    config: TokensConfig,
    course: Course,
) -> tuple[TokenTransformer | OrderedTransformer, Training]:
    """Stage 2 over the codes of slices and of their mirror images, both of which are healed."""
    shape = config.transformer((trained.pixels.shape[2], trained.pixels.shape[3]))
    in_order = config.surprisal == "autoregressive"
    with seeded_torch(course.seed, 3):
        network = OrderedTransformer(shape) if in_order else TokenTransformer(shape)
    held_codes = codes_of(tokenizer, held.pixels, config.first_batch)
    sides = (trained.pixels, trained.pixels[:, :, ::-1])
    codes = torch.stack([codes_of(tokenizer, pixels, config.first_batch) for pixels in sides])

    def drawn(indices: NDArray[np.intp], *key: int) -> Tensor:
        """Masks of both levels, (n, 2, S), or orderings, (n,)."""
        generators = [generator(*key, int(n), 3) for n in indices]
        if in_order:
            return torch.tensor([int(rng.integers(len(orderings(shape.grid)))) for rng in generators])
        rates, blocks = config.rates, config.blocks
        rows = [
            [training_mask(shape.grid, rng, rates=rates, level=level, blocks=blocks) for level in (0, 1)]
            for rng in generators
        ]
        return torch.from_numpy(np.array(rows))

    def make(indices: NDArray[np.intp], seed: int, epoch: int) -> Batch:
        side = [int(generator(seed, epoch, int(n), 2).integers(2)) for n in indices]
        return codes[side, indices], torch.from_numpy(trained.positions[indices]), drawn(indices, seed, epoch)

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        smoothing = config.smoothing if module.training else 0.0
        if in_order:
            return ordered_cross_entropy(module, batch, config.second_weight, smoothing)
        return masked_cross_entropy(module, batch, shape.mask, config.second_weight, smoothing)

    # The same masks in every epoch, or the best epoch would be chosen by luck.
    fixed = drawn(np.arange(len(held_codes)), course.seed, config.second_epochs)
    checked = _tensor_parts((held_codes, torch.from_numpy(held.positions), fixed), config.second_batch)
    training = train(
        network,
        loss,
        _batches(len(trained.pixels), config.second_batch, config.every, make),
        optimizer=lambda weights: _Clipped(_decayed(network, weights), config.second_rate, betas=(0.9, 0.98)),
        epochs=config.second_epochs,
        seed=course.seed,
        fabric=course.fabric,
        resume=course.folder("transformer"),
        validate=lambda module: held_out_loss(module, loss, checked),
        decay=lambda progress: _warmed(progress, config.warm_up) * cosine_decay(progress),
        settings=course.settings,
    )
    return network.requires_grad_(False).eval(), training


def _warmed(progress: float, share: float) -> float:
    return min(1.0, progress / share) if share else 1.0


def masked_cross_entropy(module: nn.Module, batch: Batch, hidden: int, weight: float, smoothing: float) -> Tensor:
    """CE(L1) + `weight` · CE(L2 given all of L1), over hidden tokens.

    Parameters
    ----------
    batch : codes (B, S, 2), positions (B,), masks (B, 2, S).
    hidden : the code of a hidden token.
    """
    codes, positions, masks = batch
    first, second = codes.unbind(dim=-1)
    blank = torch.full_like(second, hidden)
    one = module(first.masked_fill(masks[:, 0], hidden), blank, 0, positions)
    two = module(first, second.masked_fill(masks[:, 1], hidden), 1, positions)
    losses = [
        functional.cross_entropy(logits[mask], level[mask], label_smoothing=smoothing)
        for logits, level, mask in ((one, first, masks[:, 0]), (two, second, masks[:, 1]))
    ]
    return losses[0] + weight * losses[1]


def ordered_cross_entropy(module: nn.Module, batch: Batch, weight: float, smoothing: float) -> Tensor:
    """CE(L1) + `weight` · CE(L2), over all tokens; batch: codes (B, S, 2), positions (B,), orderings (B,)."""
    codes, positions, orders = batch
    losses = [
        functional.cross_entropy(logits.transpose(1, 2), codes[..., level], label_smoothing=smoothing)
        for level, logits in enumerate(module(codes, orders, positions))
    ]
    return losses[0] + weight * losses[1]


def codes_of(tokenizer: Tokenizer, pixels: NDArray[np.float32], size: int) -> Tensor:
    """(n, S, 2) codes of slices, on the CPU."""
    device = next(tokenizer.parameters()).device
    with torch.inference_mode():
        parts = [
            tokenizer.encode(torch.from_numpy(np.ascontiguousarray(pixels[n : n + size])).to(device)).indices.cpu()
            for n in range(0, len(pixels), size)
        ]
    return torch.cat(parts).clone()


class _Clipped(torch.optim.AdamW):
    """AdamW whose gradients have a norm of at most 1."""

    def step(self, closure: Any = None) -> Any:
        """See `torch.optim.Optimizer.step`."""
        nn.utils.clip_grad_norm_([p for group in self.param_groups for p in group["params"]], _LARGEST_GRADIENT)
        return super().step(closure)


def _decayed(network: nn.Module, weights: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    """All weights in two groups: decay 0.01 for matrices; none for embeddings, biases and norms."""
    tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for weight in weights:
        groups[weight.ndim > 1 and id(weight) not in tables].append(weight)
    return [{"params": group, "weight_decay": decay} for group, decay in zip(groups, (0.0, 0.01), strict=True)]


def _batches(count: int, size: int, every: int, make: Callable[[NDArray[np.intp], int, int], Batch]) -> Batches:
    """Of `count` samples a different one in `every` each epoch; in time each has its turn."""
    visited = max(1, count // every)

    def chosen(indices: NDArray[np.intp], seed: int, epoch: int) -> Batch:
        return make((indices * every + epoch) % count, seed, epoch)

    return Batches(visited, size, chosen)


def _parts(arrays: Sequence[NDArray[np.float32]], size: int) -> list[Batch]:
    return _tensor_parts([torch.from_numpy(a) for a in arrays], size)


def _tensor_parts(tensors: Sequence[Tensor], size: int) -> list[Batch]:
    return [tuple(t[n : n + size] for t in tensors) for n in range(0, len(tensors[0]), size)]
