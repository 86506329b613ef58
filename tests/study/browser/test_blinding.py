"""Nothing that reaches the browser tells the methods apart."""

import json
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from iqsr.study.create import create_study
from iqsr.study.design import ATTENTION, Mode, read_design
from iqsr.study.plan import Plan
from iqsr.study.settings import Settings
from support.study_pages import METHODS, StudyServer, rater, running, served, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# What differs between any two answers of a server.
_CHANGING = {"date"}


def visited(browser, server: StudyServer, seat: str, choose: str) -> tuple[list[dict], str]:
    """All answers of the server in a session, and all of the page's HTML on the way."""
    answers: list[dict] = []
    html: list[str] = []
    with rater(browser, server.link(seat)) as page:

        def keep(response) -> None:
            answers.append({"url": response.url, "headers": response.all_headers(), "response": response})

        page.on("requestfinished", lambda request: keep(request.response()))
        page.get_by_role("button", name="I agree", exact=True).click()
        page.get_by_role("button", name="Start").click()
        for number in range(1, 5):
            wait_for(page, number)
            html.append(page.content())
            page.keyboard.press(choose)
        page.get_by_text("C0DE-42").wait_for()
        html.append(page.content())
        html.append(page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"))
        for answer in answers:
            answer["body"] = answer["response"].body()
    return answers, "\n".join(html)


def created(folder: Path, mode: Mode, methods: int) -> Path:
    """A study as `create` makes it, of pictures whose files would differ in length: flat ones and noise."""
    folders = {method: folder / method for method in METHODS[:methods]}
    for number, made in enumerate(folders.values()):
        made.mkdir()
        for scene in range(2):
            pixels = np.random.default_rng(scene).integers(0, 1 + 100 * number, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(made / f"scene{scene}.png")
    lr = folder / "lr"
    lr.mkdir()
    for scene in range(2):
        Image.fromarray(np.random.default_rng(scene).integers(0, 256, (15, 20, 3), dtype=np.uint8)).save(
            lr / f"scene{scene}.png"
        )
    plan = Plan(raters=2, trials=2, mode=mode, attention_checks=1, repeats=1)
    settings = Settings(completion_code="C0DE-42", consent="Agreed?")
    create_study(folders, folder / "study", plan, lr=lr, settings=settings)
    return folder / "study"


@pytest.mark.parametrize(("mode", "methods"), [("slider", 2), ("side", 2), ("best-of-n", 3)])
def test_nothing_tells_methods_apart(browser, tmp_path, mode, methods):
    names = [*METHODS[:methods], ATTENTION, "attention", "repeat", "scene"]
    study = created(tmp_path, mode, methods)
    with running(study) as server:
        sessions = [
            visited(browser, server, seat.name, "1" if methods > 2 else "l") for seat in read_design(study).seats
        ]
    files = [file.name for file in (study / "pictures").iterdir()]
    for answers, html in sessions:
        texts = [a["body"].decode() for a in answers if a["url"].endswith(("/state", "/consent", "/votes"))]
        assert len(texts) == 6
        for text in (html, *texts, *(str(answer["headers"]) + answer["url"] for answer in answers)):
            told = [name for name in (*names, *files) if re.search(rf"\b{re.escape(name)}", text, re.IGNORECASE)]
            assert not told
        pictures = {urlsplit(answer["url"]).path: answer for answer in answers if "/p/" in answer["url"]}
        trials = [state["trial"] for state in map(json.loads, texts) if state["trial"]]
        assert len(trials) == 4
        for trial in trials:
            shown = [pictures.pop(url) for url in (*trial["pictures"], trial["input"])]
            headers = [{k: v for k, v in one["headers"].items() if k not in _CHANGING} for one in shown]
            assert all(one == headers[0] for one in headers), "the same headers, the length included"
            assert len({len(one["body"]) for one in shown}) == 1
            assert len({len(one["url"]) for one in shown}) == 1
            assert not {"etag", "last-modified", "set-cookie"} & headers[0].keys()
            assert headers[0]["cache-control"] == "private, no-store"
        assert not pictures, "pictures of no trial"
    first, second = (
        {urlsplit(a["url"]).path.rsplit("/")[-1] for a in answers if "/p/" in a["url"]} for answers, _ in sessions
    )
    assert not first & second, "another rater's names of the same pictures are others"


def test_pictures_of_a_trial_appear_in_the_same_instant(browser, server):
    """One picture comes late; until then none is seen, and no answer is taken."""
    with rater(browser, server.link("r0")) as page:
        late: list = []
        page.route("**/p/*", lambda route: route.continue_() if late else late.append(route))
        page.get_by_role("button", name="I agree", exact=True).click()
        page.get_by_role("button", name="Start").click()
        page.get_by_text("Loading the pictures…").wait_for()
        page.wait_for_timeout(500)
        canvases = page.locator(".panel canvas")
        assert canvases.evaluate_all("all => all.every(one => getComputedStyle(one).visibility === 'hidden')")
        page.keyboard.press("l")
        released = time.monotonic()
        late[0].continue_()
        wait_for(page, 1)
        assert canvases.evaluate_all("all => all.every(one => getComputedStyle(one).visibility === 'visible')")
        assert server.votes("r0") == []
        page.keyboard.press("l")
        wait_for(page, 2)
        assert server.votes("r0")[0].seconds <= time.monotonic() - released, "the clock starts when both are seen"


def test_both_pictures_have_the_same_markup(browser, tmp_path):
    with served(tmp_path / "study", mode="side") as server, rater(browser, server.link("r0")) as page:
        page.get_by_role("button", name="I agree", exact=True).click()
        page.get_by_role("button", name="Start").click()
        wait_for(page, 1)
        left, right = page.locator(".panel").evaluate_all("all => all.map(one => one.outerHTML)")
        assert left.replace("left", "right") == right
