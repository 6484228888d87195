"""All settings: sections, presets, files, command line, and the reference made from them."""

from gzsl_dist.config.data import EMBEDDED
from gzsl_dist.config.evaluation import EvaluationSettings
from gzsl_dist.config.loss import LOSSES, SideWeights
from gzsl_dist.config.model import ModelSettings
from gzsl_dist.config.train import LogSettings, TrainSettings
from gzsl_dist.config.tree import Config, is_free_to_differ

__all__ = [
    "EMBEDDED",
    "LOSSES",
    "Config",
    "EvaluationSettings",
    "LogSettings",
    "ModelSettings",
    "SideWeights",
    "TrainSettings",
    "is_free_to_differ",
]
