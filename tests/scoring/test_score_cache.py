"""The score cache: what it keeps, what makes a score stale, and what a damaged file or a kill does to it."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iqsr.errors import IqsrError, PictureError, UnknownNameError
from iqsr.metrics import metric_names
from iqsr.scoring.cache import (
    CacheKey,
    ScoreCache,
    content_hash,
    default_cache,
    meaning,
    metric_fingerprint,
)
from iqsr.scoring.metric_set import MetricSet
from support.commands import PATIENCE

A = CacheKey("picture-a", "", "laplacian", "f1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "scores.sqlite"


def test_what_was_put_is_there_in_the_next_process(path: Path) -> None:
    values = {A: 1 / 3, CacheKey("picture-a", "original", "psnr", "f1"): 27.5}
    with ScoreCache(path) as cache:
        cache.put(values)
    with ScoreCache(path) as cache:
        assert cache.get([*values, CacheKey("picture-b", "", "laplacian", "f1")]) == values
        assert len(cache) == 2


@pytest.mark.parametrize(
    "other",
    [
        CacheKey("picture-b", "", "laplacian", "f1"),
        CacheKey("picture-a", "original", "laplacian", "f1"),
        CacheKey("picture-a", "", "piqe", "f1"),
        CacheKey("picture-a", "", "laplacian", "f2"),
    ],
)
def test_every_part_of_a_key_counts(path: Path, other: CacheKey) -> None:
    with ScoreCache(path) as cache:
        cache.put({A: 1.0})
        assert cache.get([other]) == {}
        cache.put({other: 2.0})
        assert cache.get([A, other]) == {A: 1.0, other: 2.0}


def test_a_picture_that_is_also_an_original_is_not_mixed_up(path: Path) -> None:
    there, back = CacheKey("x", "y", "stlpips", "f"), CacheKey("y", "x", "stlpips", "f")
    with ScoreCache(path) as cache:
        cache.put({there: 1.0, back: 2.0})
        assert cache.get([back, there]) == {there: 1.0, back: 2.0}


def test_a_score_that_comes_again_replaces_the_old_one(path: Path) -> None:
    with ScoreCache(path) as cache:
        cache.put({A: 1.0})
        cache.put({A: 2.0})
        assert cache.get([A]) == {A: 2.0}
        assert len(cache) == 1


def test_keys_may_be_asked_for_twice_and_in_large_numbers(path: Path) -> None:
    many = {CacheKey(f"p{i}", "", "laplacian", "f"): float(i) for i in range(5000)}
    with ScoreCache(path) as cache:
        cache.put(many)
        assert cache.get([*many, *many]) == many
        assert cache.get([]) == {}


def test_nan_is_no_score_and_nothing_of_its_transaction_stays(path: Path) -> None:
    with ScoreCache(path) as cache:
        with pytest.raises(ValueError, match="NaN is not a score"):
            cache.put({A: 1.0, CacheKey("b", "", "piqe", "f"): float("nan")})
        assert len(cache) == 0


# Files that are no caches


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000))
    before = photo.read_bytes()
    with pytest.raises(IqsrError, match=r"^'.*photo\.png' is not a score cache.* use another file .*$"):
        ScoreCache(photo)
    assert photo.read_bytes() == before


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE scores (mine TEXT)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(IqsrError, match="is a database of something else"):
        ScoreCache(other)
    assert other.read_bytes() == before


def test_a_damaged_cache_is_one_line(path: Path) -> None:
    many = {CacheKey(f"p{i}", "", "laplacian", "f"): float(i) for i in range(5000)}
    with ScoreCache(path) as cache:
        cache.put(many)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)  # all but the first page
    path.write_bytes(content)
    with (
        pytest.raises(IqsrError, match=r"^the score cache '.*' is damaged \(.*\); delete it.*$"),
        ScoreCache(path) as c,
    ):
        c.get(list(many))


def test_a_cache_of_a_newer_version_is_one_line(path: Path) -> None:
    ScoreCache(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(IqsrError, match="made by a newer iqsr"):
        ScoreCache(path)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IqsrError, match=r"^cannot use the score cache '.*file/scores\.sqlite'.*--no-cache"):
        ScoreCache(tmp_path / "file" / "scores.sqlite")
    with pytest.raises(IqsrError, match="cannot use the score cache"):
        ScoreCache(tmp_path)


# Processes

_WRITER = """
import sys
import time
from pathlib import Path
from iqsr.scoring.cache import CacheKey, ScoreCache
mine, path = sys.argv[1], Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for i in range(60):
    with ScoreCache(path) as cache:
        keys = [CacheKey(f"{whose}{i}", "", "piqe", "f") for whose in ("shared", mine)]
        cache.put(dict.fromkeys(keys, float(i)))
        assert len(cache.get(keys)) == 2
