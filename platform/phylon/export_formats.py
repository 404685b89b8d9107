"""The formats that a network is taken home in, each with the script that runs it."""

from __future__ import annotations

import importlib
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from phylon.errors import ConfigurationError
from phylon.trainables.source_code import write_source

if TYPE_CHECKING:
    from torch import Tensor, nn

Format = Literal["torch", "onnx", "source"]
FORMATS: tuple[Format, ...] = get_args(Format)

_LARGE = 1 << 30  # bytes of weights that are put beside an ONNX file, which holds at most 2 GiB
_TALKER = "torch.onnx._internal.exporter._registration"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is written in a format, and run from it.

    Attributes:
        write: Writes a network into a folder; it is given an example of its input, two samples or
            more, and a sentence on what the network is.
        imports: What the script imports to run it.
        load: Lines that load it.
        run: Turns `inputs`, an array, into the network's outputs, an array.
        packages: What has to be installed to run it.
        files: What is written, and what it is.
    """

    write: Callable[[nn.Module, Tensor, Path, str], None]
    imports: tuple[str, ...]
    load: tuple[str, ...]
    run: str
    packages: tuple[str, ...]
    files: Mapping[str, str]

    @property
    def requirements(self) -> list[str]:
        """The packages with the versions that are installed here, without a build's name."""
        return [f"{name}=={re.sub('[+].*', '', version(name))}" for name in self.packages]


def check_installed(kind: Format) -> None:
    """See whether a format can be written.

    Raises:
        ConfigurationError: A package is missing.
    """
    if kind != "onnx":
        return
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigurationError(
                f"--format onnx needs the package {name}, which cannot be imported ({error}): "
                f"pip install 'phylon[onnx]'"
            ) from error


def _write_source(network: nn.Module, _example: Tensor, folder: Path, about: str) -> None:
    from safetensors.torch import save_file

    source = write_source(network, about)
    (folder / "network.py").write_text(source.text, encoding="utf-8")
    save_file(source.weights, folder / "weights.safetensors")


def _write_program(network: nn.Module, example: Tensor, folder: Path, _about: str) -> None:
    import torch

    batch = torch.export.Dim("batch")
    with _refusing(network, "torch"):
        program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "network.pt2")


def _write_onnx(network: nn.Module, example: Tensor, folder: Path, _about: str) -> None:
    import torch

    size = sum(each.nbytes for each in network.state_dict().values())
    with _refusing(network, "onnx"):
        torch.onnx.export(
            network,
            (example,),
            folder / "network.onnx",
            input_names=["inputs"],
            output_names=["outputs"],
            dynamic_shapes=({0: "batch"},),
            dynamo=True,
            external_data=size > _LARGE,
            verbose=False,
        )


@contextmanager
def _refusing(network: nn.Module, kind: Format) -> Iterator[None]:
    """Say in short why a network cannot be exported, and nothing of what nobody can act on.

    Raises:
        ConfigurationError: It cannot.
    """
    talker = logging.getLogger(_TALKER)
    level = talker.level
    talker.setLevel(logging.ERROR)  # it misses torchvision, which few networks need
    try:
        with warnings.catch_warnings():
            # torch 2.13 warns of its own copies of tree specifications.
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
            yield
    except Exception as error:
        reason = next(filter(None, map(str.strip, str(error).splitlines())), "no reason given")
        others = " or ".join(f"--format {each}" for each in FORMATS if each != kind)
        raise ConfigurationError(
            f"torch cannot export {type(network).__name__} ({type(error).__name__}: {reason}); "
            f"its forward must not depend on the values of its input or on the size of the batch; "
            f"try {others}"
        ) from error
    finally:
        talker.setLevel(level)


RECIPES: Mapping[Format, Recipe] = {
    "source": Recipe(
        _write_source,
        ("import torch", "from network import Network", "from safetensors.torch import load_file"),
        (
            "NETWORK = Network().eval()",
            'NETWORK.load_state_dict(load_file(HERE / "weights.safetensors"))',
        ),
        "NETWORK(torch.from_numpy(inputs)).detach().numpy()",
        ("numpy", "safetensors", "torch"),
        {
            "network.py": "the network, plain PyTorch",
            "weights.safetensors": "its trained weights",
        },
    ),
    "torch": Recipe(
        _write_program,
        ("import torch",),
        ('NETWORK = torch.export.load(HERE / "network.pt2").module()',),
        "NETWORK(torch.from_numpy(inputs)).detach().numpy()",
        ("numpy", "torch"),
        {"network.pt2": "the trained network, a program of `torch.export`"},
    ),
    "onnx": Recipe(
        _write_onnx,
        ("import onnxruntime",),
        (
            'NETWORK = onnxruntime.InferenceSession(HERE / "network.onnx", '
            'providers=["CPUExecutionProvider"])',
        ),
        'NETWORK.run(None, {"inputs": inputs})[0]',
        ("numpy", "onnxruntime"),
        {"network.onnx": "the trained network; `inputs` and `outputs` are of any batch size"},
    ),
}
