"""Sweeps: many runs from one YAML file, and the figures over their seeds."""
