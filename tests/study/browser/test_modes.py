"""Pictures in turn at one place, next to each other, and all at once; how clear a preference is."""

import pytest
import torch
from playwright.sync_api import expect

from support.study_pages import SETTINGS, begin, rater, seen, served, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_pictures_in_turn(browser, tmp_path):
    with served(tmp_path / "study", mode="flicker") as server:
        with rater(browser, server.link("r0")) as page:
            begin(page)
            badge = page.locator("#badge")
            first = seen(page)
            page.keyboard.press("a")
            assert page.locator("#progress-text").inner_text() == "1 of 4", "both must be seen first"
            expect(page.locator("#hint")).to_contain_text("see the other picture")
            page.keyboard.press("Space")
            expect(badge).to_have_text("B")
            page.wait_for_timeout(200)
            assert not torch.equal(seen(page), first)
            page.get_by_role("button", name="Switch").click()
            expect(badge).to_have_text("A")
            page.keyboard.down("Space")
            expect(badge).to_have_text("B")
            page.wait_for_timeout(500)
            page.keyboard.up("Space")
            expect(badge).to_have_text("A")
            page.mouse.click(640, 300)
            expect(badge).to_have_text("B")
            page.mouse.down()
            expect(badge).to_have_text("A")
            page.mouse.up()
            expect(badge).to_have_text("B")
            page.keyboard.press("b")
            wait_for(page, 2)
            expect(badge).to_have_text("A")
        (vote,) = server.votes("r0")
    assert vote.chosen == vote.shown[1]
    assert vote.mode == "flicker"


def test_the_best_of_several(browser, tmp_path):
    with served(tmp_path / "study", mode="best-of-n", methods=5) as server:
        with rater(browser, server.link("r0")) as page:
            begin(page)
            assert page.get_by_role("img").count() == 5
            page.get_by_role("button", name="Show picture 3 large").click()
            assert page.get_by_role("img").count() == 1
            page.mouse.click(640, 300)
            page.keyboard.press("ArrowRight")
            expect(page.get_by_role("img", name="4 picture")).to_be_visible()
            page.keyboard.press("Escape")
            assert page.get_by_role("img").count() == 5
            page.keyboard.press("4")
            wait_for(page, 2)
            box = page.get_by_role("img", name="2 picture").bounding_box()
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            wait_for(page, 3)
            page.get_by_role("button", name="Picture 5 is better").click()
            wait_for(page, 4)
            page.get_by_role("button", name="No difference").click()
            page.get_by_text("C0DE-42").wait_for()
        votes = server.votes("r0")
    assert [vote.chosen for vote in votes] == [votes[0].shown[3], votes[1].shown[1], votes[2].shown[4], ""]


def test_how_clear_a_preference_is(browser, tmp_path):
    with served(tmp_path / "study", mode="side", settings=SETTINGS + "ask_strength = true\n") as server:
        with rater(browser, server.link("r0")) as page:
            begin(page)
            page.keyboard.press("l")
            left = page.get_by_role("button", name="Left is better")
            expect(left).to_have_attribute("aria-pressed", "true")
            page.keyboard.press("r")
            expect(left).to_have_attribute("aria-pressed", "false")
            page.keyboard.press("c")
            wait_for(page, 2)
            page.get_by_role("button", name="Left is better").click()
            page.get_by_role("button", name="Strongly").click()
            wait_for(page, 3)
            page.keyboard.press("n")
            wait_for(page, 4)
        votes = server.votes("r0")
    assert [(vote.shown.index(vote.chosen), vote.strength) for vote in votes[:2]] == [(1, "clearly"), (0, "strongly")]
    assert (votes[2].chosen, votes[2].strength) == ("", "")
