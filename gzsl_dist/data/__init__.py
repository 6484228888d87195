"""Data sets: formats, validation, storage, scaling and batches."""
