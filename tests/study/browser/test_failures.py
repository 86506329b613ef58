"""What a rater has answered survives undo, reloads, other devices, dead servers and double clicks, and counts once."""

import json

import pytest
from playwright.sync_api import expect

from support.study_pages import begin, rater, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_undo_opens_the_last_trial_again(browser, server):
    with rater(browser, server.link("r0")) as page:
        begin(page)
        undo = page.get_by_role("button", name="Undo the last answer")
        assert undo.is_disabled()
        page.keyboard.press("l")
        wait_for(page, 2)
        page.keyboard.press("l")
        wait_for(page, 3)
        undo.click()
        wait_for(page, 2)
        undo.click()
        wait_for(page, 1)
        assert undo.is_disabled()
        assert server.votes("r0") == []
        page.keyboard.press("r")
        wait_for(page, 2)
    (vote,) = server.votes("r0")
    assert vote.chosen == vote.shown[1]


def test_the_last_answer_can_be_changed_at_the_end(browser, server):
    with rater(browser, server.link("r0")) as page:
        begin(page)
        for number in range(1, 5):
            wait_for(page, number)
            page.keyboard.press("l")
        page.get_by_role("button", name="Change the last answer").click()
        wait_for(page, 4)
        page.keyboard.press("r")
        page.get_by_text("C0DE-42").wait_for()
    votes = server.votes("r0")
    assert [vote.shown.index(vote.chosen) for vote in votes] == [0, 0, 0, 1]


def test_a_session_goes_on_after_a_reload_and_on_another_device(browser, server):
    with rater(browser, server.link("r0"), quiet=False) as page:
        begin(page)
        page.keyboard.press("l")
        wait_for(page, 2)
        page.reload()
        wait_for(page, 2)
        page.keyboard.press("r")
        wait_for(page, 3)
        with rater(browser, server.link("r0")) as other:
            wait_for(other, 3)
            other.keyboard.press("l")
            wait_for(other, 4)
        page.keyboard.press("r")
        wait_for(page, 4)
    votes = server.votes("r0")
    assert [vote.shown.index(vote.chosen) for vote in votes] == [0, 1, 0], "the answer that came first stays"


def test_a_double_click_is_one_answer(browser, server):
    with rater(browser, server.link("r0")) as page:
        begin(page)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/votes") else None)
        page.get_by_role("button", name="Left is better").dblclick()
        page.keyboard.press("l")
        wait_for(page, 2)
        assert len(sent) == 1
    assert len(server.votes("r0")) == 1


def test_answers_wait_for_a_server_that_is_away(browser, server):
    with rater(browser, server.link("r0"), quiet=False) as page:
        begin(page)
        page.keyboard.press("l")
        wait_for(page, 2)
        page.wait_for_timeout(300)
        server.stop()
        page.keyboard.press("r")
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("Nothing is lost")
        assert page.locator("#progress-text").inner_text() == "2 of 4", "not before the server has it"
        page.keyboard.press("l")
        server.start()
        page.get_by_role("button", name="Try now").click()
        wait_for(page, 3)
        expect(alert).to_be_hidden()
        page.keyboard.press("l")
        wait_for(page, 4)
    votes = server.votes("r0")
    assert [vote.shown.index(vote.chosen) for vote in votes] == [0, 1, 0]


@pytest.mark.parametrize("arrives", [True, False])
def test_an_answer_whose_receipt_is_lost_is_sent_again_with_its_key(browser, server, arrives):
    with rater(browser, server.link("r0"), quiet=False) as page:
        begin(page)
        keys: list[str] = []

        def lose(route) -> None:
            keys.append(json.loads(route.request.post_data)["key"])
            if len(keys) > 1:
                route.continue_()
                return
            if arrives:
                route.fetch()
            route.abort()

        page.route("**/votes", lose)
        page.keyboard.press("l")
        wait_for(page, 2)
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(server.votes("r0")) == 1


def test_an_answer_outlives_the_page(browser, server):
    with rater(browser, server.link("r0"), quiet=False) as page:
        begin(page)
        page.route("**/votes", lambda route: route.abort())
        page.keyboard.press("r")
        expect(page.get_by_role("alert")).to_be_visible()
        assert server.votes("r0") == []
        page.unroute("**/votes")
        page.reload()
        wait_for(page, 2)
    (vote,) = server.votes("r0")
    assert vote.chosen == vote.shown[1]


def test_an_answer_of_an_earlier_visit_that_is_refused_is_asked_for_anew(browser, server):
    with rater(browser, server.link("r0"), quiet=False) as page:
        begin(page)
        vote = {"trial": page.request.get(f"{page.url}/state").json()["trial"]["id"], "choice": 7, "key": "12345678"}
        page.evaluate("vote => localStorage.setItem(`study-answer:${location.pathname}`, vote)", json.dumps(vote))
        page.reload()
        page.get_by_role("button", name="Start").click()
        wait_for(page, 1)
        page.keyboard.press("l")
        wait_for(page, 2)
        assert page.evaluate("localStorage.length") == 0


def test_pictures_that_do_not_arrive_are_fetched_again_and_nothing_is_answered_before(browser, server):
    with rater(browser, server.link("r0"), quiet=False) as page:
        lost: list[str] = []

        def lose(route) -> None:
            lost.append(route.request.url)
            route.abort() if len(lost) <= 2 else route.continue_()

        page.route("**/p/*", lose)
        page.get_by_role("button", name="I agree", exact=True).click()
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_be_visible()
        page.keyboard.press("l")
        wait_for(page, 1)
        assert server.votes("r0") == []


def test_withdrawing_asks_first_and_deletes_everything(browser, server):
    with rater(browser, server.link("r0")) as page:
        begin(page)
        page.keyboard.press("l")
        wait_for(page, 2)
        page.get_by_role("button", name="Help and keys").click()
        page.get_by_role("button", name="Withdraw from the study…").locator("visible=true").click()
        page.get_by_role("button", name="Stay").click()
        assert len(server.votes("r0")) == 1
        page.get_by_role("button", name="Help and keys").click()
        page.get_by_role("button", name="Withdraw from the study…").locator("visible=true").click()
        page.get_by_role("button", name="Delete my answers and withdraw").click()
        page.get_by_role("heading", name="You have withdrawn").wait_for()
        assert server.votes("r0") == []
        page.reload()
        page.get_by_role("heading", name="You have withdrawn").wait_for()


def test_an_unknown_link_and_the_open_link(browser, server):
    with rater(browser, f"{server.base}/s/{'x' * 32}", quiet=False) as page:
        expect(page.get_by_role("main")).to_contain_text("This link is not valid")
    with rater(browser, f"{server.base}/?pid=PROLIFIC-7") as page:
        page.get_by_role("button", name="Take part").click()
        begin(page)
        assert "PROLIFIC-7" not in page.url
