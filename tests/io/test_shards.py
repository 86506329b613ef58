"""Shards: which unit is in which, what a manifest keeps, and which shards are refused."""

import hashlib
import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from iqsr.errors import IqsrError, UsageError
from iqsr.io import hashes, known_files, shards
from iqsr.io.shard_parts import failed_units, join_file, read_parts
from iqsr.io.shards import Shard, ShardPart, read_manifest, shard_of, shard_part, units_of
from support.counting import calls
from support.damaged_lines import DAMAGED_LINES

SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")


@pytest.fixture(autouse=True)
def _here(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SLURM:
        monkeypatch.delenv(name, raising=False)


def files(number: int = 9) -> list[tuple[str, Path | None]]:
    """Small files of different content, by name."""
    Path("in").mkdir(exist_ok=True)
    for k in range(number):
        Path(f"in/{k}.bin").write_bytes(bytes([k, 7]))
    return [(f"{k}.bin", Path(f"in/{k}.bin")) for k in range(number)]


def work(number: int, count: int = 3, *, settings: object = "a", failed: tuple[str, ...] = ()) -> ShardPart:
    """A shard from beginning to end, without any work."""
    with shard_part(
        Path("out"), Shard(number, count), command="score", settings={"metrics": settings}, name="t"
    ) as part:
        units = part.choose(files())
        part.finish({unit.place: f"'{unit.name}': bad" for unit in units if unit.name in failed})
    return part


def all_shards(count: int = 3) -> list[Path]:
    return [work(number, count).folder for number in range(1, count + 1)]


# Which shard


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_each_unit_is_in_exactly_one_shard(count: int) -> None:
    rng = random.Random(count)
    hashes = [hashlib.sha256(rng.randbytes(9)).hexdigest() for _ in range(500)]
    held = [[sha256 for sha256 in hashes if Shard(number + 1, count).holds(sha256)] for number in range(count)]
    assert sorted(sha256 for part in held for sha256 in part) == sorted(hashes)
    assert max(map(len, held)) < 2 * len(hashes) / count + 20


def test_a_file_that_is_renamed_and_moved_stays_in_its_shard() -> None:
    before = [unit.sha256 for unit in units_of(files())]
    Path("deep/er").mkdir(parents=True)
    moved = [(f"x{name}", path.rename(f"deep/er/x{name}")) for name, path in files() if path is not None]
    assert [unit.sha256 for unit in units_of(moved)] == before


def test_a_file_that_cannot_be_read_is_in_the_shard_of_its_name() -> None:
    (unit,) = units_of([("gone.png", Path("gone.png"))])
    assert unit.sha256 == hashlib.sha256(b"gone.png").hexdigest()


@pytest.fixture
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that have just been written are remembered, too."""
    monkeypatch.setattr(known_files, "SETTLED_SECONDS", 0)


@pytest.mark.usefixtures("_settled")
def test_what_one_shard_has_read_no_other_reads_until_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [*files(200), ("gone.png", Path("gone.png")), ("none", None)]
    read = calls(monkeypatch, shards, "content_hash")
    first = units_of(named)
    assert [unit.place for unit in first] == list(range(202))
    assert first[5].sha256 == hashlib.sha256(bytes([5, 7])).hexdigest()
    assert len(read) == 200
    assert units_of(named) == first
    assert len(read) == 200
    times = Path("in/5.bin").stat()
    Path("in/5.bin").write_bytes(b"xy")
    os.utime("in/5.bin", ns=(times.st_atime_ns, times.st_mtime_ns))  # of the same size and, as it says, time
    hashes._sha256.cache_clear()  # as in another process
    assert units_of(named)[5].sha256 == hashlib.sha256(b"xy").hexdigest()
    assert len(read) == 201


def test_a_file_that_has_just_changed_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change again at the same time, as coarse clocks of disks tell it."""
    read, named = calls(monkeypatch, shards, "content_hash"), files()
    assert units_of(named) == units_of(named)
    assert len(read) == 2 * len(named)


@pytest.mark.usefixtures("_settled")
def test_shards_that_begin_at_once_find_the_same() -> None:
    named = files(250)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: units_of(named), range(8)))
    assert found == [units_of(named)] * 8


