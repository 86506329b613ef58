"""The comparison page in a real browser."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from iqsr.errors import IqsrError, UsageError
from iqsr.report.page import Column, ComparedPicture, Row, Table, Variant, write_comparison
from support.browsers import chromium, contrast, opened_page

DEMO = Path(__file__).parents[2] / "demo" / "demo.py"
README = Path(__file__).parents[2] / "README.md"
RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)


def flat(colour: tuple[int, int, int], height: int = 40, width: int = 60) -> Tensor:
    return torch.tensor(colour).view(3, 1, 1).expand(3, height, width) / 255


def pictures() -> list[ComparedPicture]:
    small = flat(GREEN, 10, 15).clone()
    small[:, :, 7:] = 1
    flats = [Variant("Red", flat(RED), "a warm one"), Variant("Blue", flat(BLUE), "a cold one")]
    return [
        ComparedPicture("First", [Variant("Small", small, pixelated=True), *flats], left="Red", right="Blue"),
        ComparedPicture("Second <b>&", flats),
    ]


TABLE = Table(
    [Column("PSNR", 2, "higher"), Column("LPIPS-ST", 3, "lower"), Column("Seconds", 1)],
    [
        Row("First", "Red", [30.0, 0.25, 1.0]),
        Row("First", "Blue", [31.0, 0.2504, None]),
        Row("Second", "Red", [float("inf"), 0.1, 2.0]),
    ],
    caption="Made-up numbers.",
)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("page") / "new folder" / "index.html"
    facts = {"Model": "none", "Seed": "0"}
    write_comparison(out, "A <title> & more", pictures(), TABLE, lead="Lead.", facts=facts)
    return out


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser, page_file):
    with opened_page(browser, page_file) as page:
        yield page


def colour_at(page, x: float, y: float = 0.75) -> tuple[int, ...]:
    """What is seen at a share of the first frame's width and height."""
    png = torch.frombuffer(bytearray(page.locator(".stage").first.screenshot()), dtype=torch.uint8)
    seen = decode_image(png, ImageReadMode.RGB)
    return tuple(seen[:, int(y * seen.shape[1]), int(x * seen.shape[2])].tolist())


@pytest.mark.browser
def test_arrow_keys_move_the_divider_and_the_pictures_edge(page):
    slider = page.get_by_role("slider", name="Divider between Red and Blue").first
    assert colour_at(page, 0.4) == RED
    assert colour_at(page, 0.6) == BLUE
    slider.focus()
    for _ in range(20):
        slider.press("ArrowLeft")
    assert slider.input_value() == "30"
    assert slider.get_attribute("aria-valuetext") == "30 % Red"
    assert colour_at(page, 0.4) == BLUE
    assert colour_at(page, 0.2) == RED
    slider.press("End")
    assert colour_at(page, 0.9) == RED


@pytest.mark.browser
def test_focus_by_keyboard_is_visible(page):
    stage = page.locator(".stage").first
    assert stage.evaluate("e => getComputedStyle(e).outlineStyle") == "none"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "split"
    assert stage.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"


@pytest.mark.browser
def test_pointer_drags_the_divider(page):
    box = page.locator(".stage").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=4)
    page.mouse.up()
    page.mouse.move(box["x"] + box["width"] * 0.1, middle)  # released: no more dragging
    assert page.locator(".split").first.input_value() == "80"
    assert colour_at(page, 0.7) == RED


@pytest.mark.browser
def test_finger_drags_the_divider_but_a_touch_alone_does_not(page):
    box = page.locator(".stage").first.bounding_box()
    touch = page.context.new_cdp_session(page)

    def send(kind: str, share: float | None = None) -> None:
        point = {"y": box["y"] + 150, "x": box["x"] + box["width"] * (share or 0)}
        points = [] if share is None else [point]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 0.2)  # it may be the start of scrolling the page
    assert page.locator(".split").first.input_value() == "50"
    for share in (0.25, 0.3, 0.35):
        send("touchMove", share)
    send("touchEnd")
    assert page.locator(".split").first.input_value() == "35"


@pytest.mark.browser
def test_choosing_variants(page):
    left, right = page.get_by_label("Left side").first, page.get_by_label("Right side").first
    left.select_option("Blue")  # what the right side shows: the sides swap
    assert right.evaluate("e => e.selectedOptions[0].text") == "Red"
    assert (colour_at(page, 0.4), colour_at(page, 0.6)) == (BLUE, RED)
    assert page.locator(".caption-left").first.inner_text().split("\n") == ["Blue", "a cold one"]
    left.select_option("Small")
    assert colour_at(page, 0.4) == GREEN
    assert page.get_by_role("slider", name="Divider between Small and Red").count() == 1


