"""Files in stores: listed as those of a disk, copied once, sent whole."""

import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from iqsr.errors import PictureError, StoreError, UsageError, WriteError
from iqsr.images.find import find_pictures
from iqsr.io import remote, sending, stores
from iqsr.io.atomic import atomic_path, write_bytes
from iqsr.io.hashes import content_hash
from iqsr.io.remote import exists, fetch, fetch_all, files_below, held, kind_of, mark_of, matches
from iqsr.io.sending import move_folder, send_at_times
from iqsr.io.urls import place_of, shown
from support.stores import fails, forget_stores, memory_store, put

Store = Mapping[str, bytes]


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as content:
        yield content


@pytest.fixture(autouse=True)
def _fresh() -> None:
    """Nothing that an earlier test has listed or copied counts."""
    forget_stores()


def count_copies(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    copied, download = list[Path](), remote._download

    def counted(place: Path) -> None:
        copied.append(place)
        download(place)

    monkeypatch.setattr(remote, "_download", counted)
    return copied


# Listing


def test_a_folder_is_listed_as_on_a_disk(tmp_path: Path) -> None:
    names = [
        "b.png",
        "a/2.png",
        "a/1.png",
        "a/z/0.jpg",
        "a.png",
        "notes.txt",
        ".hidden.png",
        "@eaDir/b.png",
        "c/.d/1.png",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    below, by_url = find_pictures([tmp_path]), find_pictures([f"file://{tmp_path}/"])
    assert [relative for _, relative in by_url] == [relative for _, relative in below]
    assert [shown(str(path)) for path, _ in by_url] == [f"file://{path}" for path, _ in below]
    for pattern in ("*.png", "a/*", "**/*.png", "[ab]*", "a/?.png"):
        named = [relative for _, relative in find_pictures([f"file://{tmp_path}/{pattern}"])]
        assert sorted(named) == sorted(relative for _, relative in find_pictures([f"{tmp_path}/{pattern}"])), pattern


def test_results_below_the_inputs_are_left_out(store: Store) -> None:
    for name in ("in/a.png", "in/large/a.png"):
        put(name, b"x")
    found = find_pictures(["memory://in/"], exclude=place_of("memory://in/large"))
    assert [relative.as_posix() for _, relative in found] == ["a.png"]


def test_what_is_not_there_is_refused_in_one_line(store: Store) -> None:
    put("in/notes.txt", b"x")
    for url in ("memory://none/", "memory://in/a.png", "memory://in/*.png"):
        with pytest.raises(UsageError, match="no such picture, folder or pattern"):
            find_pictures([url])
    with pytest.raises(UsageError, match="no pictures in"):
        find_pictures(["memory://in/"])
    with pytest.raises(UsageError, match="without wildcards"):
        find_pictures(["memory://*/a.png"])


def test_pictures_whose_names_no_file_can_have_are_told(store: Store) -> None:
    for name in ("in/a.png", "in//b.png", "in/../../c.png", "in//notes.txt"):
        put(name, b"x")
    unread: list[OSError] = []
    assert len(find_pictures(["memory://in/"], on_unread=unread.append)) == 1
    assert sorted(error.filename for error in unread) == ["memory://in/../../c.png", "memory://in//b.png"]


def test_what_is_there_is_listed_once_and_results_are_added(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put("out/a.png", b"x")
    assert exists(place_of("memory://out/a.png"))
    assert not exists(place_of("memory://out/b.png"))
    write_bytes(place_of("memory://out/b.png"), b"y")
    fails(monkeypatch, "ls", ConnectionError("asked again"))
    assert exists(place_of("memory://out/b.png"))
    monkeypatch.setattr(remote, "_LISTING_SECONDS", -1)
    with pytest.raises(StoreError, match="asked again"):
        exists(place_of("memory://out/b.png"))


def test_kinds(store: Store) -> None:
    put("in/a.png", b"x")
    kinds = [kind_of(place_of(f"memory://{name}")) for name in ("in", "in/a.png", "in/b.png")]
    assert kinds == ["folder", "file", None]
    assert matches(place_of("memory://in/a*"))[1] == [place_of("memory://in/a.png")]


# Reading


def test_a_file_is_copied_once_and_again_when_it_has_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put("in/a.png", b"one")
    (place,) = files_below(place_of("memory://in"))
    copied = count_copies(monkeypatch)
    fetch(place)
    fetch(place)
    assert (place.read_bytes(), len(copied)) == (b"one", 1)
    put("in/a.png", b"two")
    files_below(place_of("memory://in"))
    fetch(place)
    assert (place.read_bytes(), len(copied)) == (b"two", 2)
    assert content_hash(place) == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"


def test_a_file_that_changed_since_it_was_listed_is_not_taken(store: Store) -> None:
    put("in/a.png", b"one")
    (place,) = files_below(place_of("memory://in"))
    put("in/a.png", b"two")
    with pytest.raises(PictureError, match="it has changed since it was listed; run again"):
        fetch(place)
    assert not place.exists()
    assert list(place.parent.iterdir()) == []


def test_a_file_that_is_gone_is_told_by_its_url(store: Store) -> None:
    with pytest.raises(PictureError) as error:
        fetch(place_of("memory://in/a.png"))
    assert shown(str(error.value)) == "cannot read 'memory://in/a.png': it is not there"


def test_copies_take_a_bounded_room_and_those_in_use_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_ROOM_BYTES", 250)
    for name in "abcde":
        put(f"in/{name}", bytes(100))
    a, *others = files_below(place_of("memory://in"))
    with held(a):
        for place in others:
            fetch(place)
        assert [place.name for place in (a, *others) if place.exists()] == ["a", "e"]
    fetch(others[0])
    assert [place.name for place in (a, *others) if place.exists()] == ["b", "e"]
    assert a.name == "a"
    fetch(a)
    assert a.read_bytes() == bytes(100)  # copied again


def test_files_that_are_copied_ahead_fill_half_of_the_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_ROOM_BYTES", 500)
    for name in "abcde":
        put(f"in/{name}", bytes(100))
    places = files_below(place_of("memory://in"))
    copied = count_copies(monkeypatch)
    fetch_all([Path("no-url.png"), *places])
    assert sorted(place.name for place in copied) == ["a", "b"]


def test_the_mark_changes_with_the_content_and_needs_no_copy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = count_copies(monkeypatch)
    put("in/a", b"one")
    (place,) = files_below(place_of("memory://in"))
    before = mark_of(place)
    files_below(place_of("memory://in"))
    assert mark_of(place) == before
    put("in/a", b"two")
    files_below(place_of("memory://in"))
    assert mark_of(place) not in (before, None)
    assert copied == []
    assert mark_of(Path("in/a")) is None


@pytest.mark.parametrize(
    ("info", "mark"),
    [
        ({"size": 3, "ETag": '"ab"', "LastModified": 1.0}, 'ETag "ab"'),
        ({"size": 3, "md5Hash": "q", "etag": "generation"}, "md5Hash q"),
        ({"size": None}, ""),
    ],
)
def test_what_says_the_most_of_the_content_is_the_mark(info: dict[str, Any], mark: str) -> None:
    assert stores.entry_of(info).mark == mark


# Writing


def test_a_file_appears_whole_or_not_at_all(store: Store) -> None:
    out = place_of("memory://out/a.bin")

    def broken() -> None:
        with atomic_path(out) as part:
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert list(store) == []
    with atomic_path(out) as part:
        part.write_bytes(b"whole")
        assert list(store) == []
    assert dict(store) == {"out/a.bin": b"whole"}
    assert list(out.parent.iterdir()) == []  # it takes no room here


def test_where_files_appear_while_they_are_written_another_name_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.local import LocalFileSystem

    (tmp_path / "a.bin").write_bytes(b"old")

    def broken(self: LocalFileSystem, source: str, target: str, **options: object) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:2])
        raise ConnectionError("the line is dead")

    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "put_file", broken)
        with pytest.raises(WriteError, match="the line is dead"):
            write_bytes(place_of(f"file://{tmp_path}/a.bin"), b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    write_bytes(place_of(f"file://{tmp_path}/a.bin"), b"new")
    write_bytes(place_of(f"file://{tmp_path}/deep/er/a.bin"), b"new")
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "deep/er/a.bin").read_bytes() == b"new"


