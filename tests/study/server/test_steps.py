"""The way through a study: consent, questions, pairs, questions, done; on any device; and out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from iqsr.study.design import INPUT
from iqsr.study.store import AnswerRow, Base, EventRow, ParticipantRow, RaterRow, StudyRow, TrialRow
from iqsr.study.votes import read_votes, write_votes
from support.served_studies import QUESTIONS, SETTINGS, write_study
from support.study_clients import Rater, Serve, Served, new_key


def test_the_state_has_what_the_page_needs_and_not_more(served: Served) -> None:
    state = served.rater().begin()
    assert set(state) == {
        *("step", "title", "question", "instructions", "consent", "mode", "allow_no_difference", "ask_strength"),
        *("questions", "total", "answered", "trial", "next", "can_undo", "completion_code"),
    }
    assert (state["step"], state["total"], state["answered"], state["mode"]) == ("rating", 4, 0, "slider")
    assert state["completion_code"] is None
    for trial in (state["trial"], state["next"]):
        assert set(trial) == {"id", "pictures", "input", "width", "height"}
        assert trial["input"] is None
        assert (len(trial["pictures"]), trial["width"], trial["height"]) == (2, 32, 24)


def test_the_input_is_a_picture_like_the_others(serve: Serve, tmp_path: Path) -> None:
    design = write_study(tmp_path / "study", has_input=True)
    served = serve()
    rater, other = served.rater(0), served.rater(1)
    state = rater.begin()
    pictures = dict(zip([trial.id for trial in design.seats[0].trials], design.pictures, strict=True))
    for trial in (state["trial"], state["next"]):
        answers = [rater.client.get(url) for url in (*trial["pictures"], trial["input"])]
        assert all(answer.status_code == 200 for answer in answers)
        assert answers[0].headers == answers[1].headers == answers[2].headers
        assert len({len(answer.content) for answer in answers}) == 1
        assert len({len(url) for url in (*trial["pictures"], trial["input"])}) == 1
        file = served.study.picture_file(pictures[trial["id"]], INPUT)
        assert answers[2].content == file.read_bytes()
    elsewhere = other.begin()["trial"]["input"].rsplit("/", 1)[1]
    assert rater.client.get(f"{rater.path}/p/{elsewhere}").status_code == 404, "of another rater's seat"
    assert rater.send("votes", trial=state["trial"]["id"], choice=2, key=new_key()).status_code == 422, (
        "nobody chooses it"
    )


def test_nothing_goes_before_consent(served: Served) -> None:
    rater = served.rater()
    assert rater.state["step"] == "consent"
    assert rater.state["trial"] is None
    assert rater.send("votes", trial="r00-000", choice=0, key=new_key()).status_code == 409
    for agreed in (False, None, "yes"):
        assert rater.send("consent", agreed=agreed).status_code == 422
    assert rater.state["step"] == "consent"
    assert rater.begin() == rater.begin(), "agreeing twice is agreeing once"


def test_questions_come_before_and_after_the_pairs(serve: Serve) -> None:
    served = serve(settings=SETTINGS + QUESTIONS)
    rater = served.rater()
    assert rater.send("questions", part="before", answers={"age": 30}).status_code == 409, "consent comes first"
    state = rater.begin()
    assert (state["step"], state["trial"]) == ("before", None)
    assert [(one["id"], one["kind"], one["required"]) for one in state["questions"]] == [("age", "number", True)]
    assert rater.send("votes", trial="r00-000", choice=0, key=new_key()).status_code == 409
    assert rater.send("questions", part="after", answers={}).status_code == 409
    for wrong in ({}, {"age": "old"}, {"age": None}, {"age": True}, {"age": 1, "name": "x"}):
        assert rater.send("questions", part="before", answers=wrong).status_code == 422
    state = rater.post("questions", part="before", answers={"age": 30})
    assert state["step"] == "rating"
    assert rater.post("questions", part="before", answers={"age": 31}) == state, "sent again: the first answer stays"
    assert rater.finish()["step"] == "after"
    text = "x" * 2001
    assert rater.send("questions", part="after", answers={"remarks": text}).status_code == 422
    assert rater.post("questions", part="after", answers={"remarks": "fine"})["step"] == "done"
    with served.study.database.reading() as session:
        answers = session.execute(select(AnswerRow.part, AnswerRow.question, AnswerRow.value)).all()
    assert sorted(map(tuple, answers)) == [("after", "remarks", '"fine"'), ("before", "age", "30")]


def test_a_study_that_asks_for_no_consent_begins_with_the_pairs(serve: Serve) -> None:
    served = serve(settings='title = "Which?"\n')
    assert served.rater().state["step"] == "rating"
    assert served.rater().vote().status_code == 201


def test_another_device_and_another_server_go_on_where_the_rater_was(serve: Serve) -> None:
    served = serve()
    rater = served.rater()
    rater.begin()
    state = rater.vote(1).json()
    again = serve()
    elsewhere = Rater(again.client, rater.path)
    assert elsewhere.state == state
    assert served.client.get(state["trial"]["pictures"][0]).content == (
        again.client.get(state["trial"]["pictures"][0]).content
    )
    elsewhere.vote(0)
    assert rater.state["answered"] == 2


def test_a_withdrawal_deletes_what_the_rater_said(serve: Serve, tmp_path: Path) -> None:
    served = serve(settings=SETTINGS + QUESTIONS, open_link=True)
    rater = Rater(served.client, served.client.get("/join?pid=platform-name-of-jane").headers["location"])
    rater.begin()
    rater.post("questions", part="before", answers={"age": 77777})
    rater.finish()
    rater.post("questions", part="after", answers={"remarks": "my name is Jane Doe"})
    other = served.rater(1)
    other.begin()
    other.post("questions", part="before", answers={"age": 30})
    other.vote()
    picture = other.state["trial"]["pictures"][0], rater.path

    table = tmp_path / "study" / "votes.csv"
    sheet = replace(served.votes()[0], rater="from a sheet", trial="s-001")
    write_votes([sheet, *served.votes()], table)

    assert rater.post("withdraw")["step"] == "withdrawn"

    assert [vote.rater for vote in read_votes(table)] == ["from a sheet", "r01"]
    assert [vote.rater for vote in served.votes()] == ["r01"]
    with served.study.database.reading() as session:
        gone = session.scalars(select(RaterRow).where(RaterRow.withdrawn_at.is_not(None))).one()
        for table in (EventRow, AnswerRow, ParticipantRow, TrialRow):
            assert session.scalars(select(table).where(table.rater_id == gone.id)).all() == []
        assert (gone.joined_at, gone.consented_at, gone.before_at, gone.after_at) == (None, None, None, None)
    assert rater.state["step"] == "withdrawn"
    assert rater.post("withdraw")["step"] == "withdrawn"
    for what, body in {"consent": {"agreed": True}, "undo": {}, "questions": {"part": "before", "answers": {}}}.items():
        assert rater.send(what, **body).status_code == 410
    assert other.client.get(picture[0]).status_code == 200
    for file in tmp_path.glob("study/votes.sqlite*"):
        assert not any(secret in file.read_bytes() for secret in (b"Jane Doe", b"name-of-jane", b"77777"))


def test_pictures_of_who_withdrew_are_gone(served: Served) -> None:
    rater = served.rater()
    url = rater.begin()["trial"]["pictures"][0]
    assert rater.client.get(url).status_code == 200
    rater.post("withdraw")
    assert rater.client.get(url).status_code == 404


def test_the_seat_of_who_withdrew_has_a_new_link(serve: Serve) -> None:
    served = serve(open_link=True, raters=1)
    rater = served.rater()
    rater.begin()
    rater.vote()
    rater.post("withdraw")
    path = served.client.get("/join").headers["location"]
    assert path != rater.path
    following = Rater(served.client, path)
    following.begin()
    following.finish()
    assert {(vote.rater, vote.trial) for vote in served.votes()} == {("r00.2", f"r00-{n:03}") for n in range(4)}


def test_no_table_but_that_of_participants_names_them() -> None:
    naming = {table.name for table in Base.metadata.tables.values() if "pid" in table.columns}
    assert naming == {ParticipantRow.__tablename__}
    assert "pid" not in {*StudyRow.__table__.columns.keys(), *EventRow.__table__.columns.keys()}
