"""The open link hands out every seat once, and keeps platforms' names apart from votes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import update

from iqsr.study.records import save_votes
from iqsr.study.server.limits import Limits, Rate
from iqsr.study.server.progress import read_progress
from iqsr.study.store import RaterRow
from iqsr.study.votes import Vote, read_votes, votes_csv, write_votes
from support.served_studies import write_study
from support.study_clients import Rater, Serve, Served


@pytest.fixture
def open_study(serve: Serve) -> Served:
    return serve(open_link=True)


def join(served: Served, pid: str = "") -> str:
    answer = served.client.get("/join", params={"pid": pid} if pid else {})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def make_idle(served: Served) -> None:
    """As if all who came had come long ago."""
    long_ago = update(RaterRow).where(RaterRow.joined_at.is_not(None)).values(joined_at="2020-01-01T00:00:00+00:00")
    served.study.database.write(lambda session: session.execute(long_ago))


def test_without_the_open_link_nobody_gets_a_seat(serve: Serve) -> None:
    served = serve()
    for path in ("/", "/join", "/join?pid=x"):
        assert served.client.get(path).status_code == 404


def test_every_seat_is_handed_out_once_however_many_come_at_once(open_study: Served) -> None:
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: open_study.client.get("/join"), range(12)))
    given = [answer.headers["location"] for answer in answers if answer.status_code == 303]
    assert sorted(given) == sorted(open_study.rater(number).path for number in range(3))
    assert {answer.status_code for answer in answers} == {303, 409}
    assert "All places" in open_study.client.get("/", headers={"Accept": "text/html"}).text


def test_seats_whose_link_was_opened_are_not_handed_out(open_study: Served) -> None:
    assert open_study.rater(0).state["step"] == "consent"
    assert join(open_study) == open_study.rater(1).path


def test_seats_with_imported_votes_are_not_handed_out(serve: Serve, tmp_path: Path) -> None:
    """The votes stay, whatever raters on the server say beside them."""
    study = tmp_path / "study"
    design = write_study(study)
    sheet = [
        Vote("r00", trial.id, trial.picture, trial.shown, "ours", trial.kind, "slider")
        for trial in design.seats[0].trials
    ]
    write_votes(sheet, study / "votes.csv")
    served = serve(open_link=True)
    rater = Rater(served.client, join(served))
    assert rater.path == served.rater(1).path
    rater.begin()
    rater.finish()
    with served.study.database.reading() as session:
        first, second, _ = read_progress(session, served.study).raters
        save_votes(session, served.study.design, study)
    assert (first.status, first.answered, first.attention_passed) == ("imported", 4, 1)
    assert (second.status, second.answered) == ("done", 4)
    expected = [*sheet, *served.votes()]
    assert list(read_votes(study / "votes.csv")) == expected
    assert served.sign_in().get("/admin/votes.csv").text == votes_csv(expected)
    join(served)
    assert served.client.get("/join").status_code == 409, "all other places are taken"


def test_a_participant_who_comes_again_gets_the_same_seat(open_study: Served) -> None:
    first = join(open_study, "jane")
    assert join(open_study, "joe") != first
    assert join(open_study, "jane") == first
    make_idle(open_study)
    assert join(open_study, "jane") == first


def test_the_landing_page_passes_the_name_on(open_study: Served) -> None:
    page = open_study.client.get("/", params={"pid": 'a"><script>1</script>'}).text
    assert "<script>1" not in page
    assert 'value="a&#34;&gt;&lt;script&gt;1&lt;/script&gt;"' in page


@pytest.mark.parametrize("pid", ["x" * 201, "a\0b", "a\nb", "\ud800"])
def test_names_that_no_platform_gives_are_refused(open_study: Served, pid: str) -> None:
    from urllib.parse import quote

    for path in ("/join", "/"):
        query = quote(pid, errors="surrogatepass")
        assert open_study.client.get(f"{path}?pid={query}").status_code in (200, 303, 422)
    assert open_study.client.get("/join", params={"pid": "x" * 201}).status_code == 422


def test_votes_and_answers_do_not_name_participants(open_study: Served) -> None:
    rater = Rater(open_study.client, join(open_study, "platform-name"))
    rater.begin()
    rater.finish()
    join(open_study, "second-name")
    admin = open_study.sign_in()
    for table in ("votes", "answers"):
        assert "platform-name" not in admin.get(f"/admin/{table}.csv").text
    assert admin.get("/admin/participants.csv").text == "pid,done\nplatform-name,yes\nsecond-name,no\n"


def test_a_seat_whose_rater_did_not_begin_is_handed_out_again_when_no_other_is_left(open_study: Served) -> None:
    begun, idle = (Rater(open_study.client, join(open_study, pid)) for pid in ("begun", "idle"))
    begun.begin()
    make_idle(open_study)
    assert join(open_study, "third") == open_study.rater(2).path, "a seat that nobody had comes first"
    fourth = join(open_study, "fourth")
    assert fourth not in {open_study.rater(number).path for number in range(3)}
    assert idle.client.get(f"{idle.path}/state").status_code == 410
    assert Rater(open_study.client, fourth).begin()["trial"]["id"] == "r01-000"
    assert begun.state["step"] == "rating"
    assert open_study.client.get("/join", params={"pid": "idle"}).status_code == 409, "all are taken"


def test_one_client_cannot_take_all_seats_quickly(serve: Serve) -> None:
    served = serve(open_link=True, limits=Limits(joins=Rate(2, 0)))
    assert [served.client.get("/join").status_code for _ in range(3)] == [303, 303, 429]
