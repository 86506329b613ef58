"""What browsers send to the server of a study."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from iqsr.study.records import votes_in
from iqsr.study.server.served import ServedStudy
from iqsr.study.votes import Vote

HEADERS = {"Sec-Fetch-Site": "same-origin", "X-Study": "1"}
"""What a browser adds to the requests of the page, and what the page adds."""
_keys = count()


def new_client(app: FastAPI) -> TestClient:
    """Follows no redirect; raises no exception of the server's."""
    headers = HEADERS | {"Accept": "application/json"}
    return TestClient(app, "http://study.test", headers=headers, follow_redirects=False, raise_server_exceptions=False)


def new_key() -> str:
    """Another one each time."""
    return f"key-{next(_keys):08}"


class Rater:
    """One rater's page.

    Args:
        client: Of the application.
        path: /s/TOKEN.
    """

    def __init__(self, client: TestClient, path: str) -> None:
        self.client = client
        self.path = path

    @property
    def state(self) -> dict[str, Any]:
        answer = self.client.get(f"{self.path}/state")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, what: str, **body: Any) -> Any:
        """The answer, whatever it is."""
        return self.client.post(f"{self.path}/{what}", json=body)

    def post(self, what: str, **body: Any) -> dict[str, Any]:
        """The state after it."""
        answer = self.send(what, **body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def begin(self) -> dict[str, Any]:
        """To the first trial."""
        return self.post("consent", agreed=True)

    def vote(self, choice: int | None = 0, **more: Any) -> Any:
        """Answer the trial that is open."""
        body = {"trial": self.state["trial"]["id"], "choice": choice, "key": new_key()} | more
        return self.send("votes", **body)

    def finish(self, choice: int = 0) -> dict[str, Any]:
        """All trials that are left."""
        while (state := self.state)["step"] == "rating":
            self.post("votes", trial=state["trial"]["id"], choice=choice, key=new_key())
        return state


class Served:
    """A study that is served."""

    def __init__(self, study: ServedStudy, client: TestClient) -> None:
        self.study = study
        self.client = client

    def rater(self, number: int = 0) -> Rater:
        """Of the seat."""
        return Rater(self.client, f"/s/{self.study.keys.seat_token(f'r{number:02}', 1)}")

    def votes(self) -> list[Vote]:
        with self.study.database.reading() as session:
            return votes_in(session, self.study.design)

    def sign_in(self) -> TestClient:
        """The client with the admin's cookie."""
        form = {"content-type": "application/x-www-form-urlencoded"}
        answer = self.client.post("/admin", content=f"token={self.study.keys.admin_token()}", headers=form)
        assert answer.status_code == 303, answer.text
        return self.client


Serve = Callable[..., Served]
