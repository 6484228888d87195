"""All settings: sections, presets, files, command line, and the reference made from them."""

from gzsl_dist.config.data import EMBEDDED, DataSettings, RunSettings
from gzsl_dist.config.evaluation import EvaluationSettings
from gzsl_dist.config.loss import LOSSES, LossSettings, SideWeights
from gzsl_dist.config.model import ModelSettings
from gzsl_dist.config.section import Section
from gzsl_dist.config.train import CheckpointSettings, LogSettings, TrainSettings
from gzsl_dist.config.tree import FREE_TO_DIFFER, Config, is_free_to_differ

__all__ = [
    "EMBEDDED",
    "FREE_TO_DIFFER",
    "LOSSES",
    "CheckpointSettings",
    "Config",
    "DataSettings",
    "EvaluationSettings",
    "LogSettings",
    "LossSettings",
    "ModelSettings",
    "RunSettings",
    "Section",
    "SideWeights",
    "TrainSettings",
    "is_free_to_differ",
]
