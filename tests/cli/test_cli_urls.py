"""Pictures in stores: what `score`, `upscale` and their shards make there is what they make on a disk."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.cli_pictures import FAST, IQSR, picture
from support.commands import PATIENCE, Run
from support.prepare_samples import tree
from support.stores import fails, memory_store, put, put_folder

Store = Mapping[str, bytes]
SCORE = ("-m", "laplacian", "--device", "cpu", "--no-cache")
UPSCALE = (*FAST, "--scale", "2", "--precision", "fp32")


@pytest.fixture(autouse=True)
def _pictures(own_folder: Path) -> None:
    for number in range(4):
        picture(f"in/{'deep/' if number % 2 else ''}{number}.png", (24 + number, 16))


@pytest.fixture
def store() -> Iterator[Store]:
    """`memory://in` with the pictures of `in`."""
    with memory_store() as content:
        put_folder(Path("in"), "in")
        yield content


def below(store: Store, host: str) -> dict[str, bytes]:
    return {name.removeprefix(f"{host}/"): data for name, data in store.items() if name.startswith(f"{host}/")}


def test_scores_are_those_of_a_disk_under_the_urls(iqsr: Run, store: Store) -> None:
    Path("in/bad.png").write_bytes(b"no picture")
    put("in/bad.png", b"no picture")
    alone = iqsr("score", "in", *SCORE, "-o", "alone.csv")
    ended = iqsr("score", "memory://in/", *SCORE, "-o", "memory://out/scores.csv")
    assert (alone.code, ended.code) == (1, 1)
    assert ended.err.startswith("iqsr: cannot read 'memory://in/bad.png': ")
    text = store["out/scores.csv"].decode().replace("memory://in/", "in/")
    assert text == Path("alone.csv").read_text()
    assert "memory://in/deep/1.png" in ended.out
    assert str(Path.cwd()) not in ended.out + ended.err + text
    again = iqsr("score", "memory://in/", *SCORE, "-o", "memory://out/scores.csv")
    assert (again.code, again.err) == (
        2,
        "iqsr: 'memory://out/scores.csv' exists: use --overwrite, or name another\n",
    )


def test_originals_in_a_store_are_compared_with(iqsr: Run, store: Store) -> None:
    ended = iqsr("score", "in", "-r", "memory://in/", "-m", "psnr", "--device", "cpu", "--no-cache", "--json")
    assert ended.code == 0, ended.err
    rows = json.loads(ended.out)["pictures"]
    assert [row["reference"] for row in rows] == [row["path"].replace("in/", "memory://in/") for row in rows]


def test_pictures_are_enlarged_as_on_a_disk_and_go_on(iqsr: Run, store: Store) -> None:
    assert iqsr("upscale", "in", "-o", "large", *UPSCALE).code == 0
    assert iqsr("upscale", "memory://in/", "-o", "memory://large/", *UPSCALE).code == 0
    assert below(store, "large") == tree(Path("large"))
    assert iqsr("upscale", "memory://in/", "-o", "here", *UPSCALE).code == 0
    assert tree(Path("here")) == tree(Path("large"))
    refused = iqsr("upscale", "memory://in/", "-o", "memory://large/", *UPSCALE)
    assert refused.code == 2
    assert "'memory://large/0.png' and 3 more exist: use --skip-existing or --overwrite" in refused.err
    put("in/4.png", Path("in/0.png").read_bytes())
    ended = iqsr("upscale", "memory://in/", "-o", "memory://large/", *UPSCALE, "--skip-existing", "--json")
    said = {line["output"]: line["state"] for line in map(json.loads, ended.out.splitlines())}
    assert said.pop("memory://large/4.png") == "done"
    assert set(said.values()) == {"skipped"}
    beside = iqsr("upscale", "memory://in/0.png", *UPSCALE)
    assert beside.err.startswith("memory://in/0_upscaled.png: 48 x 32 in ")


def test_shards_in_a_store_make_what_one_run_makes(iqsr: Run, store: Store) -> None:
    assert iqsr("score", "memory://in/", *SCORE, "-o", "alone.csv").code == 0
    assert iqsr("upscale", "in", "-o", "large", *UPSCALE).code == 0
    for number in (2, 1):
        shard = ("--shard", f"{number}/2")
        assert iqsr("score", "memory://in/", *SCORE, "-o", "memory://out/s.csv", *shard).code == 0
        assert iqsr("upscale", "memory://in/", *UPSCALE, "-o", "memory://out/large", *shard).code == 0
    before = dict(store)
    again = iqsr("upscale", "memory://in/", *UPSCALE, "-o", "memory://out/large", "--shard", "1/2")
    assert again.code == 0
    assert "upscaled" not in again.err
    assert dict(store) == before
    assert iqsr("merge-shards", "memory://out/s.csv.shards/", "-o", "memory://out/s.csv").code == 0
    assert store["out/s.csv"] == Path("alone.csv").read_bytes()
    for out in ("memory://out/large", "memory://out/large", "joined"):  # a second time changes nothing
        ended = iqsr("merge-shards", "memory://out/large.shards", "-o", out)
        assert (ended.code, ended.out) == (0, f"{out}: 4 pictures\n")
    assert below(store, "out/large") == tree(Path("joined")) == tree(Path("large"))


def test_a_picture_replaced_between_two_shards_is_told_when_they_are_joined(iqsr: Run, store: Store) -> None:
    score = ("score", "memory://in/", *SCORE, "-o", "memory://out/s.csv")
    assert iqsr(*score, "--shard", "1/2").code == 0
    put("in/0.png", Path("in/2.png").read_bytes())
    assert iqsr(*score, "--shard", "2/2").code == 0
    ended = iqsr("merge-shards", "memory://out/s.csv.shards", "-o", "memory://out/s.csv")
    assert ended.code == 2
    assert "run all shards again" in ended.err


def test_a_store_that_takes_nothing_ends_the_work_at_the_first_picture(
    iqsr: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = fails(monkeypatch, "put_file", PermissionError("Access Denied"))
    ended = iqsr("upscale", "memory://in/", "-o", "memory://large/", *UPSCALE)
    assert ended.code == 1
    why = "you have no right to (Access Denied): check your credentials"
    assert ended.err.splitlines()[-1] == f"iqsr: cannot write 'memory://large/0.png': {why}"
    assert len(called) == 1
    assert below(store, "large") == {}


def test_a_store_that_is_lost_ends_the_scoring(iqsr: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from iqsr.io import stores

    fails(monkeypatch, "get_file", ConnectionError("the line is dead"))
    ended = iqsr("score", "memory://in/", *SCORE, "-o", "s.csv")
    stores._unanswered = 0
    assert ended.code == 1
    assert "the line is dead; the store failed" in ended.err
    assert not Path("s.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("check-sets", "s3://b/sets/"),
            "takes no URLs: first aws s3 cp --recursive s3://b/sets/ sets, then name sets",
        ),
        (
            ("train", "srq", "--data=s3://b/my sets"),
            "`iqsr train` takes no URLs: first aws s3 cp --recursive 's3://b/my sets' 'my sets', then name 'my sets'",
        ),
        (
            ("train", "srq", "--data", "sets", "-o", "s3://b/run"),
            "`iqsr train` writes to a disk: give -o run, and then aws s3 cp --recursive run s3://b/run",
        ),
        (("train-quality", "x", "--pairs", "s3://b/p.csv"), "first aws s3 cp s3://b/p.csv p.csv, then name p.csv"),
        (
            ("check-sets", "s3a://b/*.jpg"),
            "takes no URLs: first aws s3 cp --recursive --exclude '*' --include '*.jpg' s3://b b, then name b",
        ),
        (
            ("train", "srq", "--data", "sets", "-o", "https://h/a.png"),
            "cannot write 'https://h/a.png': such a URL is only read; name a file or folder of this machine",
        ),
        (("check-sets", "file:///data/sets"), "`iqsr check-sets` takes no URLs: name '/data/sets'"),
        (
            ("evaluate", "--data=gs://b/set"),
            'fs, p = fsspec.url_to_fs("gs://b/set"); fs.get(p, "set", recursive=True)\', then name set',
        ),
        (("score", "in", "--map", "s3://b/maps"), "cannot write to 's3://b/maps'"),
        (("upscale", "in", "--shard", "1/2", "-o", "s3://b"), "beside OUT: name a folder in 's3://b'"),
        (("upscale", "in", "-o", "s3://b/../c"), "cannot be a file's"),
    ],
)
def test_urls_of_no_use_are_refused_in_one_line(iqsr: Run, arguments: tuple[str, ...], said: str) -> None:
    ended = iqsr(*arguments)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.slow
def test_run_shards_reads_and_writes_urls(iqsr: Run, tmp_path: Path) -> None:
    url = f"file://{tmp_path}"
    assert iqsr("upscale", "in", "-o", "large", *UPSCALE).code == 0
    ended = iqsr("run-shards", "--shards", "2", "upscale", f"{url}/in/", "-o", f"{url}/out/large", *UPSCALE)
    assert ended.code == 0, ended.err
    assert tree(Path("out/large")) == tree(Path("large"))
    assert f"{url}/out/large: 4 pictures" in ended.out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")
def test_a_shard_that_is_killed_goes_on(iqsr: Run, tmp_path: Path) -> None:
    for number in range(12):
        picture(f"many/{number:02}.png", (64, 64))
    assert iqsr("upscale", "many", "-o", "large", *UPSCALE).code == 0
    url, out = f"file://{tmp_path}", tmp_path / "out.shards/1-of-1/pictures"
    command = [*IQSR, "upscale", f"{url}/many", "-o", f"{url}/out", *UPSCALE, "--shard", "1/1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE
    while not any(out.glob("*.png")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = {path.name: path.read_bytes() for path in out.glob("*.png") if not path.name.startswith(".")}
    assert there.items() <= tree(Path("large")).items()  # whole, or not there
    assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=PATIENCE).returncode == 0
    assert iqsr("merge-shards", f"{url}/out.shards", "-o", "joined").code == 0
    assert tree(Path("joined")) == tree(Path("large"))


def test_commands_that_need_no_store_do_not_load_fsspec(tmp_path: Path) -> None:
    code = "import sys, iqsr, iqsr.cli; sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=PATIENCE).returncode == 0
