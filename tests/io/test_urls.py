"""Places of URLs: one path for each, inside of the folder of the process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from iqsr.errors import UsageError
from iqsr.io.urls import is_url, place_of, shown, url_of
from support.commands import PATIENCE

PLACE = (
    "import sys; from iqsr.io.urls import place_of; place = place_of('memory://a/b'); place.parent.mkdir(parents=True)"
)


@pytest.mark.parametrize(
    "url", ["s3://bucket/a/two words #1.png", "gs://b", "memory://host/ü.png", "file:///tmp/a.png", "sftp://me@host/x"]
)
def test_a_place_stands_for_its_url(url: str) -> None:
    assert url_of(place_of(url)) == url
    assert shown(f"cannot read '{place_of(url)}': no") == f"cannot read '{url}': no" or url == "gs://b"


def test_a_slash_at_the_end_changes_nothing() -> None:
    assert place_of("s3://bucket/a/") == place_of("s3://bucket/a")
    assert place_of("memory:///a/b") == place_of("memory://a/b")


@pytest.mark.parametrize("url", ["s3://b/../../etc/passwd", "s3://b/a//c.png", "s3://../x", "s3://b/./a", "s3://b/a\0"])
def test_names_that_no_file_can_have_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be a file's"):
        place_of(url)


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        place_of("sftp://me:secret@host/a.png")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["photo.jpg", "C://photo.jpg", "s3:/bucket", "a/s3://b", ""])
def test_paths_are_no_urls(text: str) -> None:
    assert not is_url(text)
    assert url_of(Path(text)) is None


@pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")
def test_copies_of_processes_that_ended_are_removed_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    environment = os.environ | {"IQSR_CACHE": str(tmp_path)}
    waits = [sys.executable, "-c", f"{PLACE}; print(place, flush=True); sys.stdin.read()"]
    living, killed = (
        subprocess.Popen(waits, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    folders: list[Path] = []
    for process in (living, killed):
        assert process.stdout is not None
        folders.append(Path(process.stdout.readline().strip()).parents[2])
        os.utime(folders[-1] / ".lock", (0, 0))  # begun long ago
    killed.send_signal(signal.SIGKILL)
    killed.wait(PATIENCE)
    assert folders[1].is_dir()
    subprocess.run([sys.executable, "-c", PLACE], env=environment, check=True, timeout=PATIENCE)
    assert list((tmp_path / "remote").iterdir()) == [folders[0]]
    living.communicate("", PATIENCE)
    assert list((tmp_path / "remote").iterdir()) == []
