"""Distributed training of contrastive generative models for generalized zero-shot learning."""

__version__ = "0.1.0"
