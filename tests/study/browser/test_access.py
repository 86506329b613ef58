"""The rating page for everyone: contrast, focus, landmarks, small screens, people who speak to their computer."""

from typing import Any

import pytest

from support.browsers import contrast
from support.study_pages import PHONE, QUESTIONS, SETTINGS, begin, rater, served, wait_for

pytestmark = pytest.mark.browser

SMALLEST_TARGET_PX = 24


def behind(page, selector: str) -> tuple[str, str]:
    """The colours of an element's text and of what is behind it."""
    return page.locator(selector).first.evaluate(
        """one => {
            const ink = getComputedStyle(one).color;
            while (getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)") one = one.parentElement;
            return [ink, getComputedStyle(one).backgroundColor];
        }"""
    )


def test_text_has_contrast_and_no_surround_has_a_colour(browser, server):
    with rater(browser, server.link("r0"), reduced_motion="reduce") as page:
        page.get_by_role("button", name="I agree", exact=True).wait_for()
        for selector in ("#consent-text", "#consent-yes", "#consent-no"):
            assert contrast(*behind(page, selector)) >= 4.5, selector
        page.get_by_role("button", name="I agree", exact=True).click()
        page.get_by_role("button", name="Start").wait_for()
        assert contrast(*behind(page, '[data-step="instructions"] .small')) >= 4.5
        page.get_by_role("button", name="Start").click()
        wait_for(page, 1)
        for selector in ("#question", "#progress-text", ".answer", "#zoom-text", "#zoom-in", "#open-help"):
            assert contrast(*behind(page, selector)) >= 4.5, selector
        assert contrast("rgb(255, 255, 255)", behind(page, "#stage")[1]) >= 4.5, "hints over the surround"
        for selector in ("body", ".rating", "#stage", ".answer", "#zoom-fit"):
            red, green, blue = behind(page, selector)[1][4:-1].split(", ")
            assert red == green == blue, selector
        assert page.locator("#zoom-in").evaluate("one => getComputedStyle(one).transitionDuration") == "0s"


def test_landmarks_names_and_what_is_told(browser, server):
    with rater(browser, server.link("r0")) as page:
        begin(page)
        assert page.get_by_role("main").count() == 1
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.get_by_role("heading", level=1).all_inner_texts() == ["Which picture looks better?"]
        assert page.get_by_role("img", name="left picture").count() == 1
        assert page.get_by_role("img", name="right picture").count() == 1
        assert page.get_by_role("slider", name="Divider between the left and the right picture").count() == 1
        assert page.get_by_role("progressbar", name="Answered").count() == 1
        assert page.get_by_role("group", name="Which picture looks better?").get_by_role("button").count() == 3
        status = page.get_by_role("status")
        assert status.inner_text() == "1 of 4"
        assert page.get_by_role("slider").evaluate("one => one.ariaValueText") == "50 % left picture"
        nameless = page.get_by_role("button").evaluate_all(
            "all => all.filter(one => !one.ariaLabel && !one.textContent.trim()).length"
        )
        assert nameless == 0


def test_the_help_lists_every_key_and_switches_them_off(browser, server):
    with rater(browser, server.link("r0")) as page:
        begin(page)
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Help")
        keys = dialog.get_by_role("rowheader").all_inner_texts()
        assert [key.strip() for key in keys] == ["L", "N", "R", "← →", "+", "−", "0", "1 Z", "Shift ←", "U", "?"]
        dialog.get_by_label("work as keys").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("l")
        page.keyboard.press("ArrowLeft")
        assert page.get_by_role("slider").input_value() == "48"
        page.reload()
        page.get_by_role("button", name="Start").click()
        wait_for(page, 1)
        page.keyboard.press("r")
        page.wait_for_timeout(300)
        assert server.votes("r0") == []
        page.get_by_role("button", name="Help and keys").click()
        page.get_by_label("work as keys").check()
        page.keyboard.press("Escape")
        page.keyboard.press("r")
        wait_for(page, 2)


@pytest.mark.parametrize("mode", ["slider", "flicker", "best-of-n"])
def test_everything_fits_the_window(browser, tmp_path, mode):
    settings = SETTINGS + "ask_strength = true\n" + QUESTIONS
    phone: dict[str, Any] = PHONE | {"viewport": {"width": 320, "height": 568}}
    pictures = {"methods": 5 if mode == "best-of-n" else 2, "has_input": mode in ("slider", "side")}
    with (
        served(tmp_path / "study", mode=mode, settings=settings, **pictures) as server,
        rater(browser, server.link("r0"), **phone) as page,
    ):
        wide = "document.documentElement.scrollWidth <= innerWidth"
        page.get_by_role("button", name="I agree", exact=True).wait_for()
        assert page.evaluate(wide)
        page.get_by_role("button", name="I agree", exact=True).click()
        page.get_by_label("How old").fill("9")
        assert page.evaluate(wide)
        page.get_by_label("A phone").check()
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Start").click()
        wait_for(page, 1)
        for width, height in ((320, 568), (390, 844), (844, 390), (1280, 800)):
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(100)
            boxes = page.get_by_role("button").evaluate_all(
                "all => all.map(one => [one.textContent, one.getBoundingClientRect().toJSON()])"
            )
            for name, box in boxes:
                assert min(box["width"], box["height"]) >= SMALLEST_TARGET_PX, name
                assert box["left"] >= 0, name
                assert box["right"] <= width, name
                assert box["bottom"] <= height + 0.5, name
            assert page.locator("#stage").bounding_box()["height"] >= 0.3 * height
