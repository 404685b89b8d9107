"""phylon's own wheel, as Ray installs it on the nodes of a cluster."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import phylon.wheel
from phylon.wheel import write_wheel

ROOT = Path(__file__).parents[2]
HOMES = {
    "search": "phylon/search",
    "trainables": "phylon/trainables",
    "cluster": "phylon/cluster",
    "platform/phylon": "phylon",
}
CODE = """
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
import phylon, phylon.cluster, phylon.search, phylon.trainables
from phylon.wheel import write_wheel
for package in (phylon, phylon.cluster, phylon.search, phylon.trainables):
    assert Path(package.__file__).is_relative_to(sys.argv[1]), package
assert version("phylon") == phylon.__version__
assert entry_points(group="console_scripts")["phylon"].value == "phylon.cli:main"
print(write_wheel(Path(sys.argv[2])))
"""


def run(*command: str | Path, **env: str) -> str:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_installed_as_ray_does_it_and_begets_itself(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path)
    nodes, again = tmp_path / "nodes", tmp_path / "again"
    again.mkdir()
    # Ray's command; without an index it fails if the wheel names any dependency
    run(sys.executable, "-m", "pip", "install", wheel, f"--target={nodes}", "--no-index")
    copy = Path(run(sys.executable, "-c", CODE, nodes, again, PYTHONPATH=str(nodes)).strip())
    assert copy.name == wheel.name
    assert copy.read_bytes() == wheel.read_bytes()


def test_it_holds_the_four_folders(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    expected = set()
    for name in run(*listed, *HOMES).splitlines():
        home = next(home for home in HOMES if name.startswith(f"{home}/"))
        if (ROOT / name).is_file():
            expected.add(HOMES[home] + name.removeprefix(home))
    with zipfile.ZipFile(write_wheel(tmp_path)) as archive:
        assert archive.testzip() is None
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert shipped == expected
    assert {"phylon/py.typed", "phylon/template.yaml", "phylon/cluster/jobs.py"} <= shipped


def test_other_files_give_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ray takes wheels of one name for the same and goes on with the first
    before = write_wheel(tmp_path)
    files = phylon.wheel._package_files
    monkeypatch.setattr(
        phylon.wheel, "_package_files", lambda: [*files(), ("phylon/new.py", b"x = 1\n")]
    )
    after = write_wheel(tmp_path)
    assert after.name != before.name
    assert after.name.startswith("phylon-")
    assert after.name.endswith("-py3-none-any.whl")
