"""A served study with pictures of which every pixel is known, and browsers of raters who log no error."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from iqsr.study.design import INPUT, Design, Mode, Seat, Trial, write_design
from iqsr.study.pictures import padded, png_bytes
from iqsr.study.votes import Vote

METHODS = ("bicubic", "ours", "theirs", "base", "naive")
WIDTH, HEIGHT = 240, 160
TRIALS = 4
SETTINGS = """
title = "Sharp or soft?"
question = "Which picture looks better?"
instructions = "Look closely."
consent = "Your answers are stored. You can withdraw at any time."
allow_no_difference = true
completion_code = "C0DE-42"
"""
QUESTIONS = """
[[before]]
id = "age"
text = "How old are you?"
kind = "number"

[[before]]
id = "screen"
text = "What do you look at?"
kind = "choice"
choices = ["A phone", "A <b>desk</b>"]

[[before]]
id = "sight"
text = "How well do you see?"
kind = "choice"
choices = ["1", "2", "3", "4", "5", "6", "7"]
required = false

[[after]]
id = "remarks"
text = "Anything else?"
kind = "text"
required = false
"""
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 3,
}


def picture(place: int, method: str) -> Tensor:
    """The pixels of a picture by a method: noise, which no resampling leaves as it is. (3, H, W), uint8."""
    rng = torch.Generator().manual_seed(100 * place + METHODS.index(method))
    return torch.randint(0, 256, (3, HEIGHT, WIDTH), generator=rng, dtype=torch.uint8)


def input_picture(place: int) -> Tensor:
    """The pixels of a small picture as squares of four. (3, H, W), uint8."""
    return picture(place, METHODS[0])[:, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2)


def write_study(
    folder: Path,
    mode: Mode = "slider",
    settings: str = SETTINGS,
    methods: int = 2,
    seats: int = 3,
    has_input: bool = False,
) -> None:
    """A study of `TRIALS` pictures. Each rater sees the methods in another order than the rater before."""
    (folder / "pictures").mkdir(parents=True)
    shown = METHODS[:methods]
    names = tuple(f"scene{place}" for place in range(TRIALS))
    files: dict[str, dict[str, str]] = {name: {} for name in names}
    for place, name in enumerate(names):
        pictures = {method: picture(place, method) for method in shown}
        pictures |= {INPUT: input_picture(place)} if has_input else {}
        pixels = {method: png_bytes(values.permute(1, 2, 0).numpy()) for method, values in pictures.items()}
        for number, (method, data) in enumerate(padded(pixels, Random(place)).items()):
            files[name][method] = f"{zlib.crc32(bytes([place, number])):08x}.png"
            (folder / "pictures" / files[name][method]).write_bytes(data)
    write_design(
        Design(
            seed=0,
            mode=mode,
            pairing="balanced",
            methods=shown,
            pictures=names,
            trials_per_seat=TRIALS,
            seats=tuple(Seat(f"r{n}", _trials(n, names, shown)) for n in range(seats)),
            files=files,
        ),
        folder,
    )
    (folder / "study.toml").write_text(settings)


def _trials(number: int, names: tuple[str, ...], shown: tuple[str, ...]) -> tuple[Trial, ...]:
    turned = (
        shown[(number + place) % len(shown) :] + shown[: (number + place) % len(shown)] for place in range(TRIALS)
    )
    return tuple(Trial(f"r{number}-{place}", names[place], order) for place, order in enumerate(turned))


@dataclass
class StudyServer:
    """The real server on a port of its own, in a thread; it can be ended and started again."""

    folder: Path
    port: int = 0
    _running: list[Any] = field(default_factory=list[Any])

    def start(self) -> None:
        """Serve."""
        import uvicorn

        from iqsr.study.server.app import create_app
        from iqsr.study.server.process import listening
        from iqsr.study.server.served import open_study

        study = open_study(self.folder)
        listener = listening("127.0.0.1", self.port)
        opened = listener.__enter__()
        self.port = opened.getsockname()[1]
        app = create_app(study, open_link=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", server_header=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        self._running = [server, thread, listener, study]

    def stop(self) -> None:
        """End; the database stays."""
        server, thread, listener, study = self._running
        server.should_exit = server.force_exit = True
        thread.join(10)
        listener.__exit__(None, None, None)
        study.database.close()

    @property
    def base(self) -> str:
        """http://HOST:PORT"""
        return f"http://127.0.0.1:{self.port}"

    def link(self, seat: str) -> str:
        """The link of a seat's first rater."""
        return f"{self.base}/s/{self._running[3].keys.seat_token(seat, 1)}"

    @property
    def admin_token(self) -> str:
        """What opens the admin page."""
        return self._running[3].keys.admin_token()

    def votes(self, seat: str) -> list[Vote]:
        """The votes that count, of a seat's first rater."""
        from iqsr.study.records import votes_in

        study = self._running[3]
        with study.database.reading() as session:
            return [vote for vote in votes_in(session, study.design) if vote.rater == seat]

    def answers(self, seat: str) -> dict[str, str]:
        """The answers to the questionnaire, of a seat's first rater."""
        from iqsr.study.records import answers_in

        with self._running[3].database.reading() as session:
            return {question: value for rater, _, question, value in answers_in(session) if rater == seat}


@contextmanager
def running(folder: Path) -> Iterator[StudyServer]:
    """The study in a folder, served."""
    server = StudyServer(folder)
    server.start()
    yield server
    server.stop()


@contextmanager
def served(folder: Path, **study: Any) -> Iterator[StudyServer]:
    """A new study, served."""
    write_study(folder, **study)
    with running(folder) as server:
        yield server


@contextmanager
def rater(browser: Any, link: str, *, quiet: bool = True, **context: Any) -> Iterator[Any]:
    """A rater's page. quiet: nothing may be logged while a test uses it. Nothing may be asked of other hosts, ever."""
    opened = browser.new_context(**(context or DESK))
    opened.set_default_timeout(15_000)
    page = opened.new_page()
    noise: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(f"uncaught: {error}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(link)
    yield page
    opened.close()
    host = urlsplit(link).netloc
    assert all(urlsplit(url).netloc == host for url in asked), "a request to somebody else"
    assert not [text for text in noise if quiet or text.startswith("uncaught")]


def begin(page: Any) -> None:
    """Agree, read the instructions, and wait for the first pictures."""
    page.get_by_role("button", name="I agree", exact=True).click()
    page.get_by_role("button", name="Start").click()
    wait_for(page, 1)


def wait_for(page: Any, number: int, total: int = TRIALS) -> None:
    """Wait until the pictures of a trial are seen and their clock runs."""
    from playwright.sync_api import expect

    expect(page.locator("#status")).to_have_text(f"{number} of {total}", timeout=15_000)


def seen(page: Any, **options: Any) -> Tensor:
    """What is on the screen, in device pixels. (3, H, W), uint8."""
    png = torch.frombuffer(bytearray(page.screenshot(**options)), dtype=torch.uint8)
    return decode_image(png, ImageReadMode.RGB)
