"""Classifier, metrics and model selection."""
