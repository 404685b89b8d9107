"""How a candidate is measured: tasks, networks, and their training with Lightning."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phylon.trainables.arrays import Labelled, dataset_from_arrays
    from phylon.trainables.classification import ImageClassifier
    from phylon.trainables.convnet import build_convnet
    from phylon.trainables.datamodule import ImageDataModule
    from phylon.trainables.dataset import ImageDataset
    from phylon.trainables.evaluator import LightningEvaluator
    from phylon.trainables.image_task import ImageTask, digits, images
    from phylon.trainables.macro import macro_space
    from phylon.trainables.pictures import read_pictures
    from phylon.trainables.registry import TASKS, load_task
    from phylon.trainables.task import Task
    from phylon.trainables.training import Training
    from phylon.trainables.words import describe
