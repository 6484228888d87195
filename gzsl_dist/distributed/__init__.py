"""Processes, collectives, strategies and checkpoints: the only place that knows of ranks."""
