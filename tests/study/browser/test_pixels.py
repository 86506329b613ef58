"""What raters see is what the files hold: pixel for pixel at 1:1, in equal squares beyond it."""

from typing import Any

import pytest
import torch
from playwright.sync_api import expect
from torch import Tensor

from support.study_pages import (
    HEIGHT,
    PHONE,
    WIDTH,
    StudyServer,
    begin,
    input_picture,
    picture,
    rater,
    seen,
    served,
    wait_for,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def screen(ratio: float) -> dict[str, Any]:
    return {"viewport": {"width": 1280, "height": 800}, "device_scale_factor": ratio}


def shown(server: StudyServer, place: int = 0, seat: str = "r0") -> list[Tensor]:
    """The pixels of a trial's pictures, in the order of display."""
    seats = {one.name: one for one in server._running[3].design.seats}
    trial = seats[seat].trials[place]
    return [picture(int(trial.picture.removeprefix("scene")), method) for method in trial.shown]


def canvas(page: Any, name: str, ratio: float) -> Tensor:
    """What is seen of a picture's frame, in device pixels."""
    box = page.get_by_role("img", name=name).first.bounding_box()
    top, left, height, width = (round(box[side] * ratio) for side in ("y", "x", "height", "width"))
    return seen(page)[:, top : top + height, left : left + width]


def enlarged(pixels: Tensor, zoom: int) -> Tensor:
    return pixels.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)


def middle(frame: Tensor, height: int, width: int, down: int = 0, right: int = 0) -> Tensor:
    """The part of a frame in which a picture of that size is."""
    top, left = (frame.shape[1] - height) // 2 + down, (frame.shape[2] - width) // 2 + right
    return frame[:, top : top + height, left : left + width]


def holds(frame: Tensor, pixels: Tensor) -> bool:
    """Whether the frame's middle holds just these pixels; where lengths are fractions it may be off by a dot."""
    size = pixels.shape[1], pixels.shape[2]
    return any(torch.equal(middle(frame, *size, down, right), pixels) for down in (0, -1, 1) for right in (0, -1, 1))


@pytest.mark.parametrize("ratio", [1, 1.25, 2])
def test_pixels_are_exact_at_any_pixel_ratio(browser, tmp_path, ratio):
    with served(tmp_path / "study", mode="side") as server, rater(browser, server.link("r0"), **screen(ratio)) as page:
        begin(page)
        page.keyboard.press("1")
        page.wait_for_timeout(100)
        for name, pixels in zip(("left picture", "right picture"), shown(server), strict=True):
            frame = canvas(page, name, ratio)
            assert holds(frame, pixels), name
            assert (frame[:, 3, 3] == 0x6C).all(), "the surround is a gray of 15 % luminance"
        page.keyboard.press("+")
        page.wait_for_timeout(100)
        for name, pixels in zip(("left picture", "right picture"), shown(server), strict=True):
            frame = canvas(page, name, ratio)
            assert holds(frame, enlarged(pixels, 2)), name


def test_the_input_takes_the_place_of_both_pictures(browser, tmp_path):
    with served(tmp_path / "study", has_input=True) as server:
        with rater(browser, server.link("r0")) as page:
            begin(page)
            button = page.get_by_role("button", name="Show the input")
            page.keyboard.press("+")
            page.keyboard.press("i")
            page.wait_for_timeout(100)
            expect(button).to_have_attribute("aria-pressed", "true")
            assert holds(canvas(page, "input", 1), enlarged(input_picture(0), 2)), "at the same zoom, without divider"
            page.get_by_role("button", name="Left is better").click(force=True)
            page.keyboard.press("l")
            expect(page.locator("#progress-text")).to_have_text("1 of 4")
            page.keyboard.press("ArrowRight")
            button.click()
            page.wait_for_timeout(100)
            left, right = (enlarged(pixels, 2) for pixels in shown(server))
            frame = middle(canvas(page, "left picture", 1), 2 * HEIGHT, 2 * WIDTH)
            assert torch.equal(frame[:, :, : WIDTH - 3], left[:, :, : WIDTH - 3])
            assert torch.equal(frame[:, :, WIDTH + 3 :], right[:, :, WIDTH + 3 :])
            page.keyboard.press("?")
            expect(page.get_by_role("dialog")).to_contain_text("Show the input")
            page.keyboard.press("Escape")
            page.keyboard.press("i")
            page.keyboard.press("i")
            page.keyboard.press("r")
            wait_for(page, 2)
        assert len(server.votes("r0")) == 1
        with rater(browser, server.link("r1"), **PHONE) as page:
            begin(page)
            button = page.get_by_role("button", name="Show the input")
            button.tap()
            page.get_by_role("button", name="Right is better").tap(force=True)
            expect(button).to_have_attribute("aria-pressed", "true")
            button.tap()
            page.get_by_role("button", name="Right is better").tap()
            wait_for(page, 2)
            expect(button).to_have_attribute("aria-pressed", "false")
        assert len(server.votes("r1")) == 1


@pytest.mark.parametrize(("mode", "methods"), [("flicker", 2), ("best-of-n", 3)])
def test_no_answer_while_the_input_is_shown(browser, tmp_path, mode, methods):
    with served(tmp_path / "study", mode=mode, methods=methods, has_input=True) as server:
        with rater(browser, server.link("r0")) as page:
            begin(page)
            page.keyboard.press("Space")
            page.keyboard.press("i")
            page.wait_for_timeout(100)
            for one in page.get_by_role("img", name="input").all():
                assert one.is_visible()
            page.keyboard.press("Space")
            page.mouse.click(640, 300)
            page.keyboard.press("a" if mode == "flicker" else "1")
            expect(page.locator("#progress-text")).to_have_text("1 of 4")
            page.keyboard.press("i")
            page.keyboard.press("a" if mode == "flicker" else "1")
            wait_for(page, 2)
        assert len(server.votes("r0")) == 1