"""


def test_two_processes_share_one_cache(path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, name, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    assert [writer.wait(timeout=PATIENCE) for writer in writers] == [0, 0]
    for writer in writers:
        writer.communicate()
    with ScoreCache(path) as cache:
        assert len(cache) == 180
        assert cache.get([CacheKey("shared59", "", "piqe", "f")]) == {CacheKey("shared59", "", "piqe", "f"): 59.0}


_KILLED = """
import sys
import time
from pathlib import Path
from iqsr.scoring.cache import CacheKey, ScoreCache
cache = ScoreCache(Path(sys.argv[1]))
cache.put({CacheKey(f"p{i}", "", "piqe", "f"): float(i) for i in range(100)})
cache._connection.execute("BEGIN IMMEDIATE")
cache._connection.execute("DELETE FROM scores")
print("amid", flush=True)
sys.stdin.readline()
"""


def test_a_kill_amid_a_transaction_leaves_what_was_before_it(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"amid\n"
        writer.kill()
        assert writer.wait(timeout=PATIENCE) == -signal.SIGKILL
    with ScoreCache(path) as cache:
        assert len(cache) == 100
        cache.put({A: 1.0})
        assert len(cache) == 101


# Hashes and fingerprints


def test_content_counts_and_names_do_not(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"abc")
    b.write_bytes(b"abc")
    # FIPS 180-4, the one-block example
    assert content_hash(a) == content_hash(b) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    a.write_bytes(b"abd")
    assert content_hash(a) != content_hash(b)


@pytest.mark.parametrize("how", ["in place", "moved there"])
def test_content_of_the_same_size_and_time_is_other_content(how: str, tmp_path: Path) -> None:
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    path.write_bytes(b"abc")
    before = path.stat()
    assert content_hash(path) == hashlib.sha256(b"abc").hexdigest()
    time.sleep(0.05)  # file systems tell times apart that are a clock's tick apart
    (path if how == "in place" else other).write_bytes(b"xyz")
    if how == "moved there":
        other.replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as rsync and tar do
    assert content_hash(path) == hashlib.sha256(b"xyz").hexdigest()


def test_no_file_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"cannot read '.*gone\.png': No such file"):
        content_hash(tmp_path / "gone.png")


def test_every_metric_has_a_fingerprint_of_its_own() -> None:
    names = metric_names()
    assert len({metric_fingerprint(name) for name in names}) == len(names) >= 42


def test_precision_is_part_of_the_fingerprint_and_an_alias_is_not() -> None:
    assert metric_fingerprint("stlpips", precision="bf16") != metric_fingerprint("stlpips")
    assert metric_fingerprint("lpips_st") == metric_fingerprint("stlpips")


@pytest.mark.parametrize(
    ("metric", "file"),
    [("musiq", "musiq-koniq.npz"), ("musiq-ava", "musiq-ava.npz"), ("musiq-paq2piq", "musiq-paq2piq.pth")],
)
def test_the_file_that_is_loaded_is_part_of_the_fingerprint(weights_folder: Path, metric: str, file: str) -> None:
    """Google publishes no hashes: what is taken for its file counts, not what is listed under the name."""
    found = [metric_fingerprint(metric)]
    weights_folder.mkdir()
    for content in (b"one", b"another"):
        (weights_folder / file).write_bytes(content)
        found.append(metric_fingerprint(metric))
    assert len(set(found)) == 3
    (weights_folder / file).unlink()
    assert metric_fingerprint(metric) == found[0]


def test_a_file_that_is_not_loaded_is_no_part_of_the_fingerprint(weights_folder: Path) -> None:
    before = [metric_fingerprint(name) for name in ("musiq-spaq", "lpips")]
    weights_folder.mkdir()
    for name in ("musiq-ava.npz", "alexnet-imagenet.npz"):
        (weights_folder / name).write_bytes(b"another's")
    assert [metric_fingerprint(name) for name in ("musiq-spaq", "lpips")] == before


def test_a_run_keeps_the_fingerprint_that_it_began_with(weights_folder: Path) -> None:
    """The network stays in memory when its file is replaced: what it says is not the new file's score."""
    metric_set = MetricSet(["musiq-ava"])
    before = metric_set.fingerprint("musiq-ava")
    weights_folder.mkdir()
    (weights_folder / "musiq-ava.npz").write_bytes(b"new")
    assert metric_set.fingerprint("musiq-ava") == before != MetricSet(["musiq-ava"]).fingerprint("musiq-ava")


def test_an_unknown_metric_has_none() -> None:
    with pytest.raises(UnknownNameError, match="unknown metric 'psnrr'; known: psnr"):
        metric_fingerprint("psnrr")


def test_comments_and_docstrings_do_not_make_scores_stale_and_code_does() -> None:
    code = 'def f(x):\n    """Old words."""\n    return x + 1\n'
    assert meaning(code) == meaning("# Now explained.\ndef f(x):\n    '''New\n    words.'''\n\n    return x + 1")
    assert meaning(code) != meaning(code.replace("1", "2"))
    assert meaning(code) != meaning(code.replace("return x + 1", 'return "x + 1"'))


def test_the_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path))
    assert default_cache() == tmp_path / "scores.sqlite"
    monkeypatch.delenv("IQSR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert default_cache() == tmp_path / "iqsr" / "scores.sqlite"
