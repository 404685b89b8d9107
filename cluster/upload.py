"""What Ray ships of the folder that a job is submitted from."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env import packaging

from phylon.search.errors import ConfigurationError

LIMIT = packaging.GCS_STORAGE_MAX_SIZE  # bytes
_NAMED = 3


def shipped_files(folder: Path) -> dict[Path, int]:
    """Return the files that Ray ships of a folder, relative to it, and their bytes.

    Ray leaves out what any ``.gitignore`` or ``.rayignore`` in it names, and ``.git``, ``.venv``,
    ``venv`` and ``__pycache__``.
    """
    sizes: dict[Path, int] = {}

    def note(path: Path) -> None:
        if path.is_file():
            sizes[path.relative_to(folder)] = path.stat().st_size

    excluded = packaging._get_excludes(folder, get_runtime_env_default_excludes())
    packaging._dir_travel(
        folder, [excluded], note, include_gitignore=True, logger=logging.getLogger(__name__)
    )
    return sizes


def check_size(folder: Path, sizes: Mapping[Path, int], limit: int = LIMIT) -> None:
    """Check that the files of a folder are not too many bytes to be shipped.

    Args:
        folder: The folder.
        sizes: Its files and their bytes, from `shipped_files`.
        limit: Bytes that are too many.

    Raises:
        ConfigurationError: They are; the largest ones are named, and how to leave them out.
    """
    total = sum(sizes.values())
    if total < limit:
        return
    folders: Counter[str] = Counter()
    for path, size in sizes.items():
        folders.update({f"{parent}/": size for parent in path.parents[:-1]})
    files = Counter({str(path): size for path, size in sizes.items()})
    raise ConfigurationError(
        f"{folder} holds {_mib(total)}, but Ray ships less than {_mib(limit)} with a job; largest "
        f"folders: {_largest(folders)}; largest files: {_largest(files)}. Leave out what the study "
        f"does not need, one line for each in {folder / '.rayignore'} (a .gitignore counts, too); "
        f"put data where every node sees it, and name it by an absolute path"
    )


def _largest(sizes: Counter[str]) -> str:
    return ", ".join(f"{name} {_mib(size)}" for name, size in sizes.most_common(_NAMED)) or "none"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
