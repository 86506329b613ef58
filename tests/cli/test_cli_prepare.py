"""`iqsr prepare` as a command: what it prints and returns, wrong arguments, help."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

from iqsr.datasets import check
from iqsr.preparation import (
    PrepareRecipe,
    Summary,
    patch_positions,
)
from iqsr.recipes import read_recipe
from support.command_lines import app_group
from support.commands import Run
from support.prepare_samples import SETTINGS, tree


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# What is said


def test_the_command_tells_what_it_made_and_check_sets_finds_it_well(
    iqsr: Run, five_photos: Path, prepared: tuple[Path, Summary]
) -> None:
    ended = iqsr("prepare", str(five_photos), "-o", "sets", *SETTINGS, "--device", "cpu")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"sets: {prepared[1].sets} sets of 5 photos",
        "smaller than the crop of 128 pixels: 1 (--set patches.crop=... cuts smaller)",
        "hardly larger than the crop, or flat, or blurred: 1",
    ]
    assert tree(Path("sets")) == tree(prepared[0])
    ended = iqsr("check-sets", "sets")
    assert ended.code == 0
    assert ended.out == f"sets: all well: {prepared[1].sets} sets of 4, every picture decoded\n"
    assert iqsr("check-sets", "sets", "--headers").out == (
        f"sets: all well: {prepared[1].sets} sets of 4, headers read; without --headers every picture is decoded\n"
    )


@pytest.mark.usefixtures("locked_folder")
def test_a_folder_that_cannot_be_searched_is_work_that_failed(iqsr: Run, five_photos: Path) -> None:
    ended = iqsr("prepare", str(five_photos), "-o", "sets", *SETTINGS, "--device", "cpu")
    assert ended.code == 1
    assert "iqsr: left out 'in/locked\\n': Permission denied\n" in ended.err
    assert "failed: 1; the same command tries them again" in ended.out


def test_a_photo_that_cannot_be_read_is_told_and_tried_again(iqsr: Run, five_photos: Path) -> None:
    bad = Path("some/bad.jpg")
    bad.parent.mkdir()
    bad.write_text("no photo")
    Image.open(five_photos / "cat-1.jpg").save("some/cat.png")
    for _ in range(2):
        ended = iqsr("prepare", "some", "-o", "sets", *SETTINGS)
        assert ended.code == 1
        assert [line for line in ended.err.splitlines() if line.startswith("iqsr:")] == [
            "iqsr: cannot read 'some/bad.jpg': it is a text file, not a picture; "
            "PNG, JPEG, WebP, TIFF, HEIC, AVIF, BMP, GIF, PPM and JPEG 2000 are read"
        ]
        assert "failed: 1; the same command tries them again" in ended.out
        assert check(Path("sets")) == []
    bad.unlink()
    assert iqsr("prepare", "some", "-o", "sets", *SETTINGS).code == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "Missing argument 'PHOTOS...'"),
        (("PHOTOS",), "Missing option '--output' / '-o'"),
        (("-o", "x"), "Missing argument 'PHOTOS...'"),
        (("nowhere.jpg", "-o", "x"), "no such picture, folder or pattern: 'nowhere.jpg'"),
        (("PHOTOS", "-o", "x", "--workers", "0"), "--workers is at least 1, got 0"),
        (("PHOTOS", "-o", "x", "--set", "patches.corp=3"), "unknown key 'patches.corp'; did you mean 'patches.crop'?"),
        (("PHOTOS", "-o", "x", "--set", 'metrics=["psnr"]'), "psnr compares with a reference"),
        (("PHOTOS", "-o", "x", "--set", 'metrics=["srqq"]'), "unknown metric 'srqq'; known: srq"),
        (("PHOTOS", "-o", "x", "--set", 'enhancers=[{kind="unsharp",reduce=1}]'), "unknown key 'enhancers[0].reduce'"),
        (("PHOTOS", "-o", "x", "--set", 'enhancers=[{kind="model",model="x4"}]'), "unknown model 'x4'"),
        (("PHOTOS", "-o", "PHOTOS/wall.png"), "wall.png' is a file; name a folder"),
        (("PHOTOS", "-o", "PHOTOS"), "has files that `iqsr prepare` did not make"),
        (("PHOTOS", "-o", "MADE"), "was prepared with another recipe; choose another folder, or remove it"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(
    iqsr: Run, five_photos: Path, prepared: tuple[Path, Summary], arguments: tuple[str, ...], line: str
) -> None:
    before = tree(prepared[0])
    ended = iqsr(
        "prepare", *(a.replace("PHOTOS", str(five_photos)).replace("MADE", str(prepared[0])) for a in arguments)
    )
    assert ended.code == 2
    assert line in ended.err
    assert ended.err.count("\n") == 1
    assert tree(prepared[0]) == before


def test_photos_that_give_nothing_are_told_with_what_to_do(iqsr: Run, five_photos: Path) -> None:
    ended = iqsr("prepare", str(five_photos), "-o", "sets")
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == (
        "iqsr: no patch was kept: of 5 photos 5 are smaller than the crop of 512 pixels, "
        "0 too flat, too blurred or hardly larger; set patches.crop lower, or give other photos"
    )


def test_a_recipe_that_gave_nothing_does_not_block_the_next(iqsr: Run, five_photos: Path) -> None:
    photo = str(five_photos / "cat-1.jpg")
    for failing in ('enhancers=[{kind="model",model="x4"}]', "patches.crop=512"):
        assert iqsr("prepare", photo, "-o", "sets", f"--set={failing}").code in (1, 2)
    unsharp = '--set=enhancers=[{kind="unsharp"}]'
    ended = iqsr("prepare", photo, "-o", "sets", unsharp, "--set=patches.crop=128")
    assert (ended.code, ended.out.split(":")[0]) == (0, "sets")
    assert check(Path("sets")) == []
    ended = iqsr("prepare", photo, "-o", "sets", unsharp, "--set=patches.crop=64")
    assert (ended.code, "was prepared with another recipe" in ended.err) == (2, True)


def test_photos_of_which_none_can_be_read_are_no_small_ones(iqsr: Run) -> None:
    Path("bad.png").write_text("no picture")
    ended = iqsr("prepare", "bad.png", "-o", "sets", '--set=enhancers=[{kind="unsharp"}]')
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == ("iqsr: no photo could be read or enhanced; the reasons stand above")


def test_every_example_of_the_help_parses(iqsr: Run) -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", iqsr("prepare", "--help").out)
    found = re.findall(r"^\s+iqsr (prepare .*\S)\s*$", text, re.MULTILINE)
    assert len(found) == 3
    for line in found:
        command = app_group()
        context = command.make_context("iqsr", shlex.split(line))
        name, below, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert below is not None
        below.make_context(name, rest, parent=context)


def test_the_recipes_that_ship_are_what_they_say() -> None:
    assert read_recipe("prepare/default", PrepareRecipe) == PrepareRecipe()
    small = read_recipe("prepare/cpu-small", PrepareRecipe)
    assert (small.patches.crop, small.patches.step) == (256, 144)
    assert len(patch_positions(321, 481, small.patches, torch.Generator().manual_seed(0))) >= 1
