"""The one training loop, its checkpoints, seeds and devices. Importing the package alone does not load torch."""
