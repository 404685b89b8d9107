"""How a candidate is measured: tasks, networks, and their training with Lightning."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phylon.trainables.arrays import Labelled as Labelled
    from phylon.trainables.arrays import dataset_from_arrays as dataset_from_arrays
    from phylon.trainables.cellnet import build_cellnet as build_cellnet
    from phylon.trainables.classification import ImageClassifier as ImageClassifier
    from phylon.trainables.conversion import make_elastic as make_elastic
    from phylon.trainables.convnet import build_convnet as build_convnet
    from phylon.trainables.darts import darts_space as darts_space
    from phylon.trainables.dartsnet import build_dartsnet as build_dartsnet
    from phylon.trainables.datamodule import ImageDataModule as ImageDataModule
    from phylon.trainables.dataset import ImageDataset as ImageDataset
    from phylon.trainables.elastic import ElasticBatchNorm2d as ElasticBatchNorm2d
    from phylon.trainables.elastic import ElasticConv2d as ElasticConv2d
    from phylon.trainables.elastic import ElasticDepth as ElasticDepth
    from phylon.trainables.elastic import ElasticLinear as ElasticLinear
    from phylon.trainables.elastic import OneOf as OneOf
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
    from phylon.trainables.sharing import Sharing as Sharing
    from phylon.trainables.supernet import Supernet as Supernet
    from phylon.trainables.supernet import check_shareable as check_shareable
    from phylon.trainables.supernet_evaluator import SupernetEvaluator as SupernetEvaluator
    from phylon.trainables.task import Task as Task
    from phylon.trainables.training import Training as Training
    from phylon.trainables.words import describe as describe

_HOMES = {
    "ElasticBatchNorm2d": "elastic",
    "ElasticConv2d": "elastic",
    "ElasticDepth": "elastic",
    "ElasticLinear": "elastic",
    "ImageClassifier": "classification",
    "ImageDataModule": "datamodule",
    "ImageDataset": "dataset",
    "ImageTask": "image_task",
    "Labelled": "arrays",
    "LightningEvaluator": "evaluator",
    "OneOf": "elastic",
    "ProxyEvaluator": "proxy_evaluator",
    "Sharing": "sharing",
    "Supernet": "supernet",
    "SupernetEvaluator": "supernet_evaluator",
    "TASKS": "registry",
    "Task": "task",
    "Training": "training",
    "build_cellnet": "cellnet",
    "build_convnet": "convnet",
    "build_dartsnet": "dartsnet",
    "darts_space": "darts",
    "check_shareable": "supernet",
    "dataset_from_arrays": "arrays",
    "describe": "words",
    "digits": "image_task",
    "images": "image_task",
    "load_space": "registry",
    "load_task": "registry",
    "macro_space": "macro",
    "make_elastic": "conversion",
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
