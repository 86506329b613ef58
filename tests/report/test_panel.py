"""`iqsr panel`: figures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iqsr.errors import UsageError
from iqsr.evaluation.recipe import checked
from iqsr.evaluation.report_panel import row_of_pictures, rows_of_evaluation
from iqsr.evaluation.result import write_evaluation
from iqsr.report.crops import Box
from iqsr.report.panel import PanelCell, PanelRow, write_panel
from support.commands import Run
from support.report_samples import SIZE, with_pictures

RED, BLUE = (200, 0, 0), (0, 0, 200)


def flat(colour: tuple[int, int, int], width: int = 80, height: int = 60) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def row(*cells: PanelCell, boxes: tuple[Box, ...] = (Box(10, 10, 20, 20),)) -> PanelRow:
    return PanelRow(
        "one", flat(RED), boxes, cells or (PanelCell("a", flat(RED), ["psnr 1"]), PanelCell("b", flat(BLUE)))
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = with_pictures(tmp_path / "results")
    recipe = checked({"data": {"path": str(tmp_path)}, "models": [{"model": "bicubic"}]})
    write_evaluation(found, recipe, tmp_path / "results")
    return tmp_path / "results"


def test_a_png_has_its_width_on_paper_and_a_column_a_version(tmp_path):
    write_panel(tmp_path / "a.png", [row(), row()], width_mm=127, dpi=100)
    image = Image.open(tmp_path / "a.png")
    assert image.width == 500
    drawn = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in (RED, BLUE):
        assert (drawn == colour).all(1).sum() > 1000


def test_a_pixel_stays_a_square(tmp_path):
    board = (np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8)[:, :, None].repeat(3, 2)
    write_panel(tmp_path / "a.png", [PanelRow("", board, [Box(0, 0, 8, 8)], [PanelCell("a", board)])], dpi=200)
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    height, width = drawn.shape[:2]
    inside = drawn[height // 5 : height // 2, -width // 4 : -width // 20]
    assert set(np.unique(inside)) <= {0, 255}, "no smoothing"


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_same_panel_is_the_same_file(tmp_path, kind):
    for name in ("a", "b"):
        write_panel(tmp_path / f"{name}.{kind}", [row()])
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_names_with_dollars_and_underscores_are_text(tmp_path):
    write_panel(tmp_path / "a.svg", [row(PanelCell("$\\frac_x$", flat(RED)))])
    assert (tmp_path / "a.svg").stat().st_size > 0


def test_what_does_not_fit_is_told_and_nothing_is_written(tmp_path):
    for out, rows, message in [
        ("a.gif", [row()], r"\.png, \.pdf, \.svg"),
        ("a.png", [], "needs a picture"),
        ("a.png", [row(), row(PanelCell("c", flat(RED)))], "columns are a, b"),
        ("a.png", [row(boxes=(Box(70, 0, 20, 20),))], "reaches out of 'one'"),
    ]:
        with pytest.raises(UsageError, match=message):
            write_panel(tmp_path / out, rows)
    assert list(tmp_path.iterdir()) == []


def test_an_evaluations_rows_show_where_versions_differ_most(tmp_path):
    found = with_pictures(tmp_path)
    (one,) = rows_of_evaluation(found, images=["img1"], between=("other", "original"), side=32)
    assert one.boxes == [Box(32, 64, 32, 32)]
    assert [cell.name for cell in one.cells] == ["low resolution", "base", "other", "third", "original"]
    assert one.cells[2].lines == ["psnr 23.00", "stlpips 0.100", "srq 60.00"]
    assert one.cells[0].picture.shape == (SIZE[1] // 4, SIZE[0] // 4, 3)
    (two,) = rows_of_evaluation(found, models=["other"], metrics=["srq"], crops={"img3": [Box(0, 0, 9, 9)] * 2})
    assert (two.title, len(two.boxes)) == ("img3", 2)
    assert [cell.name for cell in two.cells] == ["low resolution", "other", "original"]
    assert two.cells[1].lines == ["srq 60.00"]


def test_a_picture_that_is_gone_is_left_out(tmp_path):
    found = with_pictures(tmp_path)
    (tmp_path / "pictures" / "third" / "img1.png").unlink()
    (one,) = rows_of_evaluation(found, images=["img1"])
    assert "third" not in [cell.name for cell in one.cells]
    nothing = replace(found, models=tuple(replace(model, pictures={}) for model in found.models))
    with pytest.raises(UsageError, match="no model has a picture of 'img1'"):
        rows_of_evaluation(nothing, images=["img1"])


def test_pictures_that_are_named_are_measured(tmp_path):
    files = {name: tmp_path / f"{name}.png" for name in ("lr", "sr", "gt")}
    for name, array in {"lr": flat(RED, 20, 15), "sr": flat(RED), "gt": flat((210, 10, 10))}.items():
        Image.fromarray(array).save(files[name])
    row = row_of_pictures(files, metrics=["psnr"], original="gt")
    psnr = 20 * np.log10(255 / 10)
    assert [cell.lines for cell in row.cells] == [(), [f"psnr {psnr:.4g}"], []]
    with pytest.raises(UsageError, match="--original NAME"):
        row_of_pictures(files, metrics=["psnr"])
    with pytest.raises(UsageError, match="'lr' is smaller"):
        row_of_pictures(files, between=("lr", "sr"))


def test_the_command_draws_an_evaluation_and_named_pictures(iqsr: Run, folder: Path, tmp_path: Path):
    out = tmp_path / "a.png"
    ended = iqsr("panel", str(folder), "-o", str(out), "--count", "2", "--width-mm", "100", "--dpi", "100")
    assert (ended.code, ended.err) == (0, "")
    assert Image.open(out).width in (393, 394)
    pair = [f"{name}={folder / 'pictures' / name / 'img0.png'}" for name in ("base", "other")]
    ended = iqsr("panel", *pair, "-o", str(tmp_path / "b.svg"), "--crop", "0,0,32,32")
    assert (ended.code, ended.err) == (0, "")
    assert b"<svg" in (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "-o", "x.png"], "has no results of iqsr evaluate"),
        (["{}", "-o", "x.tiff"], ".png, .pdf, .svg"),
        (["{}", "-o", "x.png", "--images", "img9"], "img9"),
        (["{}", "-o", "x.png", "--crop", "1,2"], "LEFT,TOP,WIDTH,HEIGHT"),
        (["{}", "-o", "x.png", "--between", "base"], "two names"),
        (["a=b.png", "-o", "x.png"], "two pictures or more"),
        (["a=b.png", "c=d.png", "-o", "x.png", "--images", "img1"], "for an evaluation's folder"),
        (["{}", "-o", "x.png", "--original", "gt"], "for NAME=FILE"),
    ],
)
def test_bad_input_is_one_line(iqsr: Run, folder: Path, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    ended = iqsr("panel", *(word.format(folder) for word in words))
    assert ended.code == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.glob("x.*"))
