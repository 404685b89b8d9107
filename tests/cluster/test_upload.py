"""What is counted is what Ray ships, and too much of it is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package

from phylon.cluster.upload import check_size, shipped_files
from phylon.search.errors import ConfigurationError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sizes = {
        "study.yaml": 10, "mine.py": 100, "data/train/a.npz": 3000, "data/b.npz": 500,
        "data/.gitignore": 6, "data/train/c.log": 9000, ".rayignore": 7, "old/x.bin": 9000,
        ".git/objects": 9000, "venv/lib.so": 9000, "__pycache__/mine.pyc": 9000,
    }  # fmt: skip
    for name, size in sizes.items():
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0" * size)
    (tmp_path / "work" / "data" / ".gitignore").write_text("*.log\n")
    (tmp_path / "work" / ".rayignore").write_text("old/\n")
    return tmp_path / "work"


def test_what_is_counted_is_what_ray_ships(folder: Path) -> None:
    package = folder.parent / "package.zip"
    excludes = get_runtime_env_default_excludes()
    create_package(str(folder), package, include_gitignore=True, excludes=excludes)
    with zipfile.ZipFile(package) as archive:
        shipped = {Path(each.filename): each.file_size for each in archive.infolist()}
    assert shipped_files(folder) == {p: s for p, s in shipped.items() if (folder / p).is_file()}
    assert Path("data/train/a.npz") in shipped
    assert Path("old/x.bin") not in shipped


def test_too_much_is_refused_with_what_is_large_and_the_cure(folder: Path) -> None:
    sizes = shipped_files(folder)
    check_size(folder, sizes)
    check_size(folder, sizes, limit=sum(sizes.values()) + 1)
    sizes = {path: size * 2**20 for path, size in sizes.items()}
    with pytest.raises(ConfigurationError) as caught:
        check_size(folder, sizes, limit=3500 * 2**20)
    said = str(caught.value)
    assert "ships less than 3,500.0 MiB" in said
    assert "largest folders: data/ 3,506.0 MiB, data/train/ 3,000.0 MiB;" in said
    assert "largest files: data/train/a.npz 3,000.0 MiB, data/b.npz 500.0 MiB," in said
    assert str(folder / ".rayignore") in said


def test_the_cure_works(folder: Path) -> None:
    (folder / ".rayignore").write_text("data/train/\n")
    assert Path("data/train/a.npz") not in shipped_files(folder)
    assert Path("data/b.npz") in shipped_files(folder)
