"""Packs the phylon that is installed here into a wheel, so that a cluster runs the same."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import Distribution, distribution
from pathlib import Path

PACKAGES = ("phylon", "phylon.search", "phylon.trainables", "phylon.cluster")
_TAG = "py3-none-any"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same files give the same bytes
_CARRIED = ("Metadata-Version", "Name", "Version", "Summary", "Requires-Python")


def write_wheel(folder: Path) -> Path:
    """Write phylon's wheel into a folder and return its path.

    It names no dependencies: Ray installs it by a plain ``pip install --target`` on every node,
    which would bring torch and Ray along once more. Its build tag is a digest of its files, since
    Ray tells wheels apart by their names alone and keeps the first one of each.
    """
    files = dict(sorted(_package_files()))
    found = distribution("phylon")
    build = f"0x{_digest(files)}"
    name = f"phylon-{found.version}"
    info = f"{name}.dist-info"
    files[f"{info}/METADATA"] = _metadata(found)
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: phylon\nRoot-Is-Purelib: true\nBuild: {build}\n"
        f"Tag: {_TAG}\n"
    ).encode()
    files[f"{info}/entry_points.txt"] = _entry_points(found)
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    path = folder / f"{name}-{build}-{_TAG}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, content in files.items():
            entry = zipfile.ZipInfo(inner, _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return path


def _package_files() -> Iterator[tuple[str, bytes]]:
    """Yield what the four packages consist of, wherever each is: place in the wheel, content."""
    roots = {name: Path(import_module(name).__path__[0]).resolve() for name in PACKAGES}
    for name, root in roots.items():
        for path in root.rglob("*"):
            inner = path.relative_to(root)
            others = set(path.parents) & (set(roots.values()) - {root})
            is_own = not any(root in other.parents for other in others)
            is_kept = "__pycache__" not in inner.parts and not path.name.startswith(".")
            if is_own and is_kept and path.is_file():
                yield f"{name.replace('.', '/')}/{inner.as_posix()}", path.read_bytes()


def _digest(files: Mapping[str, bytes]) -> str:
    """Return 12 hexadecimal digits that change with any name or content."""
    each = (hashlib.sha256(inner.encode() + b"\0" + data).digest() for inner, data in files.items())
    return hashlib.sha256(b"".join(each)).hexdigest()[:12]


def _metadata(found: Distribution) -> bytes:
    fields = found.metadata
    lines = [f"{key}: {fields[key]}" for key in _CARRIED if key in fields]
    return "\n".join([*lines, ""]).encode()


def _entry_points(found: Distribution) -> bytes:
    lines = [f"{each.name} = {each.value}" for each in found.entry_points.select(
        group="console_scripts"
    )]  # fmt: skip
    return "\n".join(["[console_scripts]", *lines, ""]).encode()


def _record(files: Mapping[str, bytes], own: str) -> bytes:
    lines = []
    for inner, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{inner},sha256={digest},{len(content)}")
    return "\n".join([*lines, f"{own},,", ""]).encode()