def test_a_study_without_input_has_no_button_for_it(browser, server):
    with rater(browser, server.link("r0")) as page:
        begin(page)
        assert page.get_by_role("button", name="Show the input").count() == 0
        page.keyboard.press("i")
        expect(page.get_by_role("img", name="left picture")).to_be_visible()


def test_at_most_eight_to_one_and_both_move_together(browser, tmp_path):
    with served(tmp_path / "study", mode="side") as server, rater(browser, server.link("r0")) as page:
        begin(page)
        for _ in range(9):
            page.keyboard.press("+")
        assert page.locator("#zoom-text").inner_text() == "800 %"
        for _ in range(30):
            page.keyboard.press("Shift+ArrowLeft")
            page.keyboard.press("Shift+ArrowUp")
        page.wait_for_timeout(100)
        for name, pixels in zip(("left picture", "right picture"), shown(server), strict=True):
            frame = canvas(page, name, 1)
            corner = enlarged(pixels, 8)[:, : frame.shape[1], : frame.shape[2]]
            assert torch.equal(frame[:, 8:], corner[:, 8:]), f"{name}: the top left corner"
        page.mouse.move(300, 300)
        page.mouse.down()
        page.mouse.move(-3000, -3000, steps=4)
        page.mouse.up()
        page.wait_for_timeout(100)
        for name, pixels in zip(("left picture", "right picture"), shown(server), strict=True):
            frame = canvas(page, name, 1)
            corner = enlarged(pixels, 8)[:, -frame.shape[1] :, -frame.shape[2] :]
            assert torch.equal(frame[:, 8:-8], corner[:, 8:-8]), f"{name}: the bottom right corner"


@pytest.mark.parametrize("ratio", [1, 2])
def test_the_divider_parts_left_from_right(browser, server, ratio):
    with rater(browser, server.link("r0"), **screen(ratio)) as page:
        begin(page)
        page.keyboard.press("1")
        left, right = shown(server)
        for keys, share in (((), 0.5), (("ArrowLeft",) * 5, 0.4), (("End",), 1.0), (("Home",), 0.0)):
            for key in keys:
                page.keyboard.press(key)
            page.wait_for_timeout(100)
            inside = middle(canvas(page, "left picture", ratio), HEIGHT, WIDTH)
            at, line = round(share * WIDTH), 3 * ratio
            ends = max(at - line, 0), at + line
            assert torch.equal(inside[:, :, : ends[0]], left[:, :, : ends[0]])
            assert torch.equal(inside[:, :, ends[1] :], right[:, :, ends[1] :])


def test_the_wheel_zooms_where_the_mouse_is_and_small_windows_fit_the_picture(browser, server):
    with rater(browser, server.link("r0"), viewport={"width": 200, "height": 500}) as page:
        begin(page)
        assert page.locator("#zoom-text").inner_text() == f"{round(100 * 200 / WIDTH)} %"
        page.keyboard.press("Home")
        box = page.get_by_role("img", name="right picture").bounding_box()
        page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2)
        for _ in range(20):
            page.mouse.wheel(0, -120)
        page.wait_for_timeout(100)
        assert page.locator("#zoom-text").inner_text() == "800 %"
        frame = canvas(page, "right picture", 1)
        ends = enlarged(shown(server)[1], 8)[:, :, -1].T.tolist()
        assert frame[:, 100, -1].tolist() in ends, "the right edge of the picture stays under the mouse"
        page.set_viewport_size({"width": 238, "height": 700})
        page.keyboard.press("0")
        expect(page.locator("#zoom-text")).to_have_text("99 %")
        page.keyboard.press("+")
        expect(page.locator("#zoom-text")).to_have_text("100 %")
        page.keyboard.press("-")
        expect(page.locator("#zoom-text")).to_have_text("99 %")
        page.set_viewport_size({"width": 600, "height": 700})
        expect(page.locator("#zoom-text")).to_have_text("100 %")


COUNT_BITMAPS = """
    globalThis.bitmaps = 0;
    const make = createImageBitmap, close = ImageBitmap.prototype.close;
    globalThis.createImageBitmap = (...all) => (bitmaps++, make(...all));
    ImageBitmap.prototype.close = function () { bitmaps--; close.call(this); };
"""


def test_the_next_pictures_are_there_before_their_turn_and_freed_after_it(browser, server):
    with rater(browser, server.link("r0")) as page:
        page.add_init_script(COUNT_BITMAPS)
        page.reload()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "/p/" in request.url else None)
        begin(page)
        for number, fetched, kept in ((1, 4, 4), (2, 6, 4), (3, 8, 4), (4, 8, 2)):
            wait_for(page, number)
            page.wait_for_timeout(300)
            assert len(set(asked)) == len(asked) == fetched, "each picture is fetched once"
            assert page.evaluate("bitmaps") == kept
            inside = middle(canvas(page, "left picture", 1), HEIGHT, WIDTH)
            half = WIDTH // 2 - 3
            assert torch.equal(inside[:, :, :half], shown(server, number - 1)[0][:, :, :half])
            page.keyboard.press("l")
        page.get_by_text("C0DE-42").wait_for()
        assert page.evaluate("bitmaps") == 0
