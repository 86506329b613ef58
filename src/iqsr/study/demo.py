"""A study over pictures that the package makes itself, and raters that are drawn at random."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from iqsr.errors import UsageError
from iqsr.study.asap import assign
from iqsr.study.create import create_study
from iqsr.study.design import ATTENTION, Design
from iqsr.study.plan import Plan
from iqsr.study.settings import Settings
from iqsr.study.votes import VOTES_FILE, Vote, write_votes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = "realesrgan-x4plus"
"""Compared with bicubic interpolation."""
_SIZE = (256, 192)
"""Width and height of the originals, in pixels."""
_SCALE = 4
_PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
_DRAWN = 4
_FREE_SEATS = 4
"""For people, beside the synthetic raters."""
_PREFERENCE_PROBITS = 0.7
_RATER_SD, _PICTURE_SD = 0.25, 0.5
"""Of synthetic raters, in probits."""
_SECONDS = 4.0
_SETTINGS = Settings(
    title="A demo",
    question="Which picture looks better?",
    instructions="Both pictures were enlarged from the same small one. There is no right answer.",
)


def make_demo(out: Path, *, synthetic_raters: int = 0, seed: int = 0) -> Design:
    """Make a study of two methods, bicubic interpolation and the default model, on eight small pictures.

    Four are photos where scikit-image is installed; the others are drawn. It takes some seconds.

    Args:
        out: The study's folder. It must not exist, or be empty.
        synthetic_raters: How many of the seats have votes already, in `votes.csv`. They prefer the model, more or less,
            and are no people.
        seed: Of the design and the votes.

    Returns:
        The design: a seat for each synthetic rater, and four more.

    Raises:
        UsageError: `out` is not empty, or the number of raters is negative.
        WeightsError: The model's weights are missing.
    """
    from iqsr.study.new_folder import check_new_folder

    check_new_folder(out)
    if synthetic_raters < 0:
        raise UsageError(f"--synthetic-raters: there cannot be {synthetic_raters}")
    with tempfile.TemporaryDirectory() as temporary:
        lr = Path(temporary) / "lr"
        methods = _enlarge(demo_pictures(), Path(temporary), lr)
        pictures = len(_PHOTOS) + _DRAWN
        plan = Plan(synthetic_raters + _FREE_SEATS, pictures, attention_checks=1, repeats=1, seed=seed)
        design = create_study(methods, out, plan, lr=lr, settings=_SETTINGS)
    if synthetic_raters:
        write_votes(synthetic_votes(design, synthetic_raters, seed=seed), out / VOTES_FILE)
    return design


def demo_pictures() -> dict[str, NDArray[np.uint8]]:
    """Originals by name, (192, 256, 3): photos of scikit-image where it is installed, and drawn ones."""
    has_photos = find_spec("skimage") is not None
    first = {name: _photo(name) for name in _PHOTOS} if has_photos else {name: _drawn(name) for name in _PHOTOS}
    return first | {name: _drawn(name) for name in (f"drawn-{number}" for number in range(1, _DRAWN + 1))}


def synthetic_votes(design: Design, raters: int, *, seed: int = 0) -> list[Vote]:
    """The votes of the last seats, drawn: a probit of rater, picture and a preference for the second method.

    Args:
        design: Of two methods.
        raters: How many seats. The server hands out the first ones first.
        seed: Of the random source.
    """
    from scipy.special import ndtr

    rng = Random(f"{seed}/votes")
    likes = {picture: rng.gauss(0, _PICTURE_SD) for picture in design.pictures}
    votes: list[Vote] = []
    for seat in design.seats[len(design.seats) - raters :]:
        taste = rng.gauss(_PREFERENCE_PROBITS, _RATER_SD)
        for trial in assign(design, seat.name, ()):
            share = 1.0 if trial.kind == "attention" else float(ndtr(taste + likes[trial.picture]))
            better = next(m for m in trial.shown if m != ATTENTION) if trial.kind == "attention" else design.methods[1]
            other = next(method for method in trial.shown if method != better)
            votes.append(
                Vote(
                    rater=seat.name,
                    trial=trial.id,
                    picture=trial.picture,
                    shown=trial.shown,
                    chosen=better if rng.random() < share else other,
                    kind=trial.kind,
                    mode=design.mode,
                    seconds=round(rng.lognormvariate(np.log(_SECONDS), 0.5), 1),
                )
            )
    return votes


def _enlarge(originals: dict[str, NDArray[np.uint8]], folder: Path, lr: Path) -> dict[str, Path]:
    """Reduce the originals into `lr`, and enlarge those by both methods. Method -> folder of its pictures."""
    from PIL import Image

    from iqsr.upscaling.upscaler import Upscaler

    upscaler = Upscaler(MODEL)
    methods = {name: folder / name for name in ("bicubic", MODEL)}
    for path in (lr, *methods.values()):
        path.mkdir()
    for name, original in originals.items():
        picture = Image.fromarray(original)
        small = picture.resize((picture.width // _SCALE, picture.height // _SCALE), Image.Resampling.BICUBIC)
        small.save(lr / f"{name}.png")
        small.resize(picture.size, Image.Resampling.BICUBIC).save(methods["bicubic"] / f"{name}.png")
        larger = upscaler.upscale(np.asarray(small), scale=_SCALE)
        Image.fromarray(larger).save(methods[MODEL] / f"{name}.png")
    return methods


def _photo(name: str) -> NDArray[np.uint8]:
    import skimage.data
    from PIL import Image, ImageOps

    photo = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    return np.asarray(ImageOps.fit(photo, _SIZE, Image.Resampling.LANCZOS))


def _drawn(name: str) -> NDArray[np.uint8]:
    """Shapes with sharp edges, stripes and letters on a gradient, drawn at four times the size and reduced."""
    from PIL import Image, ImageDraw, ImageFont

    rng = Random(name)
    width, height = (side * 4 for side in _SIZE)
    down, across = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    corners = [np.array([rng.randint(60, 240) for _ in range(3)]) for _ in range(3)]
    ground = corners[0] * (1 - down) + corners[1] * down * (1 - across) + corners[2] * down * across
    picture = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(24):
        colour = rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)
        x, y, size = rng.randrange(width), rng.randrange(height), rng.randint(40, 220)
        match rng.randrange(4):
            case 0:
                draw.ellipse((x - size, y - size, x + size, y + size), fill=colour, outline="black", width=6)
            case 1:
                draw.regular_polygon((x, y, size), rng.randint(3, 7), rng.randrange(360), fill=colour)
            case 2:
                for stripe in range(0, size, 16):
                    draw.line((x + stripe, y - size, x + stripe + size // 2, y + size), fill=colour, width=6)
            case _:
                draw.text((x, y), "iqsr", colour, ImageFont.load_default(max(60, size)))
    return np.asarray(picture.resize(_SIZE, Image.Resampling.LANCZOS))
