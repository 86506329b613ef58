"""`iqsr prepare` on photos in stores, and data sets that are made there: what comes out is what comes out on a disk."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from iqsr.io.urls import place_of
from iqsr.preparation import PatchRecipe, PrepareRecipe, UnsharpEnhancer, prepare
from support.cli_pictures import IQSR
from support.commands import PATIENCE, Run
from support.prepare_samples import tree
from support.stores import fails, forget_stores, memory_store, put, put_folder

Store = Mapping[str, bytes]
RECIPE = PrepareRecipe(patches=PatchRecipe(crop=128, step=96), enhancers=(UnsharpEnhancer(),))
SETTINGS = (
    "--set=patches.crop=128",
    "--set=patches.step=96",
    '--set=enhancers=[{kind="unsharp"}]',
    "--device",
    "cpu",
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def alone(five_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The data set of the five photos, made on a disk in one go."""
    out = tmp_path_factory.mktemp("alone") / "sets"
    prepare([five_photos], out, RECIPE)
    return facts(tree(out))


@pytest.fixture
def store(five_photos: Path) -> Iterator[Store]:
    """`memory://in` with five photos."""
    with memory_store() as content:
        put_folder(five_photos, "in")
        yield content


def facts(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """What a data set says, by the names of its files: all but the lock, and how its photos were known again."""
    found = {name: data for name, data in files.items() if not name.endswith("lock")}
    for name in found:
        if name.startswith(".prepare/photos/"):
            record = json.loads(found[name])
            record.pop("mark", None)
            found[name] = json.dumps(record).encode()
    return found


def below(store: Store, top: str) -> dict[str, bytes]:
    return facts({name.removeprefix(f"{top}/"): store[name] for name in store if name.startswith(f"{top}/")})


def count_calls(monkeypatch: pytest.MonkeyPatch, method: str) -> list[str]:
    """The list that will hold the name with which each call of a method of `memory://` begins."""
    called, work = list[str](), getattr(MemoryFileSystem, method)

    def counted(self: MemoryFileSystem, name: str, *arguments: Any, **options: Any) -> object:
        called.append(name)
        return work(self, name, *arguments, **options)

    monkeypatch.setattr(MemoryFileSystem, method, counted)
    return called


def test_sets_are_those_of_a_disk_and_a_second_run_copies_no_photo(
    iqsr: Run, store: Store, alone: dict[str, bytes], five_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = iqsr("prepare", "memory://in/", "-o", "memory://out/sets", *SETTINGS)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("memory://out/sets: ")
    assert below(store, "out/sets") == alone
    assert iqsr("prepare", "memory://in/", "-o", "sets", *SETTINGS).code == 0
    assert facts(tree(Path("sets"))) == alone
    assert iqsr("prepare", str(five_photos), "-o", "memory://other", *SETTINGS).code == 0
    assert below(store, "other") == alone
    before = dict(store)
    forget_stores()
    called = count_calls(monkeypatch, "get_file")
    assert iqsr("prepare", "memory://in/", "-o", "memory://out/sets", *SETTINGS).code == 0
    assert dict(store) == before
    assert [name for name in called if name.startswith("/in/")] == []


def test_photos_can_be_added_later(store: Store, alone: dict[str, bytes]) -> None:
    photo = store["in/astronaut.png"]
    MemoryFileSystem.store.pop("/in/astronaut.png")
    prepare(["memory://in/"], "memory://sets", RECIPE)
    assert below(store, "sets").keys() != alone.keys()
    put("in/astronaut.png", photo)
    prepare(["memory://in/"], "memory://sets", RECIPE)
    assert below(store, "sets") == alone


def test_a_photo_that_was_replaced_is_told(iqsr: Run, store: Store) -> None:
    assert iqsr("prepare", "memory://in/", "-o", "memory://sets", *SETTINGS).code == 0
    put("in/wall.png", store["in/wall.png"])  # sent again, with the same content
    assert iqsr("prepare", "memory://in/", "-o", "memory://sets", *SETTINGS).code == 0
    put("in/wall.png", store["in/narrow.png"])
    ended = iqsr("prepare", "memory://in/", "-o", "memory://sets", *SETTINGS)
    said = "'memory://in/wall.png' has changed since 'memory://sets' was prepared; choose another folder"
    assert (ended.code, ended.err) == (2, f"iqsr: {said}\n")


def test_a_photo_that_was_sent_again_is_copied_once_more_and_can_be_merged(
    iqsr: Run, store: Store, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("prepare", "memory://in/", "-o", "memory://sets/all", *SETTINGS, "--shard", "1/1")
    assert iqsr(*command).code == 0
    put("in/wall.png", store["in/wall.png"])
    called = count_calls(monkeypatch, "get_file")
    for copied in (["/in/wall.png"], []):
        forget_stores()
        called.clear()
        assert iqsr(*command).code == 0
        assert [name for name in called if name.startswith("/in/")] == copied
    ended = iqsr("merge-shards", "memory://sets/all.shards/", "-o", "joined")
    assert ended.code == 0, ended.err
    assert facts(tree(Path("joined"))) == alone


def test_a_photo_that_always_fails_moves_no_pictures_in_a_store(
    store: Store, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("in/bad.png", b"no picture")
    assert prepare(["memory://in/"], "memory://sets", RECIPE).failed == 1
    before = dict(store)
    moved, removed = count_calls(monkeypatch, "cp_file"), count_calls(monkeypatch, "rm_file")
    assert prepare(["memory://in/"], "memory://sets", RECIPE).failed == 1
    assert (moved, removed, dict(store)) == ([], [], before)
    assert below(store, "sets") == alone


@pytest.mark.parametrize(
    ("method", "calls"),
    [("put_file", 0), ("put_file", 9), ("cp_file", 0), ("cp_file", 5), ("rm_file", 1), ("rm_file", 4)],
)
def test_a_stop_at_any_step_leaves_what_the_next_run_completes(
    store: Store, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, method: str, calls: int
) -> None:
    class Stopped(BaseException):
        pass

    left, work = [calls], getattr(MemoryFileSystem, method)

    def stops(self: MemoryFileSystem, *arguments: Any, **options: Any) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise Stopped
        return work(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, method, stops)
        with pytest.raises(Stopped):
            prepare(["memory://in/"], "memory://sets", RECIPE)
    records = [json.loads(store[name]) for name in store if name.startswith("sets/.prepare/photos/")]
    pictures = {Path(name).name for name in store if name.startswith("sets/") and name.endswith(".png")}
    for record in records:  # its pictures were there before it
        named = {f"{record['image']}-{row}-{column}" for row, column in record["sets"]}
        assert len({name for name in pictures if name.startswith(f"{record['image']}")}) >= 2 * len(named)
    forget_stores()
    prepare(["memory://in/"], "memory://sets", RECIPE)
    assert below(store, "sets") == alone


def test_shards_in_a_store_make_what_one_run_makes(iqsr: Run, store: Store, alone: dict[str, bytes]) -> None:
    command = ("prepare", "memory://in/", "-o", "memory://out/sets", *SETTINGS)
    for number in (3, 2, 1):
        assert iqsr(*command, "--shard", f"{number}/3").code == 0
    before = dict(store)
    assert iqsr(*command, "--shard", "1/3").code == 0
    assert dict(store) == before
    for out in ("memory://out/sets", "memory://out/sets", "joined"):  # a second time changes nothing
        ended = iqsr("merge-shards", "memory://out/sets.shards/", "-o", out)
        assert ended.code == 0, ended.err
        assert ended.out.startswith(f"{out}: ")
    assert below(store, "out/sets") == facts(tree(Path("joined"))) == alone


def test_shards_of_a_disk_are_joined_in_a_store_after_a_stop(
    iqsr: Run, store: Store, alone: dict[str, bytes], five_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        assert iqsr("prepare", str(five_photos), "-o", "sets", *SETTINGS, "--shard", f"{number}/2").code == 0
    merge = ("merge-shards", "sets.shards", "-o", "memory://sets")
    with monkeypatch.context() as patch:
        put_file, left = MemoryFileSystem.put_file, [20]

        def refused(self: MemoryFileSystem, *arguments: Any, **options: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise PermissionError("Access Denied")
            put_file(self, *arguments, **options)

        patch.setattr(MemoryFileSystem, "put_file", refused)
        ended = iqsr(*merge)
        assert ended.code == 1
        assert "you have no right to (Access Denied): check your credentials" in ended.err
    assert any(name.endswith(".png") for name in below(store, "sets"))
    assert iqsr(*merge).code == 0
    assert below(store, "sets") == alone


def test_a_store_that_takes_nothing_ends_the_work_at_the_first_photo(
    iqsr: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file, called = MemoryFileSystem.put_file, list[str]()

    def refused(self: MemoryFileSystem, source: str, target: str, **options: Any) -> None:
        called.append(target)
        if target.endswith(".png"):
            raise PermissionError("Access Denied")
        put_file(self, source, target, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", refused)
    ended = iqsr("prepare", "memory://in/", "-o", "memory://sets", *SETTINGS)
    assert ended.code == 1
    assert ended.err.splitlines()[-1].endswith("you have no right to (Access Denied): check your credentials")
    assert {Path(name).name.split("-")[0] for name in called if name.endswith(".png")} == {"astronaut"}


def test_a_store_that_is_lost_ends_the_work(iqsr: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, "get_file", ConnectionError("the line is dead"))
    ended = iqsr("prepare", "memory://in/", "-o", "sets", *SETTINGS)
    assert ended.code == 1
    assert ended.err.splitlines()[-1].endswith("the line is dead; the store failed 3 times: try again later")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("memory://in/", "-o", "memory://in"), "'memory://in' has files that `iqsr prepare` did not make"),
        (("memory://in/", "-o", "memory://in/wall.png"), "'memory://in/wall.png' is a file; name a folder"),
        (("memory://in/", "-o", "https://host/sets"), "such a URL is only read"),
        (("memory://in/", "-o", "s3://b", "--shard", "1/2"), "beside OUT: name a folder in 's3://b'"),
        (("memory://none/", "-o", "sets"), "no such picture, folder or pattern: 'memory://none/'"),
        (("memory://in/", "-o", "memory://made"), "'memory://made' was prepared with another recipe"),
    ],
)
def test_folders_of_no_use_are_refused_in_one_line(
    iqsr: Run, store: Store, arguments: tuple[str, ...], said: str
) -> None:
    if "memory://made" in arguments:
        prepare(["memory://in/wall.png", "memory://in/cat-1.jpg"], "memory://made", RECIPE)
    before = dict(store)
    ended = iqsr("prepare", *arguments, *SETTINGS, "--set=seed=7")
    assert (ended.code, said in ended.err, ended.err.count("\n")) == (2, True, 1), ended.err
    assert dict(store) == before


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
def test_workers_go_on_after_many_photos_that_cannot_be_copied(tmp_path: Path, five_photos: Path) -> None:
    """More in a row than two workers have at once."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(11):
        (photos / f"a{number:02}.png").symlink_to("gone")
    for name in ("b", "c", "d"):
        shutil.copy(five_photos / "astronaut.png", photos / f"{name}.png")
    summary = prepare([f"file://{photos}/"], Path("sets"), RECIPE, workers=2)
    assert (summary.photos, summary.failed) == (3, 11)


@pytest.mark.slow
def test_run_shards_and_workers_make_what_one_run_makes(
    iqsr: Run, tmp_path: Path, alone: dict[str, bytes], five_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as here: with more threads, scores differ in the last digits
    command = ("prepare", f"file://{five_photos}/", "-o", f"file://{tmp_path}/out/sets", *SETTINGS, "--workers", "2")
    ended = iqsr("run-shards", "--shards", "2", *command)
    assert ended.code == 0, ended.err
    assert f"file://{tmp_path}/out/sets: " in ended.out
    assert facts(tree(Path("out/sets"))) == alone
    own = place_of("memory://host/name").parents[2]  # of this process: the shards' copies vanished with them
    assert {folder.resolve() for folder in Path("cache/remote").glob("*")} <= {own}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")
def test_a_run_that_is_killed_goes_on(iqsr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as here: with more threads, scores differ in the last digits
    for number in range(12):
        photo = Image.effect_noise((200, 160 + number), 90).convert("RGB")
        Path("many").mkdir(exist_ok=True)
        photo.save(f"many/{number:02}.png")
    prepare(["many"], "alone", RECIPE)
    command = [*IQSR, "prepare", f"file://{tmp_path}/many", "-o", f"file://{tmp_path}/sets", *SETTINGS]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE
    while not any(Path("sets").glob(".prepare/photos/*.json")) and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert subprocess.run(command, stdout=subprocess.DEVNULL, timeout=PATIENCE).returncode == 0
    assert facts(tree(Path("sets"))) == facts(tree(Path("alone")))
