"""Logs, TensorBoard, progress and reports."""
