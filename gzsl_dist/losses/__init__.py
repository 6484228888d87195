"""Losses: pure functions of tensors, one a file."""