def test_a_file_that_grows_is_sent_at_times(store: Store, tmp_path: Path) -> None:
    place = place_of("memory://out/done.jsonl")
    place.parent.mkdir(parents=True, exist_ok=True)
    for text, sent in (("1", b"1"), ("12", b"1")):
        place.write_text(text)
        send_at_times(place)
        assert store["out/done.jsonl"] == sent
    send_at_times(place, seconds=0)
    assert store["out/done.jsonl"] == b"12"


# What stores refuse


def test_a_right_that_is_missing_is_told_at_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("in/a.png", b"x")
    fails(monkeypatch, "put_file", PermissionError("Access Denied"))
    with pytest.raises(StoreError) as error:
        write_bytes(place_of("memory://out/a.bin"), b"x")
    expected = "cannot write 'memory://out/a.bin': you have no right to (Access Denied): check your credentials"
    assert shown(str(error.value)) == expected
    fails(monkeypatch, "get_file", PermissionError("Access Denied"))
    with pytest.raises(PictureError, match="no right"):  # others may be readable
        fetch(place_of("memory://in/a.png"))


def test_a_store_that_fails_three_times_in_a_row_ends_the_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put("in/a.png", b"x")
    place = place_of("memory://in/a.png")
    with monkeypatch.context() as patch:
        fails(patch, "get_file", TimeoutError("too slow\nand more"))
        for _ in range(2):
            with pytest.raises(PictureError, match=r"too slow; try again$"):
                fetch(place)
    fetch(place)  # it answers: counted from the start
    remote._copies.clear()
    fails(monkeypatch, "get_file", TimeoutError("too slow"))
    for _ in range(2):
        with pytest.raises(PictureError):
            fetch(place)
    with pytest.raises(StoreError, match="the store failed 3 times"):
        fetch(place)
    stores._unanswered = 0


