"""`iqsr agree` on pairs in stores: the figures are those of a disk."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from os import PathLike
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from iqsr.agreement.pairs import read_pairs
from iqsr.errors import StoreError, UsageError
from iqsr.io import remote
from iqsr.io.urls import place_of
from support.agreement_samples import save_noise
from support.commands import Run
from support.prepare_samples import tree
from support.stores import fails, forget_stores, memory_store, put, put_folder

Store = Mapping[str, bytes]
AGREE = ("-m", "laplacian,psnr", "--device", "cpu", "--no-cache")
PAIRS = (
    "first,second,share_first,reference\n"
    "in/0.png,in/1.png,0.1,../0.png\n"
    "in/2.png,in/1.png,0.8,../0.png\n"
    "in/3.png,in/2.png,0.3,../0.png\n"
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))
    Path("data/votes/in").mkdir(parents=True)
    for number in range(4):
        save_noise(f"data/votes/in/{number}.png", 5 + 10 * number)
    save_noise("data/0.png", 2)
    Path("data/votes/pairs.csv").write_text(PAIRS)


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as content:
        put_folder(Path("data"), "data")
        yield content


@pytest.fixture
def alone(iqsr: Run) -> dict[str, bytes]:
    """What the command writes on a disk."""
    assert iqsr("agree", "data/votes/pairs.csv", *AGREE, "-o", "alone").code == 0
    return tables(tree(Path("alone")))


def tables(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files, without the name of the file of pairs."""
    found = dict(files)
    document = json.loads(found["agreement.json"])
    del document["origin"]["source"]
    found["agreement.json"] = json.dumps(document).encode()
    return found


def below(store: Store, top: str) -> dict[str, bytes]:
    return tables({name.removeprefix(f"{top}/"): store[name] for name in store if name.startswith(f"{top}/")})


def test_figures_are_those_of_a_disk(iqsr: Run, store: Store, alone: dict[str, bytes]) -> None:
    ended = iqsr("agree", "memory://data/votes/pairs.csv", *AGREE, "-o", "memory://out/all")
    assert ended.code == 0, ended.err
    assert below(store, "out/all") == alone
    assert "wrote memory://out/all/accuracy.csv" in ended.err
    assert str(Path.cwd()) not in ended.out + ended.err
    assert json.loads(store["out/all/agreement.json"])["origin"]["source"] == "memory://data/votes/pairs.csv"
    again = iqsr("agree", "memory://data/votes/pairs.csv", *AGREE, "-o", "memory://out/all")
    assert (again.code, "use --overwrite" in again.err) == (2, True)


def test_a_file_here_may_name_urls(iqsr: Run, store: Store, alone: dict[str, bytes]) -> None:
    lines = PAIRS.replace("in/", "memory://data/votes/in/").replace("../", "memory://data/")
    Path("here.csv").write_text(lines)
    assert iqsr("agree", "here.csv", *AGREE, "-o", "made").code == 0
    made = tables(tree(Path("made")))
    for files in (made, alone):
        document = json.loads(files["agreement.json"])
        del document["origin"]["sha256"]  # of the file of pairs
        files["agreement.json"] = json.dumps(document).encode()
    assert made == alone


def test_shards_in_a_store_make_what_one_run_makes(iqsr: Run, store: Store, alone: dict[str, bytes]) -> None:
    for number in (2, 1):
        forget_stores()
        shard = ("-o", "memory://out/all", "--shard", f"{number}/2")
        ended = iqsr("agree", "memory://data/votes/pairs.csv", *AGREE, *shard)
        assert ended.code == 0, ended.err
    assert iqsr("merge-shards", "memory://out/all.shards", "-o", "memory://out/all").code == 0
    assert iqsr("merge-shards", "memory://out/all.shards", "-o", "joined").code == 0
    assert below(store, "out/all") == tables(tree(Path("joined"))) == alone


