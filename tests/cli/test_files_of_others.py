"""Folders that others made: names and links that lead out, pipes, devices, names that are too long. One line each."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from iqsr.errors import IqsrError
from iqsr.study.plan import Plan
from support.cli_pictures import FAST, everything, picture
from support.commands import Ended, Run
from support.evaluation_samples import pairs
from support.hanging import no_hanging
from support.hggt_samples import label_file, three_sets
from support.prepare_samples import SETTINGS
from support.study_samples import small_study
from support.weights_samples import published

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and pipes of Unix")
PLAN = Plan(raters=2, trials=2)
CHEAP = ("-m", "laplacian", "--no-cache")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))
    with no_hanging():
        yield


def told(ended: Ended, *texts: str, code: int = 1, lines: int = 1) -> bool:
    """Whether a command failed with so many lines, and each text is in them."""
    said = [line for line in ended.err.splitlines() if line.startswith("iqsr: ")]
    assert (ended.code, len(said)) == (code, lines), ended.err
    assert "Traceback" not in ended.err
    return all(text in ended.err for text in texts)


def changed(file: Path, change: Callable[[Any], object]) -> None:
    facts = json.loads(file.read_text())
    change(facts)
    file.write_text(json.dumps(facts))


def outside() -> dict[str, bytes]:
    """What is beside the folder in which the tests work."""
    return {name: data for name, data in everything("..").items() if not name.startswith(("../here/", "../cache/"))}


# Shards


@pytest.fixture
def upscaled(iqsr: Run) -> Path:
    """The one shard of an upscaling, as somebody else may have sent it."""
    picture("in/a.png")
    assert iqsr("upscale", "in", "-o", "all", *FAST, "--shard", "1/1").code == 0
    return Path("all.shards/1-of-1")


@pytest.mark.parametrize("name", ["../../../../evil.png", "/{here}/../evil.png", "deep/../../../../../evil.png"])
def test_a_shard_writes_nothing_outside_of_the_result(iqsr: Run, upscaled: Path, name: str) -> None:
    name = name.format(here=str(Path.cwd()).lstrip("/"))
    for place in ("all.shards/1-of-1/pictures", "all"):
        target = Path(place, name)
        target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(upscaled / "pictures/a.png", Path(upscaled, "pictures", name))
    before = outside()
    changed(upscaled / "shard.json", lambda facts: facts["done"][0].update(name=name))
    changed(upscaled / "shard.json", _with_its_listing)
    assert told(iqsr("merge-shards", "all.shards", "-o", "all"), "leads out of", "nothing was written")
    assert outside() == before
    assert not everything("all")


def _with_its_listing(facts: dict[str, Any]) -> None:
    from iqsr.io.shards import Unit, listing_hash

    facts["listing"] = listing_hash(Unit(**unit) for unit in facts["done"])


def test_a_picture_of_a_shard_that_is_a_link_elsewhere_is_refused(iqsr: Run, upscaled: Path) -> None:
    found = upscaled / "pictures/a.png"
    found.unlink()
    found.symlink_to(picture("../private.png").absolute())
    assert told(iqsr("merge-shards", "all.shards", "-o", "all"), "leads out of", "put the file itself there")
    assert not everything("all")


def test_a_manifest_that_is_a_pipe_or_of_an_unknown_command_is_one_line(iqsr: Run, upscaled: Path) -> None:
    changed(upscaled / "shard.json", lambda facts: facts.update(command="rm"))
    assert told(iqsr("merge-shards", "all.shards", "-o", "all"), "'rm', which has no shards", code=2)
    (upscaled / "shard.json").unlink()
    os.mkfifo(upscaled / "shard.json")
    assert told(iqsr("merge-shards", "all.shards", "-o", "all"), "it is not a file")


def test_a_photo_of_a_shard_keeps_its_name(iqsr: Run, prepared: tuple[Path, object]) -> None:
    """A record names pictures by photo, row and column; all three could be paths."""
    sets = shutil.copytree(prepared[0], Path("sets"))
    record = next(sets.glob(".prepare/photos/astronaut.json"))
    whole = record.read_text()
    from iqsr.preparation.folder import SetFolder

    for change, text in (
        (lambda facts: facts.update(image="../../evil"), "is of another photo, '../../evil'"),
        (lambda facts: facts.update(sets=[["/../../evil", 0]]), "remove it and run again"),
        (lambda facts: facts.pop("sets"), "remove it and run again"),
    ):
        changed(record, change)
        with pytest.raises(Exception, match="remove it and run again") as error:
            SetFolder(sets, ("original", "01", "02", "03")).records()
        assert text in str(error.value)
        record.write_text(whole)
    record.write_text('"a text"')
    with pytest.raises(IqsrError, match="remove it and run again"):
        SetFolder(sets, ("original", "01", "02", "03")).records()
    record.write_text(whole)
    assert SetFolder(sets, ("original", "01", "02", "03")).records()


def test_a_shard_of_an_evaluation_takes_no_files_from_elsewhere(iqsr: Run) -> None:
    pairs(Path("set"), ("a", "b"))
    arguments = ("--models", "bicubic", "-m", "psnr", "--device", "cpu", "--no-cache", "-o", "all", "--shard", "1/1")
    assert iqsr("evaluate", "--data", "set", *arguments).code == 0
    made = Path("all.shards/1-of-1/evaluation/pictures/bicubic")
    (made / "c.png").symlink_to(picture("../private.png").absolute())
    assert told(iqsr("merge-shards", "all.shards", "-o", "all"), "leads out of")
    assert not list(Path("all").rglob("c.png"))
    (made / "c.png").unlink()
    shutil.move(made, "../moved")
    made.symlink_to(Path("../moved").absolute())
    (made.with_name("made.jsonl")).symlink_to("/etc/hostname")
    assert told(iqsr("merge-shards", "all.shards", "-o", "all"), "leads out of")


# Studies


@pytest.mark.parametrize("what", ["seat", "trial", "file"])
def test_a_study_of_others_names_no_files_elsewhere(iqsr: Run, what: str) -> None:
    study = small_study(Path(), PLAN)
    picture("../evil.png")
    before = outside()

    def lead_out(facts: Any) -> None:
        if what == "seat":
            facts["seats"][0]["name"] = "../../evil"
        elif what == "trial":
            facts["seats"][0]["trials"][0]["id"] = "../../../evil"
        else:
            facts["files"]["s0"]["a"] = "../../../evil.png"

    changed(study / "design.json", lead_out)
    for arguments in (("sheets", str(study), "-o", "sheets"), ("serve", str(study))):
        assert told(iqsr("study", *arguments), "evil", "is no name for a file", code=2), arguments
    assert outside() == before
    assert not Path("sheets").exists()


def test_a_picture_of_a_study_that_is_a_link_elsewhere_is_shown_to_nobody(iqsr: Run) -> None:
    study = small_study(Path(), PLAN)
    files = json.loads((study / "design.json").read_text())["files"]
    for name in (name for methods in files.values() for name in methods.values()):
        shutil.move(study / "pictures" / name, f"../{name}")
        (study / "pictures" / name).symlink_to(Path("..", name).absolute())
    assert told(iqsr("study", "sheets", str(study), "-o", "sheets"), "leads out of")
    assert told(iqsr("study", "serve", str(study), "--port", "0"), "leads out of")
    assert not Path("sheets").exists()


def test_what_is_no_table_is_not_imported(iqsr: Run) -> None:
    """Pipes and devices in a folder are passed over; an archive is named."""
    Path("votes").mkdir()
    os.mkfifo("votes/pipe.csv")
    Path("votes/endless.csv").symlink_to("/dev/zero")
    assert told(iqsr("study", "import", "study", "votes"), "has no CSV files", code=2)
    with ZipFile("sheets.zip", "w") as archive:
        archive.writestr("../../evil.csv", "trial,choice\n")
    assert told(iqsr("study", "import", "study", "sheets.zip"), "sheets.zip", code=2)
    assert not Path("../evil.csv").exists()


# Models


def test_the_folder_of_a_model_is_inside_the_evaluation(iqsr: Run) -> None:
    pairs(Path("set"), ("a",))
    recipe = '[data]\npath = "set"\n[[models]]\nmodel = "bicubic"\nname = "../../../evil"\n'
    Path("evaluation.toml").write_text(recipe)
    assert told(iqsr("evaluate", "evaluation.toml", "-o", "all"), "'../../../evil' is no name for a model", code=2)
    assert not list(Path("..").rglob("evil"))


def test_a_folder_of_weights_may_hold_links_pipes_and_loops(iqsr: Run, weights_folder: Path) -> None:
    """What is found is known by its hash, wherever a link leads; all else is passed over."""
    Path("from/deep").mkdir(parents=True)
    Path("published").write_bytes(published())
    Path("from/deep/any name").symlink_to(Path("published").absolute())
    Path("from/loop").symlink_to(Path("from").absolute())
    Path("from/gone.pth").symlink_to("nowhere")
    Path("from/endless.pth").symlink_to("/dev/zero")
    os.mkfifo("from/alex.pth")
    ended = iqsr("weights", "import", "from")
    assert ended.code == 0, ended.err
    assert [path.is_symlink() for path in weights_folder.iterdir()] == [False]


# Pictures


@pytest.mark.parametrize("arguments", [("upscale", "in", "-o", "out", *FAST), ("score", "in", *CHEAP)])
@pytest.mark.parametrize("shard", [(), ("--shard", "1/1")])
def test_pipes_and_devices_among_pictures_cost_a_line_each(
    iqsr: Run, arguments: tuple[str, ...], shard: tuple[str, ...]
) -> None:
    picture("in/a.png")
    os.mkfifo("in/pipe.png")
    Path("in/endless.png").symlink_to("/dev/zero")
    Path("in/text.png").symlink_to("/etc/passwd")
    if shard and arguments[0] == "score":
        shard = (*shard, "-o", "scores.csv")
    ended = iqsr(*arguments, *shard)
    assert told(ended, "pipe.png': it is not a file", "endless.png': it is not a file", "text.png", lines=3)
    assert "root:" not in ended.err + ended.out


def test_a_result_takes_the_place_of_a_link_and_leaves_what_it_leads_to(iqsr: Run) -> None:
    """Of hard links, too: a result is a new file."""
    for name in ("a", "b"):
        picture(f"in/{name}.png")
    picture("../one.png", (5, 5))
    picture("../two.png", (5, 5))
    Path("out").mkdir()
    Path("out/a.png").symlink_to(Path("../one.png").absolute())
    os.link("../two.png", "out/b.png")
    before = outside()
    assert iqsr("upscale", "in", "-o", "out", *FAST, "--overwrite").code == 0
    assert outside() == before
    assert [Path(f"out/{name}.png").is_symlink() for name in "ab"] == [False, False]
    assert Path("out/b.png").stat().st_nlink == 1


def test_labels_that_are_pipes_or_devices_are_one_line(iqsr: Run) -> None:
    train = three_sets(Path("Train"))
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        label_file(train).unlink()
        make(label_file(train))
        ended = iqsr("check-sets", str(train))
        assert ended.code == 1
        assert "0001-0-288.json" in ended.out + ended.err
        assert "Traceback" not in ended.err


def test_photos_whose_names_leave_no_room_are_told(iqsr: Run, five_photos: Path) -> None:
    """Names of sets are longer than those of their photos."""
    Path("in").mkdir()
    shutil.copy(five_photos / "astronaut.png", f"in/{'x' * 250}.png")
    ended = iqsr("prepare", "in", "-o", "sets", "--device", "cpu", *SETTINGS)
    assert told(ended, "File name too long", "no photo could be read or enhanced", lines=2)


# Runs


def test_nothing_of_a_run_is_written_through_links(iqsr: Run) -> None:
    Path("../precious").write_bytes(b"mine")
    pairs(Path("set"), ("a",))
    arguments = ("evaluate", "--data", "set", "--models", "bicubic", "-m", "psnr", "--device", "cpu", "--no-cache")
    for link in (".lock", "pictures/bicubic/made.jsonl"):
        place = Path("all", link)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(Path("../precious").absolute())
        assert told(iqsr(*arguments, "-o", "all"), "it is a link to another file: remove it"), link
        place.unlink()
        assert Path("../precious").read_bytes() == b"mine"
    assert iqsr(*arguments, "-o", "all").code == 0
