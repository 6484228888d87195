"""From a run to a model that predicts, also for classes that the run never heard of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gzsl_dist.baselines.candidate import Candidate
from gzsl_dist.baselines.run import fit_baseline
from gzsl_dist.config import Config
from gzsl_dist.data.dataset import Dataset, FloatArray
from gzsl_dist.data.problem import Problem, final_problem
from gzsl_dist.data.validation import check_class_table
from gzsl_dist.distributed.processes import DistributedContext
from gzsl_dist.errors import InputError
from gzsl_dist.evaluation.classifier import SoftmaxClassifier
from gzsl_dist.evaluation.classifier_space import ClassifierSpace
from gzsl_dist.evaluation.score import fit_classifier
from gzsl_dist.inference.model import ModelCard, ZeroShotModel
from gzsl_dist.models.networks import Networks
from gzsl_dist.run.selection import Selection


def assemble(
    networks: Networks | None,
    classifier: SoftmaxClassifier | Candidate,
    problem: Problem,
    dataset: Dataset,
    config: Config,
    selection: Selection,
) -> ZeroShotModel:
    """The model of trained networks, with whole weights, and the classifier fitted with them.

    A baseline has no networks; it is linear in features of length 1.
    """
    calibrated = config.evaluation.calibration != "none"
    embedding = None if networks is None else networks.embedding
    space = ClassifierSpace.configured(config.evaluation)
    if networks is None:
        space = ClassifierSpace("x", unit_length=True)
    exact = networks is None or config.train.precision == "float64"
    card = ModelCard(
        classes=problem.names,
        seen_count=problem.seen_count,
        calibration_factor=selection.calibration_factor if calibrated else None,
        feature_dim=problem.feature_dim,
        embedding_dim=0 if embedding is None else embedding.embed.out_features,
        projection_dim=0 if embedding is None else embedding.project.out_features,
        space=space.name,
        unit_length=space.unit_length,
        transform=problem.scaling.transform,
        precision="float64" if exact else "float32",
        method=config.method,
        dataset={"name": dataset.name, "fingerprint": dataset.fingerprint},
        steps=selection.steps,
        seed=config.train.seed,
        origin=dataset.origin,
    )
    weights = classifier.weight, classifier.bias
    return ZeroShotModel.of(card, embedding, problem.scaling, *weights)


def with_new_classes(
    networks: Networks | None,
    old: Dataset,
    config: Config,
    selection: Selection,
    names: tuple[str, ...],
    semantics: FloatArray,
    processes: DistributedContext,
) -> ZeroShotModel:
    """Make a run's model know classes that its training never saw, by their semantics.

    The generator synthesizes rows of the new classes as of any unseen class, and the softmax
    classifier is fitted anew with them; a baseline, without networks, is fitted anew itself. The
    calibration factor stays: it comes from validation classes, which were new to their training
    in the same way.

    Raises:
        InputError: semantics, ``(new classes, d_a)``, of another length, not finite, or those of
            another class; a name that the run knows already.
    """
    if semantics.shape[1] != old.semantics.shape[1]:
        raise InputError(
            f"new classes have semantics of {semantics.shape[1]} values, those of {old.name} have "
            f"{old.semantics.shape[1]}; describe them in the same way"
        )
    if known := [name for name in names if name in old.classes]:
        some = ", ".join(map(repr, known[:10])) + (", ..." if len(known) > 10 else "")
        raise InputError(
            f"{len(known)} of {len(names)} new classes are classes of {old.name} already: {some}; "
            "leave them out"
        )
    dataset = replace(
        old, classes=old.classes + names, semantics=np.concatenate([old.semantics, semantics])
    )
    check_class_table(dataset, f"{old.name} with new classes")
    problem = final_problem(dataset, config)
    classifier: SoftmaxClassifier | Candidate
    if networks is None:
        classifier = fit_baseline(problem, config.method, selection.settings or {})
    else:
        classifier = fit_classifier(networks, problem, config, processes)
    return assemble(networks, classifier, problem, old, config, selection)
