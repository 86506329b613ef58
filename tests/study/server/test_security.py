"""What others try: guessed links, other raters' pictures, paths, long bodies, other sites, markup, the admin's page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from iqsr.study.design import ATTENTION
from iqsr.study.server.admin import COOKIE
from iqsr.study.server.guard import CONTENT_SECURITY_POLICY
from iqsr.study.server.limits import Limits, Rate
from iqsr.study.store import RaterRow
from support.served_studies import METHODS, QUESTIONS, SETTINGS
from support.study_clients import Rater, Serve, Served, new_key

FORM = {"content-type": "application/x-www-form-urlencoded"}
HOSTILE = "'); DROP TABLE events; --<script>alert(1)</script>{{7*7}}\u202e"


def test_every_answer_has_the_headers(serve: Serve) -> None:
    served = serve(open_link=True)
    rater = served.rater()
    picture = rater.begin()["trial"]["pictures"][0]
    client = served.client
    answers = [client.get(path) for path in ("/", "/admin", "/nothing", rater.path, f"{rater.path}/state", picture)]
    answers += [client.get("/static/page.css"), client.get("/static/nothing"), client.get("/join")]
    answers += [client.post("/admin", content="token=x", headers=FORM), client.put("/"), rater.vote(5), rater.vote()]
    answers += [client.post("/admin", content=b"x" * 100_000, headers=FORM)]
    for answer in answers:
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY, answer.url
        referrer = "same-origin" if answer.url.path == "/admin" else "no-referrer"
        assert answer.headers["referrer-policy"] == referrer
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == (
            "no-cache" if answer.url.path == "/static/page.css" else "private, no-store"
        )
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in answer.headers
    assert {answer.status_code for answer in answers} == {200, 201, 303, 403, 404, 405, 413, 422}


def test_pages_ask_for_nothing_elsewhere(serve: Serve) -> None:
    served = serve(open_link=True)
    html = {"Accept": "text/html"}
    pages = [served.client.get(path, headers=html).text for path in ("/", served.rater().path, "/admin", "/s/none")]
    for page in pages:
        assert "<html" in page
        assert "//" not in page.replace("<!-- ", ""), "an address of another server"
        assert " style=" not in page
        assert "<script>" not in page


def test_pictures_of_a_trial_differ_in_their_pixels_only(served: Served) -> None:
    rater = served.rater()
    state = rater.begin()
    while state["step"] == "rating":
        answers = [served.client.get(url) for url in state["trial"]["pictures"]]
        facts = [{name: value for name, value in answer.headers.items() if name != "date"} for answer in answers]
        assert facts[0] == facts[1]
        assert facts[0].keys().isdisjoint({"etag", "last-modified", "accept-ranges", "content-disposition", "age"})
        assert len(answers[0].content) == len(answers[1].content) == 2000
        assert answers[0].content != answers[1].content
        state = rater.vote().json()


def test_nothing_that_a_rater_is_sent_names_methods_or_pictures(served: Served) -> None:
    rater = served.rater()
    rater.begin()
    sent = served.client.get(rater.path).text
    while (state := rater.state)["step"] == "rating":
        sent += str(state)
        sent += rater.vote().text
    for secret in (*METHODS, ATTENTION, "attention", "scene", *served.study.design.files["scene0"].values()):
        assert secret not in sent


def test_the_same_picture_has_another_name_in_every_seat_and_trial(served: Served) -> None:
    names: list[str] = []
    for number in range(3):
        rater = served.rater(number)
        state = rater.begin()
        while state["step"] == "rating":
            names += [url.rpartition("/")[2] for url in state["trial"]["pictures"]]
            state = rater.vote().json()
    assert len(set(names)) == len(names) == 3 * 4 * 2
    assert {len(name) for name in names} == {24}


def test_another_seats_picture_is_not_found(served: Served) -> None:
    one, other = served.rater(0), served.rater(1)
    url = one.begin()["trial"]["pictures"][0]
    other.begin()
    name = url.rpartition("/")[2]
    assert served.client.get(f"{other.path}/p/{name}").status_code == 404
    assert served.client.get(f"/s/{'x' * 32}/p/{name}").status_code == 404
    assert served.client.get(url).status_code == 200


@pytest.mark.parametrize(
    "name", ["../design.json", "..%2Fdesign.json", "%2e%2e/%2e%2e/server.key", "....//x", "\\..\\x"]
)
def test_paths_lead_nowhere_else(served: Served, name: str) -> None:
    rater = served.rater()
    rater.begin()
    for start in (f"{rater.path}/p/", "/static/", "/"):
        answer = served.client.get(f"{start}{name}")
        assert answer.status_code == 404, answer.url
        assert "seed" not in answer.text


def test_guessed_links_are_refused_and_slowed_and_real_ones_are_not(serve: Serve) -> None:
    served = serve(limits=Limits(unknown_links=Rate(5, 0)))
    real = served.rater()
    codes: list[int] = []
    for number in range(8):
        guess = Rater(served.client, f"/s/{number:032}")
        codes.append(served.client.get(f"{guess.path}/state").status_code)
        assert guess.send("votes", trial="r00-000", choice=0, key=new_key()).status_code in (404, 429)
    assert codes == [404] * 3 + [429] * 5
    assert real.begin()["step"] == "rating"


def test_links_are_long_and_stand_nowhere_in_the_database(served: Served) -> None:
    token = served.rater().path.removeprefix("/s/")
    assert len(token) == 32
    with served.study.database.reading() as session:
        rater = session.get(RaterRow, 1)
        assert rater is not None
        assert token not in str(vars(rater))


def test_a_link_that_is_used_too_often_waits(serve: Serve) -> None:
    served = serve(limits=Limits(link=Rate(3, 0)))
    one, other = served.rater(0), served.rater(1)
    answers = [served.client.get(f"{one.path}/state") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["retry-after"] == "2"
    assert other.state["step"] == "consent"


def test_a_client_that_asks_too_often_waits(serve: Serve) -> None:
    served = serve(limits=Limits(client=Rate(3, 0)))
    answers = [served.client.get("/static/page.css") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["retry-after"] == "2"


def test_long_bodies_are_refused_with_and_without_their_length(served: Served) -> None:
    rater = served.rater()
    rater.begin()

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 10_000

    headers = {"content-type": "application/json"}
    for body in (b"x" * 70_000, pieces()):
        answer = served.client.post(f"{rater.path}/votes", content=body, headers=headers)
        assert (answer.status_code, list(answer.json())) == (413, ["error"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": None}, 403),
        ({"Origin": "https://evil.test"}, 403),
        ({"Sec-Fetch-Site": None, "Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, 403),
        ({"Sec-Fetch-Site": None, "Origin": "http://study.test:81"}, 403),
        ({"X-Study": None}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://study.test"}, 200),
        ({"Sec-Fetch-Site": None, "Origin": "http://study.test"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_other_sites_cannot_send_in_a_raters_name(
    sqlite_served: Served, headers: dict[str, str | None], status: int
) -> None:
    rater, client = sqlite_served.rater(), sqlite_served.client
    request = client.build_request("POST", f"{rater.path}/consent", json={"agreed": True})
    for name, value in headers.items():
        request.headers.pop(name, None)
        if value is not None:
            request.headers[name] = value
    assert client.send(request).status_code == status
    assert rater.state["step"] == ("rating" if status == 200 else "consent")


def test_other_sites_cannot_sign_in_or_out(served: Served) -> None:
    token = served.study.keys.admin_token()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.test"}):
        for path in ("/admin", "/admin/leave"):
            answer = served.client.post(path, content=f"token={token}", headers=FORM | headers)
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers


def test_what_raters_write_stays_text(serve: Serve) -> None:
    served = serve(settings=SETTINGS + QUESTIONS, open_link=True)
    rater = Rater(served.client, served.client.get("/join", params={"pid": HOSTILE[:-1]}).headers["location"])
    rater.begin()
    rater.post("questions", part="before", answers={"age": 30})
    rater.finish()
    for odd in ("a\0b", "\ud800"):
        answer = served.client.post(
            f"{rater.path}/questions",
            content=b'{"part": "after", "answers": {"remarks": "%s"}}'
            % odd.encode("unicode_escape").replace(b"\\x00", b"\\u0000"),
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 422, answer.text
    rater.post("questions", part="after", answers={"remarks": f"={HOSTILE}"})
    admin = served.sign_in()
    assert len(served.votes()) == 4
    page, table = admin.get("/admin").text, admin.get("/admin/answers.csv")
    assert "<script>alert" not in page
    assert "49" not in table.text
    assert table.text.splitlines()[-1] == f"r00,after,remarks,'={HOSTILE}"
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["content-disposition"].startswith("attachment")


def test_without_the_token_the_admins_page_shows_a_form(served: Served) -> None:
    for cookie in (
        "",
        "9999999999.",
        "9999999999.x",
        "9999999999.\xe9",
        "x.y",
        f"1.{served.study.keys.signature('1')}",
    ):
        headers = {b"Cookie": f"{COOKIE}={cookie}".encode("latin-1")}
        page = served.client.get("/admin", headers=headers).text
        assert "Admin token" in page
        assert "/s/" not in page
        for name in ("votes", "answers", "participants"):
            assert served.client.get(f"/admin/{name}.csv", headers=headers).status_code == 403


def test_the_admins_cookie_is_for_the_server_alone(served: Served) -> None:
    answer = served.client.post("/admin", content=f"token={served.study.keys.admin_token()}", headers=FORM)
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/admin"} <= {part.strip() for part in cookie.split(";")}
    assert served.study.keys.admin_token() not in cookie
    assert served.client.get("/admin/votes.csv").status_code == 200
    served.client.post("/admin/leave")
    assert served.client.get("/admin/votes.csv").status_code == 403


def test_another_admin_token_makes_old_cookies_void(serve: Serve) -> None:
    cookies = serve().sign_in().cookies
    again = serve(admin_token="another-token-of-24-chars")
    again.client.cookies = cookies
    assert again.client.get("/admin/votes.csv").status_code == 403


def test_wrong_admin_tokens_are_slowed(serve: Serve) -> None:
    served = serve(limits=Limits(admin_tokens=Rate(3, 0)))
    answers = [served.client.post("/admin", content=f"token={n}", headers=FORM).status_code for n in range(5)]
    assert answers == [403, 403, 403, 429, 429]


def test_documentation_of_the_interface_is_not_served(served: Served) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert served.client.get(path).status_code == 404


def test_a_failure_tells_nothing_and_has_the_headers(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("iqsr.study.server.steps.Steps.state", fail)
    answer = served.client.get(f"{served.rater().path}/state")
    assert (answer.status_code, answer.json()) == (500, {"error": "The server failed; try again."})
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
