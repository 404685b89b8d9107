"""The house keeps its shape: who imports whom, what is shipped, and how large things may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from phylon.cli import cli

ROOT = Path(__file__).parents[1]
HOMES = {
    "phylon.search": ROOT / "search",
    "phylon.trainables": ROOT / "trainables",
    "phylon.cluster": ROOT / "cluster",
    "phylon": ROOT / "platform" / "phylon",
}
MAY_IMPORT = {
    "phylon.search": {"phylon.search"},
    "phylon.trainables": {"phylon.search", "phylon.trainables"},
    "phylon.cluster": {"phylon.search", "phylon.cluster"},
    "phylon": {"phylon.search", "phylon.trainables", "phylon.cluster", "phylon"},
}
ONLY_IN = {
    "ray": {"phylon.cluster"},
    "mlflow": {"phylon"},
    "pyarrow": {"phylon"},
    "pytorch_lightning": {"phylon.trainables"},
    "lightning_fabric": {"phylon.trainables"},
    "lightning": set[str](),  # depend on `pytorch_lightning` alone: mixed, the two do not fit
}
HEAVY = {"torch", "ray", "mlflow", "pyarrow", "pytorch_lightning"}
MAX_FILE, MAX_FUNCTION, MAX_CONSTRUCTOR = 299, 39, 8
SOURCES = [path for home in HOMES.values() for path in sorted(home.glob("*.py"))]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def package_of(module: str) -> str:
    """Return the one of the four packages that a module of phylon belongs to."""
    return ".".join(module.split(".")[:2]) if module.startswith(tuple(HOMES)[:3]) else "phylon"


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every module that is imported anywhere in a tree, and the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            origin = str(node.module)
            if origin in ("phylon", "pyarrow"):
                yield from ((f"{origin}.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield origin, node.lineno


def test_every_source_is_seen() -> None:
    assert len(SOURCES) > 50
    assert not [path for home in HOMES.values() for path in home.glob("*/*.py")], "keep them flat"


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_imports_go_one_way(path: Path) -> None:
    here = next(name for name, home in HOMES.items() if path.parent == home)
    for module, line in imports(ast.parse(path.read_text(encoding="utf-8"))):
        top = module.partition(".")[0]
        if top == "phylon":
            assert package_of(module) in MAY_IMPORT[here], f"{place(path)}:{line} imports {module}"
        elif top in ONLY_IN and module != "pyarrow.fs":
            assert here in ONLY_IN[top], f"{place(path)}:{line} imports {module}"


@pytest.mark.parametrize("path", sorted(HOMES["phylon.search"].glob("*.py")), ids=place)
def test_search_needs_numbers_only(path: Path) -> None:
    numbers = {"numpy", "scipy", "sklearn", "moocore"}
    allowed = {"phylon", "typing_extensions", *numbers, *sys.stdlib_module_names}
    if path.name == "testing.py":
        allowed.add("pytest")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            tops = {module.partition(".")[0] for module, _ in imports(statement)}
            assert tops <= allowed, f"{place(path)}:{statement.lineno}"


def test_the_platform_folder_is_no_package() -> None:
    # With the repository first on sys.path it would stand in for the standard library's `platform`.
    assert not (ROOT / "platform" / "__init__.py").exists()


def tracked() -> list[Path]:
    """Return the files of the repository, relative to it."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    names = map(Path, filter(None, done.stdout.split("\0")))
    return [name for name in names if (ROOT / name).is_file()]


def test_the_wheel_holds_exactly_the_four_folders(tmp_path: Path) -> None:
    clone, wheels = tmp_path / "clone", tmp_path / "wheels"
    expected = set()
    for name in tracked():
        copy = clone / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
        for package, home in HOMES.items():
            if name.is_relative_to(home.relative_to(ROOT)):
                inner = name.relative_to(home.relative_to(ROOT))
                expected.add(f"{package.replace('.', '/')}/{inner.as_posix()}")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", wheels, clone],
        check=True,
        capture_output=True,
    )
    (wheel,) = wheels.glob("phylon-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert shipped == expected


@pytest.mark.parametrize(
    "code",
    [
        "import phylon; assert phylon.__version__",
        "import phylon.search",
        "import phylon.cluster, phylon.trainables",
        "from phylon.cli import main; main(['--help'])",
        "from phylon.cli import main; main(['run', '--help'])",
        "from phylon import Choice, SearchSpace; SearchSpace(act=Choice('relu', 'gelu'))",
    ],
)
def test_what_must_be_quick_imports_nothing_heavy(code: str) -> None:
    code = f"import sys\n{code}\nsys.exit(' '.join(sorted({HEAVY} & set(sys.modules))) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", SOURCES + BENCHMARKS, ids=place)
def test_nothing_grows_too_large(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE, f"{place(path)}: cut the file in two"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        where = f"{place(path)}:{node.lineno} {node.name}"
        assert _code_lines(node) <= MAX_FUNCTION, f"{where}: cut the function in two"
        if node.name == "__init__":
            names = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs][1:]
            assert len(names) <= MAX_CONSTRUCTOR, f"{where}: takes {len(names)}"


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function from `def` on, without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is None:
        return lines
    docstring = node.body[0]
    return lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


@pytest.mark.parametrize("package", ["phylon", "phylon.search", "phylon.cluster"])
def test_every_public_name_is_there(package: str) -> None:
    module = import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="has no attribute"):
        module.no_such_name  # noqa: B018


def test_every_name_of_trainables_is_there() -> None:
    module = import_module("phylon.trainables")
    for name in dir(module):
        assert getattr(module, name) is not None or name.startswith("__")


@pytest.mark.parametrize("command", cli.commands)
def test_the_readme_tells_of_every_command(command: str) -> None:
    assert f"phylon {command}" in (ROOT / "README.md").read_text(encoding="utf-8")