def test_one_outage_that_meets_several_threads_counts_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(8)

    def lost(self: MemoryFileSystem, *arguments: object, **options: object) -> None:
        together.wait(60)
        raise ConnectionError("the line is dead")

    monkeypatch.setattr(MemoryFileSystem, "get_file", lost)
    places = [place_of(f"memory://in/{i}.png") for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        errors = [pool.submit(fetch, place).exception for place in places]
    assert [type(error()) for error in errors] == [PictureError] * 8
    fails(monkeypatch, "get_file", ConnectionError("the line is dead"))
    with pytest.raises(PictureError):
        fetch(places[0])
    with pytest.raises(StoreError, match="the store failed 3 times"):
        fetch(places[0])
    stores._unanswered = 0


class _LateStore(MemoryFileSystem):
    """Copies as Azure does: asked for one, it makes an empty file, which gets its content later, or never."""

    store: ClassVar[dict[str, Any]] = {}  # pyright: ignore[reportIncompatibleVariableOverride]
    pseudo_dirs: ClassVar[list[str]] = [""]
    seconds: ClassVar[float | None] = 0.2

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("az://"))

    def cp_file(self, path1: str, path2: str, **options: object) -> None:
        self.pipe_file(path2, b"")
        if self.seconds is not None:
            threading.Timer(self.seconds, super().cp_file, (path1, path2)).start()


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[_LateStore]:
    monkeypatch.setitem(_registry, "az", _LateStore)
    stores._file_system.cache_clear()
    _LateStore.store.clear()
    fs = _LateStore()
    fs.pipe_file("/b/old/deep/a.bin", b"content")
    yield fs
    stores._file_system.cache_clear()


def test_a_file_is_moved_only_when_the_copy_of_it_is_there(late: _LateStore) -> None:
    move_folder(place_of("az://b/old"), place_of("az://b/new"))
    time.sleep(1)  # whatever goes on has ended
    assert {name: file.getvalue() for name, file in late.store.items()} == {"/b/new/deep/a.bin": b"content"}


def test_a_file_whose_copy_never_ends_is_kept(late: _LateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_LateStore, "seconds", None)
    monkeypatch.setattr(sending, "_COPY_WAITS_SECONDS", (0.01, 0.01), raising=False)
    with pytest.raises(WriteError, match="the original is kept"):
        move_folder(place_of("az://b/old"), place_of("az://b/new"))
    assert late.store["/b/old/deep/a.bin"].getvalue() == b"content"


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)
    stores._file_system.cache_clear()
    with pytest.raises(UsageError, match=r"^s3:// needs a package that is not installed: pip install s3fs$"):
        kind_of(place_of("s3://bucket/a.png"))
    with pytest.raises(UsageError, match="cannot use nonsense:// URLs"):
        kind_of(place_of("nonsense://bucket/a.png"))
    with pytest.raises(UsageError, match="only read"):
        write_bytes_checked("https://host/a.png")


def write_bytes_checked(url: str) -> None:
    from iqsr.io.atomic import check_output_path

    check_output_path(place_of(url))


def test_paths_are_left_alone(tmp_path: Path) -> None:
    fetch(tmp_path / "none")
    with held(tmp_path / "none"):
        pass
    with pytest.raises(PictureError):
        content_hash(tmp_path / "none")


def test_the_line_that_copies_a_folder_of_any_store_does_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/deep/it's.png").write_bytes(b"x")
    here = f"local://{tmp_path}"  # a kind that has no program of its own
    for line in (stores.copy_line(f"{here}/in", "my copy"), stores.copy_line("my copy", f"{here}/back")):
        program, *rest = shlex.split(line)
        assert program == "python"
        subprocess.run([sys.executable, *rest], check=True)
    assert (tmp_path / "back/deep/it's.png").read_bytes() == b"x"


def test_the_line_that_copies_by_a_pattern_does_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.txt"):
        (tmp_path / "in" / name).write_bytes(b"x")
    _, *rest = shlex.split(stores.copy_line(f"local://{tmp_path}/in/*.png", "copied"))
    subprocess.run([sys.executable, *rest], check=True)
    assert sorted(path.name for path in (tmp_path / "copied").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("source", "target", "line"),
    [
        ("s3://b/a/", "a", "aws s3 cp --recursive s3://b/a/ a"),
        ("s3://b/a.csv", "a.csv", "aws s3 cp s3://b/a.csv a.csv"),
        ("a", "s3://b/two words", "aws s3 cp --recursive a 's3://b/two words'"),
        ("s3a://b/x/", "x", "aws s3 cp --recursive s3://b/x/ x"),
        ("x.csv", "s3a://b/x.csv", "aws s3 cp x.csv s3://b/x.csv"),
        ("s3://b/*.jpg", "b", "aws s3 cp --recursive --exclude '*' --include '*.jpg' s3://b b"),
        ("s3a://b/in/**/a?.png", "in", "aws s3 cp --recursive --exclude '*' --include '*a?.png' s3://b/in in"),
    ],
)
def test_the_line_that_copies_for_s3_is_of_aws(source: str, target: str, line: str) -> None:
    assert stores.copy_line(source, target) == line