@pytest.mark.parametrize("content", [b"no database, but longer than a header would be" * 10, None])
def test_hashes_that_cannot_be_remembered_are_made_anew(
    content: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "cache/hashes.sqlite"
    kept.mkdir(parents=True) if content is None else kept.parent.mkdir()
    if content:
        kept.write_bytes(content)
    assert [unit.name for unit in units_of(files())] == [name for name, _ in files()]
    assert "files are read anew, for '" in caplog.text
    assert kept.is_dir() if content is None else kept.read_bytes() == content


# What --shard takes


def test_the_form_is_number_and_count() -> None:
    assert shard_of("2/3") == Shard(2, 3)
    assert str(Shard(2, 3)) == "2/3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0/3", "from 1 to 3"),
        ("4/3", "from 1 to 3"),
        ("1/0", "at least 1 shard"),
        ("1/-2", "at least 1 shard"),
        ("3", "such as 1/3"),
        ("a/b", "such as 1/3"),
        ("1/2/3", "such as 1/3"),
        ("", "such as 1/3"),
        ("1/3 ", "such as 1/3"),
    ],
)
def test_wrong_shards_are_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        shard_of(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("values", "shard"), [(("0", "0", "4"), "1/4"), (("7", "4", "4"), "4/4")])
def test_a_task_of_a_slurm_array_is_a_shard(
    values: tuple[str, ...], shard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(SLURM, values, strict=True):
        monkeypatch.setenv(name, value)
    assert str(shard_of("slurm")) == shard


@pytest.mark.parametrize("missing", SLURM)
def test_a_missing_variable_of_slurm_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SLURM:
        if name != missing:
            monkeypatch.setenv(name, "1")
    with pytest.raises(UsageError, match=f"{missing} is no number; start it with `sbatch --array=1-N`"):
        shard_of("slurm")


def test_an_array_with_steps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(SLURM, ("9", "1", "5"), strict=True):  # sbatch --array=1-9:2
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="do not follow one another"):
        shard_of("slurm")


# The manifest


def test_the_manifest_says_what_was_asked_and_what_became_of_each_unit() -> None:
    part = work(1, 1, failed=("2.bin",))
    told = read_manifest(part.folder)
    assert (told.command, told.shard, told.shards, told.units, told.finished) == ("score", 1, 1, 9, True)
    assert [unit.name for unit in told.done] == [f"{k}.bin" for k in range(9) if k != 2]
    (failed, reason) = told.failed[0]
    assert (failed.name, failed.place, reason) == ("2.bin", 2, "'2.bin': bad")
    assert failed.sha256 == hashlib.sha256(bytes([2, 7])).hexdigest()
    assert failed_units(read_parts([part.folder])) == ["'2.bin': bad"]


def test_the_same_shard_twice_changes_nothing() -> None:
    folder = work(1).folder
    before = {path: path.read_bytes() for path in folder.iterdir()}
    work(1)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_shard_of_other_settings_is_replaced_with_overwrite_only() -> None:
    folder = work(1).folder
    (folder / "t").write_text("table")
    with pytest.raises(UsageError, match=r"is of another settings \(metrics\): remove it"):
        work(1, settings="b")
    with shard_part(
        Path("out"), Shard(1, 3), command="score", settings={"metrics": "b"}, name="t", overwrite=True
    ) as part:
        part.note_done(units_of(files())[0])
        assert part.output.exists()  # until something takes its place
        part.choose(files())
        assert not part.noted()
        part.finish({})
    work(1, settings="b")


def test_a_journal_that_was_cut_off_keeps_its_whole_lines() -> None:
    with shard_part(Path("out"), Shard(1, 1), command="upscale", settings={}, name="t") as part:
        first, second, *_ = part.choose(files())
        part.note_done(first)
        part.note_done(second)
        journal = part.folder / shards.JOURNAL
        journal.write_bytes(journal.read_bytes()[:-9])
        assert part.noted() == {(first.name, first.sha256)}


@pytest.mark.parametrize("damage", DAMAGED_LINES)
def test_a_damaged_line_of_a_journal_notes_nothing(damage: bytes) -> None:
    with shard_part(Path("out"), Shard(1, 1), command="upscale", settings={}, name="t") as part:
        first, second, *_ = part.choose(files())
        part.note_done(first)
        journal = part.folder / shards.JOURNAL
        journal.write_bytes(journal.read_bytes() + damage + b"\n")
        part.note_done(second)
        assert part.noted() == {(unit.name, unit.sha256) for unit in (first, second)}


# What is refused together


def test_all_shards_are_joined_in_order_by_folder_or_by_the_folder_above() -> None:
    folders = all_shards()
    assert [part.folder for part in read_parts(reversed(folders))] == folders
    assert [part.folder for part in read_parts([Path("out.shards")])] == folders


def test_a_missing_shard_is_named() -> None:
    folders = all_shards()
    with pytest.raises(UsageError, match="shard 2/3 is missing: run it, or name its folder too"):
        read_parts([folders[0], folders[2]])


