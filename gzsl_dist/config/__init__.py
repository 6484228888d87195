"""All settings: sections, presets, files, command line, and the reference made from them."""

from gzsl_dist.config.data import EMBEDDED, DataSettings, RunSettings
from gzsl_dist.config.evaluation import EvaluationSettings
from gzsl_dist.config.loss import InstanceSettings, LossSettings, PrototypeSettings, SideWeights
from gzsl_dist.config.model import ModelSettings
from gzsl_dist.config.section import Section
from gzsl_dist.config.train import CheckpointSettings, LogSettings, TrainSettings
from gzsl_dist.config.tree import FREE_TO_DIFFER, Config, is_free_to_differ

__all__ = [
    "EMBEDDED",
    "FREE_TO_DIFFER",
    "CheckpointSettings",
    "Config",
    "DataSettings",
    "EvaluationSettings",
    "InstanceSettings",
    "LogSettings",
    "LossSettings",
    "ModelSettings",
    "PrototypeSettings",
    "RunSettings",
    "Section",
    "SideWeights",
    "TrainSettings",
    "is_free_to_differ",
]
