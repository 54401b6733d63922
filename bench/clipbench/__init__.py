"""clipbench: attacks on, and defenses of, contrastive image-text pre-training on one bench."""

__version__ = "0.1.0"
