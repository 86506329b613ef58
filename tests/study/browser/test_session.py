"""Whole sessions on the rating page: by mouse, by keyboard alone, by touch."""

import pytest
from playwright.sync_api import expect

from support.study_pages import PHONE, QUESTIONS, SETTINGS, rater, served, wait_for

pytestmark = pytest.mark.browser


def test_a_session_by_mouse(browser, tmp_path):
    with served(tmp_path / "study", settings=SETTINGS + QUESTIONS) as server:
        with rater(browser, server.link("r0")) as page:
            assert page.title() == "Sharp or soft?"
            page.get_by_role("button", name="I do not agree").click()
            assert "nothing was kept" in page.get_by_role("main").inner_text()
            page.get_by_role("button", name="I agree", exact=True).click()
            page.get_by_role("button", name="Continue").click()
            assert page.get_by_label("How old are you?").evaluate("field => field.matches(':focus:invalid')")
            page.get_by_label("How old are you?").fill("31")
            page.get_by_label("A <b>desk</b>").check()
            page.get_by_role("group", name="How well do you see? (optional)").get_by_label("6").check()
            page.get_by_role("button", name="Continue").click()
            expect(page.get_by_role("main")).to_contain_text("Look closely.")
            page.get_by_role("button", name="Start").click()
            wait_for(page, 1)
            page.mouse.move(640, 400)
            page.mouse.wheel(0, -300)
            expect(page.locator("#zoom-text")).to_have_text("200 %")
            for number, name in enumerate(("Left is better", "Right is better", "No difference", "Left is better"), 1):
                wait_for(page, number)
                page.get_by_role("button", name=name).click()
            page.get_by_label("Anything else?").fill("a\n<script>alert(1)</script>")
            page.get_by_role("button", name="Continue").click()
            page.get_by_text("C0DE-42").wait_for()
            page.get_by_role("button", name="Copy").click()
        votes = server.votes("r0")
        answers = server.answers("r0")
    assert answers == {"age": "31", "screen": "A <b>desk</b>", "sight": "6", "remarks": "a\n<script>alert(1)</script>"}
    assert [vote.chosen for vote in votes] == [votes[0].shown[0], votes[1].shown[1], "", votes[3].shown[0]]
    assert [vote.zoom for vote in votes] == [2, 1, 1, 1]
    assert {(vote.viewport_width, vote.viewport_height, vote.pixel_ratio) for vote in votes} == {(1280, 800, 1)}
    assert all(0 < (vote.seconds or 0) < 60 for vote in votes)


def test_a_session_by_keyboard_alone(browser, server):
    def press(*keys: str) -> None:
        for key in keys:
            page.keyboard.press(key)

    with rater(browser, server.link("r0")) as page:
        page.get_by_role("button", name="I agree", exact=True).wait_for()
        press("Tab", "Enter")
        page.get_by_role("button", name="Start").wait_for()
        press("Tab", "Enter")
        wait_for(page, 1)
        slider = page.get_by_role("slider")
        press("ArrowLeft", "ArrowLeft", "ArrowDown")
        assert slider.input_value() == "44"
        press("Home")
        assert slider.input_value() == "0"
        press("+", "+", "l")
        wait_for(page, 2)
        assert slider.input_value() == "50"
        assert slider.evaluate("slider => slider === document.activeElement"), "the pictures have the focus"
        press("n")
        wait_for(page, 3)
        press("u")
        wait_for(page, 2)
        press("r")
        wait_for(page, 3)
        press("?")
        page.get_by_role("dialog").wait_for()
        press("l")
        press("Escape")
        assert page.locator("#progress-text").inner_text() == "3 of 4", "keys mean nothing behind a dialog"
        while page.evaluate("document.activeElement.ariaLabel") != "Left is better":
            press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px", "the focus is seen"
        press("Enter")
        wait_for(page, 4)
        press("r")
        page.get_by_text("C0DE-42").wait_for()
    votes = server.votes("r0")
    assert [vote.shown.index(vote.chosen) for vote in votes] == [0, 1, 0, 1]
    assert votes[0].zoom == 3


def test_a_session_by_touch(browser, server):
    with rater(browser, server.link("r0"), **PHONE) as page:
        page.get_by_role("button", name="I agree", exact=True).tap()
        page.get_by_role("button", name="Start").tap()
        wait_for(page, 1)
        assert page.locator("#zoom-text").inner_text() == "300 %", "a pixel of the picture for one of CSS"
        touch = page.context.new_cdp_session(page)

        def fingers(kind: str, *points: tuple[float, float]) -> None:
            at = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
            touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": at})

        fingers("Start", (195, 300))
        fingers("Move", (255, 310))
        fingers("End")
        assert page.get_by_role("slider").input_value() == "75"
        fingers("Start", (150, 300))
        fingers("Start", (150, 300), (200, 300))
        fingers("Move", (100, 300), (225, 300))
        fingers("End")
        expect(page.locator("#zoom-text")).to_have_text("800 %")
        before = page.evaluate("scrollY + document.scrollingElement.scrollLeft")
        assert before == 0, "the page stays where it is"
        for number in range(1, 5):
            wait_for(page, number)
            page.get_by_role("button", name="Right is better").tap()
        page.get_by_text("C0DE-42").wait_for()
    votes = server.votes("r0")
    assert [vote.shown.index(vote.chosen) for vote in votes] == [1, 1, 1, 1]
    assert [vote.zoom for vote in votes] == [8, 3, 3, 3]
    assert {(vote.viewport_width, vote.pixel_ratio) for vote in votes} == {(390, 3)}