def test_a_shard_that_has_not_ended_is_named() -> None:
    folders = all_shards()
    with shard_part(Path("out"), Shard(2, 3), command="score", settings={"metrics": "a"}, name="t") as part:
        part.choose(files())
    with pytest.raises(UsageError, match=r"shard 2/3 has not ended \('out.shards/2-of-3'\): give its command again"):
        read_parts(folders)


def test_a_shard_that_is_there_twice_is_refused() -> None:
    folders = all_shards()
    shutil.copytree(folders[0], "copy")
    with pytest.raises(UsageError, match="are both shard 1/3: name one of them"):
        read_parts([*folders, Path("copy")])


def test_shards_of_another_number_are_refused() -> None:
    with pytest.raises(UsageError, match=r"is of 3 shards, .* of 2: name those of one run"):
        read_parts([*all_shards(3), *all_shards(2)[1:]])


def test_shards_of_other_settings_are_refused() -> None:
    folders = [work(1).folder, work(2, settings="b").folder, work(3).folder]
    with pytest.raises(UsageError, match=r"'out.shards/2-of-3' is of another settings \(metrics\) than"):
        read_parts(folders)


def test_shards_of_another_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = all_shards()
    monkeypatch.setattr(shards, "__version__", "0.0.1")
    with pytest.raises(UsageError, match="iqsr version"):
        work(1)
    shutil.rmtree(folders[0])
    with pytest.raises(UsageError, match=r"another iqsr version \("):
        read_parts([work(1).folder, *folders[1:]])
    for folder in folders:
        shutil.rmtree(folder)
    with pytest.raises(UsageError, match="join them with theirs"):
        read_parts(all_shards())


def test_a_unit_in_two_shards_is_named() -> None:
    folders = all_shards()
    name = read_manifest(folders[0]).done[0].name
    text = (folders[0] / shards.MANIFEST).read_text()
    other = read_manifest(folders[1])
    moved = shards.replace(other, done=[*other.done, read_manifest(folders[0]).done[0]])
    (folders[1] / shards.MANIFEST).write_text(moved.text())
    with pytest.raises(UsageError, match=f"'{name}' is in shards 1/3 and 2/3"):
        read_parts(folders)
    assert (folders[0] / shards.MANIFEST).read_text() == text


def test_shards_that_saw_other_files_are_refused() -> None:
    folders = [work(1).folder, work(2).folder]
    with shard_part(Path("out"), Shard(3, 3), command="score", settings={"metrics": "a"}, name="t") as part:
        part.choose([*files(), ("new.bin", None)])
        part.finish({})
    with pytest.raises(UsageError, match="shard 1/3 saw 9 files, shard 3/3 saw 10, and not the same"):
        read_parts([*folders, part.folder])


def test_a_unit_that_is_lost_from_a_manifest_is_missed() -> None:
    folders = all_shards()
    told = read_manifest(folders[0])
    (folders[0] / shards.MANIFEST).write_text(shards.replace(told, done=told.done[1:]).text())
    with pytest.raises(UsageError, match="the manifests list 8 of 9 units"):
        read_parts(folders)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"done": 3}'])
def test_a_manifest_that_cannot_be_read_is_told_in_one_line(content: str) -> None:
    folder = work(1).folder
    (folder / shards.MANIFEST).write_text(content)
    with pytest.raises(IqsrError, match=r"cannot read '.*shard\.json'.*run that shard again") as refused:
        read_parts([folder])
    assert "\n" not in str(refused.value)


def test_a_folder_without_shards_is_refused() -> None:
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="'empty' has no shard"):
        read_parts([Path("empty")])


# Joined files


def test_a_joined_file_takes_no_space_and_survives_its_shard() -> None:
    Path("a").write_text("picture")
    join_file(Path("a"), Path("deep/b"))
    assert Path("deep/b").samefile("a")
    join_file(Path("a"), Path("deep/b"))
    Path("a").unlink()
    assert Path("deep/b").read_text() == "picture"


def test_a_disk_without_links_gets_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    Path("a").write_text("picture")
    join_file(Path("a"), Path("b"))
    assert Path("b").read_text() == "picture"
    assert not Path("b").samefile("a")


def test_another_file_is_replaced_with_overwrite_only() -> None:
    Path("a").write_text("new")
    Path("b").write_text("old")
    with pytest.raises(UsageError, match="'b' exists: use --overwrite"):
        join_file(Path("a"), Path("b"))
    assert Path("b").read_text() == "old"
    join_file(Path("a"), Path("b"), overwrite=True)
    assert Path("b").read_text() == "new"
