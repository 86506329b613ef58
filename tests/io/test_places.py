"""Names and links that lead out of a folder, and what is no file."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from iqsr.errors import IqsrError, PictureError, WriteError
from iqsr.io.atomic import append
from iqsr.io.hashes import content_hash
from iqsr.io.locks import FolderLock
from iqsr.io.places import check_leads_inside, is_file_name, place_below, read_whole
from support.hanging import no_hanging

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and pipes of Unix")


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    with no_hanging():
        yield


@pytest.mark.parametrize("name", ["a.png", "deep/a.png", "./a.png", "deep/../a.png", "..a/b..png", "x" * 5000])
def test_a_name_below_a_folder_has_its_place_there(name: str) -> None:
    assert place_below(Path("out"), name) == Path("out") / os.path.normpath(name)


@pytest.mark.parametrize("name", ["../a.png", "deep/../../a.png", "/etc/a.png", "..", ".", "", "a/../..", "//a/b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    with pytest.raises(IqsrError, match="leads out of 'out'"):
        place_below(Path("out"), name)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a\\b", "a\0b"])
def test_what_is_no_name_of_a_file(name: str) -> None:
    assert not is_file_name(name)
    assert is_file_name("r01-001")


def test_links_inside_a_folder_and_to_the_folder_are_fine_and_others_are_refused(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "a").touch()
    (folder / "b").symlink_to("a")
    (tmp_path / "also").symlink_to(folder)
    for fine in ("folder/a", "folder/b", "folder/missing"):
        check_leads_inside(tmp_path / fine, folder)
    check_leads_inside(tmp_path / "also" / "b", tmp_path / "also")
    (folder / "out").symlink_to(elsewhere)
    (folder / "file").symlink_to("/etc/hostname")
    for out in ("out", "out/x", "file"):
        with pytest.raises(IqsrError, match=r"leads out of .*put the file itself there"):
            check_leads_inside(folder / out, folder)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(OSError, match="not a file"):
            read_whole(tmp_path / name)
        with pytest.raises(PictureError, match="not a file"):
            content_hash(tmp_path / name)
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    assert read_whole(tmp_path / "link") == b"text"


def test_nothing_is_appended_through_a_link_or_to_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"mine")
    (tmp_path / "log").symlink_to("other")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("log", "dangling"):
        with pytest.raises(WriteError, match=f"cannot write '.*{name}': it is a link to another file: remove it"):
            append(tmp_path / name, b"line\n")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WriteError, match="cannot write"):
        append(tmp_path / "pipe", b"line\n")
    assert (tmp_path / "other").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_lock_does_not_empty_the_file_that_a_link_leads_to(tmp_path: Path) -> None:
    """A lock file is emptied and written anew."""
    (tmp_path / "precious").write_bytes(b"mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.lock").symlink_to("../precious")
    with pytest.raises(OSError, match="link to another file"):
        FolderLock(tmp_path / "run", "iqsr train")
    assert (tmp_path / "precious").read_bytes() == b"mine"
