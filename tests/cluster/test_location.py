"""Places: folders and object stores look the same, and what is wrong with one is said."""

from __future__ import annotations

import pickle
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon.cluster.location import Location
from phylon.errors import ConfigurationError
from tests.cluster.store import Store, answering, free_port

NAMES = ["plain", "with space", "ü", "a+b", "a%20b", "a#b", "a?b", "a&b=c", "a:b", "-", ".hidden"]


@pytest.fixture(params=["folder", "file://", "s3://"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "s3://":
        store: Store = request.getfixturevalue("store")
        return store.location("a place")
    return Location(("file://" if request.param == "file://" else "") + str(tmp_path)) / "a place"


def test_what_is_written_is_there_until_it_is_deleted(place: Location) -> None:
    file = place / "folder" / "file"
    assert (place.exists(), file.exists(), place.names()) == (False, False, [])
    with pytest.raises(FileNotFoundError):
        file.read()
    file.write(b"first")
    file.write(b"second")
    assert file.read() == b"second"
    assert (place.names(), list(place.files())) == (["folder"], ["folder/file"])
    file.delete()
    file.delete()
    assert not file.exists()
    (place / "other").write(b"")
    place.delete()
    assert list(place.files()) == []
    place.delete()


def test_names_may_hold_anything(place: Location) -> None:
    for name in NAMES:
        (place / name / "1").write(name.encode())
    assert place.names() == sorted(NAMES)
    for name in NAMES:
        folder = place / name
        assert (folder.name, folder.parent, (folder / 1).read()) == (name, place, name.encode())
        assert Location(str(folder)) == folder
        assert (Location(str(folder)) / "1").read() == name.encode()


def test_it_travels_to_other_processes(place: Location) -> None:
    (place / "file").write(b"here")
    copy = pickle.loads(pickle.dumps(place / "file"))  # noqa: S301
    assert copy == place / "file"
    assert copy.read() == b"here"


def test_nobody_sees_half_a_file(place: Location) -> None:
    file = place / "file"
    contents = [letter * 3_000_000 for letter in (b"a", b"b")]
    file.write(contents[0])
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            for content in contents:
                file.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            assert file.read() in contents
    finally:
        over.set()
        writer.join()
    assert place.names() == ["file"]


@given(st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1))
def test_a_name_survives_the_uri(name: str) -> None:
    place = Location("s3://bucket/studies?region=us-east-1") / name
    assert place.name == name
    assert Location(str(place)).path == f"bucket/studies/{name}"
    assert "\n" not in str(place)


def test_folders_stay_the_paths_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(Location("studies")) == str(tmp_path / "studies")
    assert Location("file:///a%20b").local == Path("/a b")
    assert Location(tmp_path / "a%20b").local == tmp_path / "a%20b"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ftp://host/studies", "unknown scheme ftp://; allowed: a folder, file://, s3://"),
        ("hdfs://host/studies", "unknown scheme hdfs://"),
        ("s3://", "names no bucket; write s3://BUCKET/FOLDER"),
        ("s3:///studies", "names no bucket"),
        ("s3://bucket/a#b", "holds a #"),
        ("s3://key:secret@bucket/a", "holds credentials.*in the environment"),
        ("s3://bucket/a?region=x&secret_key=secret", "holds credentials.*in the environment"),
        ("abfs://box@host/a?client_secret=secret", "^`abfs://host` holds credentials"),
        ("file://host/a", "names the host host.*file:///FOLDER"),
    ],
)
def test_what_is_no_place_is_refused(uri: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        Location(uri)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("uri", ["s3://bu cket/a", "s3://bucket/a?nonsense=1", "gs://me@bucket/a"])
def test_a_uri_that_arrow_does_not_take_is_refused_when_it_is_used(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be opened: .*write it as"):
        Location(uri).names()


@pytest.mark.parametrize("uri", ["gs://anonymous@bucket/a", "abfs://box@me.dfs.core.windows.net/a"])
def test_other_stores_are_known(uri: str) -> None:
    assert Location(uri).path.endswith("/a")
    assert Location(uri).name == "a"


def test_a_place_that_can_be_used_passes_the_check(place: Location) -> None:
    place.check()
    assert list(place.files()) == []


def test_a_missing_bucket_is_named(store: Store) -> None:
    uri = str(store.location()).replace(store.bucket, "nobody")
    with pytest.raises(ConfigurationError, match=r"NO_SUCH_BUCKET.*this bucket does not exist"):
        Location(uri).check()


@pytest.mark.parametrize("scheme", ["s3://", "gs://anonymous@"])
def test_an_endpoint_that_does_not_answer_is_noticed_soon(scheme: str) -> None:
    uri = f"{scheme}bucket/a?endpoint_override=127.0.0.1:{free_port()}&scheme=http"
    began = time.monotonic()
    with pytest.raises(ConfigurationError, match=r"the store does not answer.*endpoint_override"):
        Location(uri + ("&region=us-east-1" if scheme == "s3://" else "")).check()
    assert time.monotonic() - began < 60


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="cannot be written: File exists; name another"):
        Location(tmp_path / "file").check()


def test_who_may_not_write_is_told_to_check_the_credentials(store: Store) -> None:
    with answering(403) as port:
        place = store.location(port=port)
        with pytest.raises(ConfigurationError, match=r"ACCESS_DENIED.*check your credentials"):
            place.check()
