"""The field's metrics for scikit-learn: a scorer of H, and cross-validation over classes."""

from gzsl_dist.metrics.class_folds import ClassFold as ClassFold
from gzsl_dist.metrics.scorer import harmonic_mean_scorer as harmonic_mean_scorer

__all__ = ["ClassFold", "harmonic_mean_scorer"]
