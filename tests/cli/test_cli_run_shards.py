"""`iqsr run-shards`: what it makes is what the command makes alone, whatever becomes of its workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest

from iqsr.cli.run_shards import run_shards
from iqsr.cli.shard_engines import Ended, Engine, LocalEngine, RayEngine, visible_gpus
from iqsr.errors import IqsrError, UsageError
from iqsr.io.shards import Shard, read_manifest
from support.cli_pictures import FAST, picture
from support.commands import PATIENCE, Run
from support.process_trees import is_alive, wait_for
from support.shard_gpus import gpus_seen, shards_tell

SCORE = ["score", "in", "-m", "laplacian", "--no-cache"]


@pytest.fixture(autouse=True)
def _pictures(own_folder: Path) -> None:
    for number in range(6):
        picture(f"in/{number}.png", (24 + number, 16))


@pytest.fixture(scope="module")
def ray_engine() -> Iterator[RayEngine]:
    pytest.importorskip("ray")
    engine = RayEngine(2, "")
    yield engine
    engine.close()


def test_two_workers_make_the_table_of_one_run(iqsr: Run) -> None:
    assert iqsr(*SCORE, "-o", "alone.csv").code == 0
    ended = iqsr("run-shards", "--shards", "3", "--jobs", "2", *SCORE, "-o", "all.csv")
    assert ended.code == 0, ended.err
    assert Path("all.csv").read_bytes() == Path("alone.csv").read_bytes()
    assert ended.err.count(" ended, ") == 3


def test_a_picture_that_fails_is_told_at_the_end_and_stops_nothing(iqsr: Run) -> None:
    Path("in/bad.png").write_bytes(b"\x89PNG no picture")
    ended = iqsr("run-shards", "--shards", "2", *SCORE, "-o", "all.csv")
    assert ended.code == 1
    assert "bad.png" in ended.err
    assert "begun again" not in ended.err
    assert len(Path("all.csv").read_text().splitlines()) == 1 + 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["panel", "a.png"], "unknown command with shards 'panel'"),
        ([*SCORE, "-o", "o.csv", "--shard", "1/2"], "leave it out"),
        (SCORE, "say with -o"),
        (["score", "in", "-m", "no-such-metric", "-o", "o.csv"], "no-such-metric"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(iqsr: Run, arguments: list[str], said: str) -> None:
    ended = iqsr("run-shards", "--shards", "2", *arguments)
    assert ended.code == 2
    assert said in ended.err.splitlines()[-1]
    assert not Path("o.csv").exists()


def test_a_table_that_is_there_is_refused_before_any_work(iqsr: Run) -> None:
    Path("all.csv").write_text("mine")
    ended = iqsr("run-shards", "--shards", "2", *SCORE, "-o", "all.csv")
    assert (ended.code, ended.err) == (2, "iqsr: 'all.csv' exists: use --overwrite, or name another\n")
    assert not Path("all.csv.shards").exists()
    ended = iqsr("run-shards", "--shards", "2", *SCORE, "-o", "all.csv", "--overwrite")
    assert ended.code == 0, ended.err
    assert len(Path("all.csv").read_text().splitlines()) == 1 + 6


def test_a_polite_kill_ends_the_shards_too_and_the_same_command_goes_on(iqsr: Run) -> None:
    arguments = ["run-shards", "--shards", "2", "--jobs", "1", "upscale", "in", "-o", "large", *FAST]
    process = subprocess.Popen([sys.executable, "-m", "iqsr", *arguments], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + PATIENCE
    while not Path("large.shards/1-of-2/shard.json").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert "stopped; the same command goes on from here" in said
    ended = iqsr(*arguments)
    assert ended.code == 0, ended.err  # no shard of before holds its lock
    assert len(list(Path("large").iterdir())) == 6


class Failing(Engine):
    """Runs shards one by one; the first tries of some are said to have died."""

    workers = 1

    def __init__(self, deaths: dict[int, int]) -> None:
        self.deaths, self.begun = deaths, list[int]()

    def start(self, arguments: Sequence[str], shard: Shard) -> Shard:
        self.begun.append(shard.number)
        return shard

    def first(self, running: Collection[Shard]) -> tuple[Shard, Ended]:
        shard = next(iter(running))
        self.deaths[shard.number] = self.deaths.get(shard.number, 0) - 1
        if self.deaths[shard.number] >= 0:
            return shard, Ended(shard, -9, "")
        folder = Path("o.csv.shards") / f"{shard.number}-of-{shard.count}"
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"command": "score", "iqsr_version": "", "settings_hash": "", "settings": {}, "done": [], "failed": []}
        facts |= {"shard": shard.number, "shards": shard.count, "finished": True}
        (folder / "shard.json").write_text(json.dumps(facts))
        return shard, Ended(shard, 0, "")

    def close(self) -> None:
        pass


def test_a_shard_that_dies_is_begun_again_after_the_others() -> None:
    engine = Failing({1: 2})
    run_shards(SCORE, 3, Path("o.csv"), engine, tries=3)
    assert engine.begun == [1, 2, 3, 1, 1]


def test_a_shard_that_always_dies_ends_the_command_after_all_others() -> None:
    engine = Failing({2: 99})
    with pytest.raises(IqsrError, match=r"1 of 3 shards did not end in 2 tries: shard 2/3 was killed \(signal 9\)"):
        run_shards(SCORE, 3, Path("o.csv"), engine, tries=2)
    assert engine.begun == [1, 2, 3, 2]


def kill_a_shard(found: list[int]) -> None:
    """Kill -9 the first process of a shard of UPSCALE that is seen."""
    until = time.monotonic() + PATIENCE
    while not found and time.monotonic() < until:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = process.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"--shard" in words and b"killed" in words:
                os.kill(int(process.parent.name), signal.SIGKILL)
                found.append(int(process.parent.name))
                return
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_process_costs_its_shard_alone(capsys: pytest.CaptureFixture[str]) -> None:
    found = list[int]()
    killer = threading.Thread(target=kill_a_shard, args=[found])
    killer.start()
    engine = LocalEngine(1)
    run_shards(["upscale", "in", "-o", "killed", *FAST], 2, Path("killed"), engine, tries=3)
    engine.close()
    killer.join()
    assert found
    assert "was killed (signal 9): begun again" in capsys.readouterr().err
    done = [len(read_manifest(folder).done) for folder in Path("killed.shards").iterdir()]
    assert sum(done) == 6


_RUNS_A_SHARD = """
import sys
from iqsr.cli.shard_engines import run_shard
from iqsr.io.shards import Shard
sys.platform = "darwin"  # without what Linux alone can do
run_shard(["upscale", "large.png", "-o", "killed"], Shard(1, 1), ".", lambda shard: print(shard.pid, flush=True))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_shard_ends_within_seconds_of_a_kill_of_the_process_that_started_it() -> None:
    picture("large.png", (2000, 2000))
    first = subprocess.Popen([sys.executable, "-c", _RUNS_A_SHARD], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    shard = int(first.stdout.readline())
    wait_for(Path("killed.shards/1-of-1/shard.json").exists)
    first.kill()
    first.wait()
    try:
        wait_for(lambda: not is_alive(shard), 20)
    finally:
        if is_alive(shard):
            os.kill(shard, signal.SIGKILL)
    assert not read_manifest(Path("killed.shards/1-of-1")).finished


def test_no_code_of_the_folder_that_a_shard_works_in_is_run(iqsr: Run) -> None:
    for module in ("json.py", "iqsr.py", "torch.py"):
        Path(module).write_text("open('code ran', 'w')")
    ended = iqsr("run-shards", "--shards", "1", *SCORE, "-o", "all.csv")
    assert ended.code == 0, ended.err
    assert not Path("code ran").exists()


# GPUs


@pytest.fixture
def _shards_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """See `shards_tell`."""
    monkeypatch.setenv("PYTHONPATH", shards_tell(tmp_path / "program"))


@pytest.mark.usefixtures("_shards_tell")
def test_each_of_the_shards_that_run_at_once_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    engine = LocalEngine(3, gpus=3)
    assert gpus_seen(engine, 3) == ["sees 0", "sees 1", "sees 2"]
    engine.close()


@pytest.mark.usefixtures("_shards_tell")
def test_more_shards_than_gpus_share_them_and_without_the_option_nothing_is_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,8")
    for gpus, seen in ((2, ["sees 5", "sees 5", "sees 7", "sees 7"]), (None, ["sees 5,7,8"] * 4)):
        (tmp_path / str(gpus)).mkdir()
        monkeypatch.chdir(tmp_path / str(gpus))
        engine = LocalEngine(4, gpus)
        assert gpus_seen(engine, 4) == seen
        engine.close()


def test_gpus_that_are_not_there_are_refused(iqsr: Run) -> None:
    with pytest.raises(UsageError, match=r"--gpus 3, but CUDA_VISIBLE_DEVICES is '4,5'"):
        visible_gpus(3, {"CUDA_VISIBLE_DEVICES": "4,5"})
    with pytest.raises(UsageError, match="CUDA_VISIBLE_DEVICES is ''"):
        visible_gpus(1, {"CUDA_VISIBLE_DEVICES": ""})
    ended = iqsr("run-shards", "--shards", "2", "--gpus", "1000", *SCORE, "-o", "o.csv")
    assert ended.code == 2
    assert ended.err.startswith("iqsr: --gpus 1000, but torch finds ")
    assert not Path("o.csv.shards").exists()


RAY_SHARDS = """
from iqsr.cli.shard_engines import RayEngine
from support.shard_gpus import gpus_seen
engine = RayEngine(2, "", gpus=2)
print(gpus_seen(engine, 2))
engine.close()
"""


@pytest.mark.slow
@pytest.mark.usefixtures("_shards_tell")
def test_shards_of_ray_take_a_gpu_each() -> None:
    """In a process of its own, for one has one cluster."""
    pytest.importorskip("ray")
    ended = subprocess.run(
        [sys.executable, "-c", RAY_SHARDS], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "['sees 0', 'sees 1']\n"


# Ray


@pytest.mark.slow
def test_ray_makes_the_table_of_one_run(iqsr: Run, ray_engine: RayEngine) -> None:
    assert iqsr(*SCORE, "-o", "alone.csv").code == 0
    run_shards([*SCORE, "-o", "all.csv"], 3, Path("all.csv"), ray_engine, tries=1)
    assert iqsr("merge-shards", "all.csv.shards", "-o", "all.csv").code == 0
    assert Path("all.csv").read_bytes() == Path("alone.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_worker_of_ray_costs_its_shard_alone(
    ray_engine: RayEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill_the_worker() -> None:
        until = time.monotonic() + PATIENCE
        while not found and time.monotonic() < until:
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    if process.read_bytes().startswith(b"ray::run_shard"):
                        os.kill(int(process.parent.name), signal.SIGKILL)
                        found.append(int(process.parent.name))
                        return
                except OSError:
                    continue
            time.sleep(0.02)

    found = list[int]()
    killer = threading.Thread(target=kill_the_worker)
    killer.start()
    run_shards(["upscale", "in", "-o", "large", *FAST], 2, Path("large"), ray_engine, tries=3)
    killer.join()
    assert found
    assert "begun again" in capsys.readouterr().err
    done = [len(read_manifest(folder).done) for folder in Path("large.shards").iterdir()]
    assert sum(done) == 6


def test_a_cluster_that_does_not_answer_is_told_in_one_line(iqsr: Run) -> None:
    pytest.importorskip("ray")
    with socket.socket() as taken:  # nobody listens there
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = iqsr("run-shards", "--shards", "2", "--engine", "ray", "--ray-address", address, *SCORE, "-o", "o.csv")
    assert ended.code == 1
    assert ended.err.startswith(f"iqsr: no Ray cluster at '{address}'")
    assert len(ended.err.splitlines()) == 1


def test_ray_that_is_missing_is_told_in_one_line() -> None:
    blocked = "import sys; sys.modules['ray'] = None; from iqsr.cli import main; main()"
    arguments = ["run-shards", "--shards", "2", "--engine", "ray", *SCORE, "-o", "o.csv"]
    ended = subprocess.run([sys.executable, "-c", blocked, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "pip install 'iqsr[scale]'" in ended.stderr


def test_local_options_and_those_of_ray_do_not_mix(iqsr: Run) -> None:
    ended = iqsr("run-shards", "--shards", "2", "--ray-address", "auto", *SCORE, "-o", "o.csv")
    assert ended.code == 2
    assert "--ray-address is for --engine ray" in ended.err