@pytest.mark.browser
def test_zoom_looks_at_the_middle_and_shift_arrows_move_the_view(page):
    page.get_by_label("Left side").first.select_option("Small")
    page.get_by_role("slider").first.press("End")
    assert colour_at(page, 0.2) == GREEN  # the small picture is green left of 7/15, white right of it
    assert colour_at(page, 0.9) == (255, 255, 255)
    page.get_by_role("radio", name="4×").first.check(force=True)
    assert colour_at(page, 0.35) == GREEN  # its edge is now at 4 * 7/15 - 1.5 = 0.367, and hard: no smoothing
    assert colour_at(page, 0.38) == (255, 255, 255)
    for _ in range(20):
        page.get_by_role("slider").first.press("Shift+ArrowRight")
    assert colour_at(page, 0.02) == (255, 255, 255)
    assert page.get_by_role("slider").first.input_value() == "100"
    page.get_by_role("radio", name="Fit").first.check(force=True)
    assert colour_at(page, 0.2) == GREEN


@pytest.mark.browser
def test_dragging_a_zoomed_picture_moves_it_and_not_the_divider(page):
    page.get_by_label("Left side").first.select_option("Small")
    page.get_by_role("slider").first.press("End")
    page.get_by_role("radio", name="4×").first.check(force=True)
    box = page.locator(".stage").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert colour_at(page, 0.7) == GREEN  # the edge moved from 0.367 to 0.767
    assert page.get_by_role("slider").first.input_value() == "100"


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_control_has_a_name_and_text_is_readable(page, scheme):
    page.emulate_media(color_scheme=scheme)
    nameless = "e => !(e.ariaLabel || e.labels?.length)"
    controls = page.locator("input, select")
    assert controls.count() == 2 * (1 + 2 + 3)
    assert not any(controls.nth(i).evaluate(nameless) for i in range(controls.count()))
    assert page.locator("img:not([alt])").count() == 0
    background, text = (
        page.evaluate(f"getComputedStyle(document.querySelector('{css}')).{name}")
        for css, name in [("body", "backgroundColor"), (".lead", "color")]
    )
    assert contrast(background, text) >= 4.5  # WCAG 2.2, 1.4.3


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 375, 768, 1920])
def test_nothing_overflows_at_any_width(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    frames = page.locator(".stage")
    for box in (frames.nth(i).bounding_box() for i in range(frames.count())):
        assert box["width"] / box["height"] == pytest.approx(1.5, rel=0.01)
    left, right = (page.locator(f".pick-{side}").first.bounding_box() for side in ["left", "right"])
    assert left["x"] + left["width"] < right["x"], "the two choices lie side by side"


@pytest.mark.browser
def test_table_marks_the_best_of_each_group(page):
    assert page.locator("h1").inner_text() == "A <title> & more"
    assert page.locator("td.best").all_inner_texts() == ["31.00"]  # 0.250 twice is a draw; Seconds has no direction
    assert page.locator("tbody tr").nth(1).locator("td").all_inner_texts() == ["31.00", "0.250", "–"]
    assert page.locator("tbody tr").nth(2).locator("td").all_inner_texts() == ["∞", "0.100", "2.0"]


def test_pictures_that_do_not_fit_are_refused(tmp_path):
    red, blue = Variant("Red", flat(RED)), Variant("Blue", flat(BLUE))
    gray = Variant("Gray", torch.zeros(1, 4, 4))
    for wrong, message in [
        (ComparedPicture("P", [red]), "two or more variants"),
        (ComparedPicture("P", [red, red]), "different names"),
        (ComparedPicture("P", [red, blue], left="Green"), "no variant 'Green'"),
        (ComparedPicture("P", [red, gray]), r"\(3, H, W\), got \(1, 4, 4\)"),
    ]:
        with pytest.raises(UsageError, match=message):
            write_comparison(tmp_path / "x.html", "", [wrong], TABLE)
    with pytest.raises(UsageError, match="1 values for 3 columns"):
        write_comparison(tmp_path / "x.html", "", [], Table(TABLE.columns, [Row("", "A", [1.0])]))
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_is_one_clear_line_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IqsrError, match=r"cannot write .*index\.html"):
        write_comparison(tmp_path / "file" / "index.html", "", pictures(), TABLE)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(IqsrError, match=r"cannot write .*folder\.html"):
        write_comparison(tmp_path / "folder.html", "", pictures(), TABLE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.html"]
