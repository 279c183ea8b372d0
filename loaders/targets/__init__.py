"""Targets: what a batch holds beside the traces, joined by integer trial and frame."""

from __future__ import annotations

from poyodata.loaders.targets.behaviour import BehaviourTarget
from poyodata.loaders.targets.labels import LABELS, LabelTarget, label_target
from poyodata.loaders.targets.movie import MovieTarget, movie_target
from poyodata.loaders.targets.neurons import NeuronColumns
from poyodata.loaders.targets.target import (
    Target,
    TargetColumn,
    known_targets,
    make_target,
    make_targets,
    register_target,
    unregister_target,
)
from poyodata.loaders.targets.vocabulary import Vocabulary, neuron_vocabulary, recording_vocabulary

__all__ = [
    "LABELS",
    "BehaviourTarget",
    "LabelTarget",
    "MovieTarget",
    "NeuronColumns",
    "Target",
    "TargetColumn",
    "Vocabulary",
    "known_targets",
    "label_target",
    "make_target",
    "make_targets",
    "movie_target",
    "neuron_vocabulary",
    "recording_vocabulary",
    "register_target",
    "unregister_target",
]
