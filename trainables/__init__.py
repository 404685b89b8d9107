"""How a candidate is measured: tasks, networks, and their training with Lightning."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phylon.trainables.arrays import Labelled as Labelled
    from phylon.trainables.arrays import dataset_from_arrays as dataset_from_arrays
    from phylon.trainables.cellnet import build_cellnet as build_cellnet
    from phylon.trainables.classification import ImageClassifier as ImageClassifier
    from phylon.trainables.convnet import build_convnet as build_convnet
    from phylon.trainables.datamodule import ImageDataModule as ImageDataModule
    from phylon.trainables.dataset import ImageDataset as ImageDataset
    from phylon.trainables.evaluator import LightningEvaluator as LightningEvaluator
    from phylon.trainables.image_task import ImageTask as ImageTask
    from phylon.trainables.image_task import digits as digits
    from phylon.trainables.image_task import images as images
    from phylon.trainables.macro import macro_space as macro_space
    from phylon.trainables.nasbench201 import nasbench201_space as nasbench201_space
    from phylon.trainables.pictures import read_pictures as read_pictures
    from phylon.trainables.proxy_evaluator import ProxyEvaluator as ProxyEvaluator
    from phylon.trainables.registry import TASKS as TASKS
    from phylon.trainables.registry import load_space as load_space
    from phylon.trainables.registry import load_task as load_task
    from phylon.trainables.task import Task as Task
    from phylon.trainables.training import Training as Training
    from phylon.trainables.words import describe as describe

_HOMES = {
    "ImageClassifier": "classification",
    "ImageDataModule": "datamodule",
    "ImageDataset": "dataset",
    "ImageTask": "image_task",
    "Labelled": "arrays",
    "LightningEvaluator": "evaluator",
    "ProxyEvaluator": "proxy_evaluator",
    "TASKS": "registry",
    "Task": "task",
    "Training": "training",
    "build_cellnet": "cellnet",
    "build_convnet": "convnet",
    "dataset_from_arrays": "arrays",
    "describe": "words",
    "digits": "image_task",
    "images": "image_task",
    "load_space": "registry",
    "load_task": "registry",
    "macro_space": "macro",
    "nasbench201_space": "nasbench201",
    "read_pictures": "pictures",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - names are of many types
    """Import a public name when it is first used: some need torch, which takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
