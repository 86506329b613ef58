"""A vote is there once, from the moment it is acknowledged, whatever is sent again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from iqsr.study.store import EventRow
from support.study_clients import Serve, Served, new_key


def events(served: Served) -> int:
    with served.study.database.reading() as session:
        return session.scalars(select(func.count(EventRow.id))).one()


def test_a_vote_holds_what_the_browser_told(served: Served) -> None:
    rater = served.rater(1)
    trial = rater.begin()["trial"]["id"]
    body = {"seconds": 2.5, "zoom": 1.5, "viewport": [390, 844], "pixel_ratio": 3, "strength": "clearly"}
    answer = rater.vote(1, **body)
    assert answer.status_code == 201
    assert answer.json()["answered"] == 1
    (vote,) = served.votes()
    assert (vote.rater, vote.trial, vote.picture) == ("r01", trial, "scene0")
    assert (vote.shown, vote.chosen) == (("bicubic", "ours"), "ours")
    assert (vote.kind, vote.mode, vote.strength) == ("vote", "slider", "clearly")
    assert (vote.seconds, vote.zoom, vote.pixel_ratio) == (2.5, 1.5, 3)
    assert (vote.viewport_width, vote.viewport_height) == (390, 844)
    assert vote.at.endswith("+00:00")


def test_no_difference_is_a_vote_where_it_is_allowed(serve: Serve) -> None:
    served = serve()
    served.rater().begin()
    assert served.rater().vote(None).status_code == 201
    assert served.votes()[0].chosen == ""


def test_no_difference_is_refused_where_it_is_not_allowed(serve: Serve) -> None:
    served = serve(settings='title = "Which?"\nconsent = "Yes?"\n')
    served.rater().begin()
    answer = served.rater().vote(None)
    assert (answer.status_code, answer.json()) == (422, {"error": "Choose one of the pictures."})
    assert served.votes() == []


def test_the_same_key_again_counts_once(served: Served) -> None:
    rater = served.rater()
    trial, key = rater.begin()["trial"]["id"], new_key()
    first, again = (rater.send("votes", trial=trial, choice=1, key=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert events(served) == 1


def test_the_same_choice_with_another_key_counts_once(served: Served) -> None:
    rater = served.rater()
    trial = rater.begin()["trial"]["id"]
    first, again = (rater.send("votes", trial=trial, choice=1, key=new_key()) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert events(served) == 1


def test_another_choice_for_an_answered_trial_is_refused(served: Served) -> None:
    rater = served.rater()
    trial, key = rater.begin()["trial"]["id"], new_key()
    rater.post("votes", trial=trial, choice=1, key=key)
    for again in (key, new_key()):
        assert rater.send("votes", trial=trial, choice=0, key=again).status_code == 409
    assert [vote.chosen for vote in served.votes()] == [served.votes()[0].shown[1]]


def test_a_retry_that_comes_after_the_undo_does_not_bring_the_vote_back(served: Served) -> None:
    rater = served.rater()
    trial, key = rater.begin()["trial"]["id"], new_key()
    rater.post("votes", trial=trial, choice=1, key=key)
    rater.post("undo")
    assert rater.send("votes", trial=trial, choice=1, key=key).status_code == 200
    assert served.votes() == []


def test_undo_opens_the_last_trial_again_and_keeps_both_events(served: Served) -> None:
    rater = served.rater()
    first = rater.begin()["trial"]["id"]
    second = rater.vote(0).json()["trial"]["id"]
    rater.vote(0)
    state = rater.post("undo")
    assert (state["trial"]["id"], state["answered"], state["can_undo"]) == (second, 1, True)
    state = rater.post("undo")
    assert (state["trial"]["id"], state["answered"], state["can_undo"]) == (first, 0, False)
    assert rater.post("undo")["answered"] == 0, "nothing is left to undo"
    assert events(served) == 4
    rater.vote(1)
    assert [(vote.trial, vote.chosen) for vote in served.votes()] == [(first, served.votes()[0].shown[1])]


@pytest.mark.parametrize("name", ["trial", "key"])
def test_an_undo_that_is_sent_twice_counts_once(served: Served, name: str) -> None:
    rater = served.rater()
    rater.begin()
    rater.vote(0)
    last = rater.state["trial"]["id"]
    rater.vote(0)
    body = {name: last if name == "trial" else new_key()}
    assert rater.post("undo", **body) == rater.post("undo", **body)
    assert rater.state["answered"] == 1


def test_the_last_answer_can_be_undone_when_all_is_done(served: Served) -> None:
    rater = served.rater()
    rater.begin()
    state = rater.finish()
    assert (state["step"], state["can_undo"], state["completion_code"]) == ("done", True, "C0DE-42")
    state = rater.post("undo")
    assert (state["step"], state["answered"], state["completion_code"]) == ("rating", 3, None)


CANNOT_BE: list[tuple[dict[str, object], int]] = [
    ({"trial": "r01-000"}, 409),  # another rater's
    ({"trial": "r00-001"}, 409),  # not yet
    ({"choice": 2}, 422),
    ({"choice": -1}, 422),
    ({"choice": "0"}, 422),
    ({"choice": True}, 422),
    ({"key": ""}, 422),
    ({"key": "k" * 65}, 422),
    ({"key": "nul\0nul\0"}, 422),
    ({"seconds": -1}, 422),
    ({"seconds": "NaN"}, 422),
    ({"zoom": 1e300}, 422),
    ({"viewport": [1]}, 422),
    ({"viewport": [1, 10**20]}, 422),
    ({"strength": "very"}, 422),
    ({"more": 1}, 422),
]


def test_votes_that_cannot_be_are_refused_in_a_sentence(served: Served) -> None:
    rater = served.rater()
    good = {"trial": rater.begin()["trial"]["id"], "choice": 0, "key": new_key()}
    for body, status in CANNOT_BE:
        answer = rater.send("votes", **(good | body))
        assert answer.status_code == status, (body, answer.text)
        assert list(answer.json()) == ["error"]
    assert served.votes() == []
    assert rater.send("votes", **good).status_code == 201


def test_a_crowd_of_retries_at_once_makes_one_vote_each(served: Served) -> None:
    raters = [served.rater(number) for number in range(3)]
    bodies = [{"trial": rater.begin()["trial"]["id"], "choice": 1, "key": new_key()} for rater in raters]
    with ThreadPoolExecutor(12) as threads:
        both = list(zip(raters, bodies, strict=True)) * 8
        sent = [threads.submit(rater.send, "votes", **body) for rater, body in both]
    codes = sorted(one.result().status_code for one in sent)
    assert codes == [200] * 21 + [201] * 3
    assert events(served) == 3
    assert sorted(vote.rater for vote in served.votes()) == ["r00", "r01", "r02"]
