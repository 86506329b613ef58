"""The admin page in a browser: the token opens it, and the votes can be taken home."""

from pathlib import Path

import pytest

from support.study_pages import begin, rater, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_token_opens_the_page_and_its_exports(browser, server):
    with rater(browser, server.link("r0")) as page:
        begin(page)
        page.keyboard.press("l")
        wait_for(page, 2)
    with rater(browser, f"{server.base}/admin", quiet=False) as page:
        page.get_by_label("Admin token").fill("wrong")
        page.get_by_role("button", name="Open").click()
        assert "not the token" in page.get_by_role("alert").inner_text()
    with rater(browser, f"{server.base}/admin") as page:
        page.get_by_label("Admin token").fill(server.admin_token)
        page.get_by_role("button", name="Open").click()
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="r0", exact=True))
        assert "1 of 4" in row.inner_text()
        with page.expect_download() as download:
            page.get_by_role("link", name="votes.csv").click()
        header, vote = Path(download.value.path()).read_text().splitlines()
        assert header.startswith("rater,trial,picture,shown,chosen")
        assert vote.startswith("r0,r0-0,scene0,")
        page.get_by_role("button", name="Leave").click()
        page.get_by_label("Admin token").wait_for()
