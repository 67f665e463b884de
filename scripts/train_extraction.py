"""Train the network that finds the brain of a head: `python scripts/train_extraction.py WORK --heads N`.

Everything it learns from is made on the spot (`anomri.extraction.synthetic`). The same command run again after a kill
goes on where it stopped; more heads need a new folder. One core takes 15 to 20 minutes for 1,000.
The weights end in WORK/brain-net.safetensors, beside the curves.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from anomri.extraction.network import BrainNet, batch_of, brain_loss, save_network
from anomri.extraction.synthetic import SHAPE, SPACING_MM
from anomri.metrics.overlap import dice
from anomri.training.fabric import make_fabric
from anomri.training.loop import Batches, cosine_decay, train
from anomri.training.seeding import seeded_torch

SEED, VALIDATION_SEED = 0, 1
HEADS_AN_EPOCH, VALIDATION_HEADS = 100, 12
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-4


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for checkpoint, curves and weights")
    parser.add_argument("--heads", type=int, default=1000, help="heads to learn from, each new")
    parser.add_argument("--batch", type=int, default=1, help="heads a step")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    with seeded_torch(SEED):
        network = BrainNet()
    held_out = batch_of(np.arange(VALIDATION_HEADS), VALIDATION_SEED, 0)

    def validate(module: torch.nn.Module) -> float:
        device = next(module.parameters()).device
        losses = [brain_loss(module, tuple(t[i : i + 1].to(device) for t in held_out)) for i in range(VALIDATION_HEADS)]
        value = float(torch.stack(losses).mean())
        print(f"held-out loss {value:.4f}", flush=True)
        return value

    done = train(
        network,
        brain_loss,
        Batches(HEADS_AN_EPOCH, given.batch, batch_of),
        optimizer=lambda weights: torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY),
        epochs=max(1, given.heads // HEADS_AN_EPOCH),
        seed=SEED,
        fabric=make_fabric("auto"),
        resume=given.work,
        validate=validate,
        decay=cosine_decay,
        settings={"what": "extraction", "shape": list(SHAPE), "spacing_mm": SPACING_MM},
    )
    save_network(network, given.work / "brain-net.safetensors")
    overlaps = [overlap(network, held_out[0][i : i + 1], held_out[1][i]) for i in range(VALIDATION_HEADS)]
    curves = {name: list(curve) for name, curve in done.curves.items()}
    summary = {"curves": curves, "held_out_dice": overlaps, "elapsed_s": done.elapsed_s, "best_epoch": done.best_epoch}
    (given.work / "curves.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    print(f"Dice on held-out heads: median {np.median(overlaps):.3f}, lowest {min(overlaps):.3f}")


def overlap(network: BrainNet, values: torch.Tensor, brain: torch.Tensor) -> float:
    """Dice of one head at the level 0.5."""
    with torch.inference_mode():
        found = network(values)[0].numpy() > 0.0
    return dice(brain.numpy() > 0.5, found)


if __name__ == "__main__":
    main()