def test_a_shard_copies_its_own_pictures_only(iqsr: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    copied, download = list[str](), remote._download

    def counted(place: Path) -> None:
        copied.append(place.name)
        download(place)

    monkeypatch.setattr(remote, "_download", counted)
    command = ("agree", "memory://data/votes/pairs.csv", "-m", "laplacian", "--device", "cpu", "--no-cache")
    for number in range(1, 9):
        copied.clear()
        forget_stores()
        assert iqsr(*command, "-o", "memory://out/all", "--shard", f"{number}/8").code == 0
        manifest = json.loads(store[f"out/all.shards/{number}-of-8/shard.json"])
        own = {name for unit in manifest["done"] for name in unit["name"].split(", ")}
        assert {name for name in copied if name.endswith(".png")} == own


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("in/9.png,in/1.png,0.1,", "first is not a file: line 2 ('in/9.png')"),
        ("memory://none/9.png,in/1.png,0.1,", "first is not a file: line 2 ('memory://none/9.png')"),
        ("in,in/1.png,0.1,", "first is not a file: line 2 ('in')"),
        ("../../../9.png,in/1.png,0.1,", "'../../../9.png' leads out of 'memory://data'"),
        ("s3://b/../9.png,in/1.png,0.1,", "cannot be a file's"),
        ("in/1.png,memory://data/votes/in/1.png,0.1,", "a picture is compared with itself: line 2"),
    ],
)
def test_pictures_that_are_not_there_are_told_with_the_line(iqsr: Run, store: Store, text: str, said: str) -> None:
    put("data/votes/pairs.csv", f"first,second,share_first,reference\n{text}\n".encode())
    ended = iqsr("agree", "memory://data/votes/pairs.csv", "-m", "laplacian", "--no-cache")
    assert (ended.code, said in ended.err, ended.err.count("\n")) == (2, True, 1), ended.err


def test_a_file_of_pairs_that_is_not_there_is_told(iqsr: Run, store: Store) -> None:
    ended = iqsr("agree", "memory://data/none.csv", *AGREE)
    assert (ended.code, ended.err) == (2, "iqsr: cannot read 'memory://data/none.csv': no such file\n")


def test_a_store_that_is_lost_ends_the_work(iqsr: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, "info", ConnectionError("the line is dead"))
    ended = iqsr("agree", "memory://data/votes/pairs.csv", *AGREE, "-o", "made")
    assert (ended.code, "the line is dead" in ended.err) == (1, True)
    assert not Path("made").exists()


def test_a_store_that_is_lost_while_it_lists_ends_the_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put("data/votes/many.csv", many_pairs(12).encode())
    fails(monkeypatch, "ls", ConnectionError("the line is dead"))
    with pytest.raises(StoreError, match="the line is dead"):
        read_pairs(place_of("memory://data/votes/many.csv"))


@pytest.mark.parametrize("number", [3, 12])
def test_a_user_may_read_pictures_and_not_list_them(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    for i in range(number):
        put(f"data/votes/many/{i}.png", b"x")
    put("data/votes/many.csv", many_pairs(number).encode())
    fails(monkeypatch, "ls", PermissionError("Access Denied"))
    pairs = read_pairs(place_of("memory://data/votes/many.csv"))
    assert [file.name for file in pairs.first] == [f"{i}.png" for i in range(number - 1)]
    put("data/votes/many.csv", many_pairs(number + 1).encode())
    with pytest.raises(UsageError, match=rf"second is not a file: line {number + 1} \('many/{number}\.png'\)"):
        read_pairs(place_of("memory://data/votes/many.csv"))


def test_a_folder_of_many_pictures_is_listed_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(12):
        put(f"data/votes/many/{i}.png", b"x")
    put("data/votes/many.csv", many_pairs(12).encode())
    listed, list_files = list[str](), MemoryFileSystem.ls

    def counted(self: MemoryFileSystem, path: str, **options: Any) -> Any:
        listed.append(path)
        return list_files(self, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "ls", counted)
    assert len(read_pairs(place_of("memory://data/votes/many.csv"))) == 11
    assert len(listed) == 2  # one for each column


def many_pairs(number: int) -> str:
    """Lines for so many pictures: each with the next."""
    rows = [f"many/{i}.png,many/{i + 1}.png,0.1\n" for i in range(number - 1)]
    return "".join(["first,second,share_first\n", *rows])


class _Unlisted(SimpleHTTPRequestHandler):
    """Serves files; a folder is not there, as on most web servers."""

    status = 404

    def list_directory(self, path: str | PathLike[str]) -> None:
        self.send_error(self.status)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.mark.parametrize("status", [404, 403])
def test_pictures_are_read_from_a_web_server_that_lists_nothing(
    iqsr: Run, alone: dict[str, bytes], status: int
) -> None:
    handler = type("Handler", (_Unlisted,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory="data")) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        lines = PAIRS.replace("in/", f"{url}/votes/in/").replace("../", f"{url}/")
        Path("web.csv").write_text(lines)
        ended = iqsr("agree", "web.csv", *AGREE, "-o", "made")
        Path("gone.csv").write_text(lines.replace("in/3.png", "in/9.png"))
        gone = iqsr("agree", "gone.csv", *AGREE)
        server.shutdown()
    assert ended.code == 0, ended.err
    assert Path("made/accuracy.csv").read_bytes() == alone["accuracy.csv"]
    assert (gone.code, f"first is not a file: line 4 ('{url}/votes/in/9.png')" in gone.err) == (2, True), gone.err
