"""A study as picture files and a table to fill in, for raters without a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from iqsr.errors import UsageError
from iqsr.io.atomic import write_bytes, write_text
from iqsr.io.places import check_leads_inside
from iqsr.study.asap import assign
from iqsr.study.design import PICTURES_FOLDER, Design, Trial, read_design
from iqsr.study.new_folder import check_new_folder, new_folder
from iqsr.study.pictures import png_bytes
from iqsr.study.settings import Settings, read_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

ANSWERS_FILE = "answers.csv"
"""In the folder of each seat."""
_HEADER = "trial,choice,strength,reason\n"
_GAP_PIXELS = 20
_LABEL_PIXELS = 28
_FONT_PIXELS = 16
_MOST_IN_A_ROW = 3
_PLACES = 6
_SMALLEST_CROP_PIXELS = 32


def write_sheets(study: Path, out: Path, *, crop_size: int | None = None) -> list[Path]:
    """Write a folder for each seat: a sheet for each trial, a table to fill in, and what raters must know.

    Sheets tell nothing of methods; which method is where stays in the study's folder. The folder appears whole or not
    at all. Seats of active pairing get the trials that they would get before the first vote.

    Args:
        study: The study's folder.
        out: The folder of the sheets. It must not exist, or be empty.
        crop_size: Show squares of so many pixels instead of whole pictures: a part with detail, the same of all
            methods, so that a viewer need not zoom.

    Returns:
        The folders of the seats.

    Raises:
        UsageError: The folder is no study, `out` is not empty, `crop_size` is too small.
        PictureError: A picture of the study cannot be read.
        WriteError: The disk refuses.
    """
    check_new_folder(out)
    design, settings = read_design(study), read_settings(study)
    if crop_size is not None and crop_size < _SMALLEST_CROP_PIXELS:
        raise UsageError(
            f"--crop-size: a part of {crop_size} pixels shows nothing; use {_SMALLEST_CROP_PIXELS} or more"
        )
    with new_folder(out) as part:
        pictures = _Pictures(study / PICTURES_FOLDER, design, crop_size)
        for seat in design.seats:
            trials = assign(design, seat.name, ())
            for trial in trials:
                sheet = draw_sheet(trial.id, labels(design, trial), pictures.of(trial))
                write_bytes(part / seat.name / f"{trial.id}.png", png_bytes(sheet))
            table = _HEADER + "".join(f"{trial.id},,,\n" for trial in trials)
            write_text(part / seat.name / ANSWERS_FILE, table)
            write_text(part / seat.name / "README.txt", readme(design, settings))
    return [out / seat.name for seat in design.seats]


def labels(design: Design, trial: Trial) -> list[str]:
    """What stands above the pictures of a sheet, and in `choice`: LEFT and RIGHT, or numbers from 1."""
    if design.mode == "best-of-n":
        return [str(place) for place in range(1, len(trial.shown) + 1)]
    return ["LEFT", "RIGHT"]


def draw_sheet(title: str, names: Sequence[str], pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The pictures side by side on white, in rows of three, each below its name. (H, W, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = pictures[0].shape[:2]
    columns = min(len(pictures), _MOST_IN_A_ROW)
    rows = -(-len(pictures) // columns)
    size = (
        columns * (width + _GAP_PIXELS) + _GAP_PIXELS,
        _LABEL_PIXELS + rows * (height + _LABEL_PIXELS) + _GAP_PIXELS,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_PIXELS)
    draw.text((_GAP_PIXELS, _LABEL_PIXELS // 2), title, "black", font, anchor="lm")
    for place, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        x = _GAP_PIXELS + place % columns * (width + _GAP_PIXELS)
        y = _LABEL_PIXELS + place // columns * (height + _LABEL_PIXELS)
        draw.text((x + width // 2, y + _LABEL_PIXELS // 2), name, "black", font, anchor="mm")
        sheet.paste(Image.fromarray(picture), (x, y + _LABEL_PIXELS))
    return np.asarray(sheet)


def readme(design: Design, settings: Settings) -> str:
    """What a rater must know, in plain text."""
    several = design.mode == "best-of-n"
    choice = "the number of the picture" if several else "LEFT or RIGHT"
    none = ", or NONE if you see no difference" if settings.allow_no_difference else ". Answer all, also if it is hard"
    strength = (
        "strength  how clear it was: barely, clearly or strongly."
        if settings.ask_strength
        else "strength  may stay empty; or how clear it was: barely, clearly or strongly."
    )
    instructions = f"\n{settings.instructions.strip()}\n" if settings.instructions.strip() else ""
    return f"""{settings.title}
{instructions}
Each PNG file shows the same scene {"several times" if several else "twice"}. For each, answer: {settings.question}

Look at the files in the order of their names, at 100 % (a pixel of the file is a pixel of the screen).
Write your answers into {ANSWERS_FILE}, a line for each file:

  trial     the file's name, already there.
  choice    {choice}{none}.
  {strength}
  reason    may stay empty; or why, in a few words.
"""


class _Pictures:
    """The pictures of a study, whole or the part that sheets show."""

    def __init__(self, folder: Path, design: Design, crop_size: int | None) -> None:
        self._folder, self._design, self._crop = folder, design, crop_size
        self._corners: dict[str, tuple[int, int]] = {}

    def of(self, trial: Trial) -> list[NDArray[np.uint8]]:
        """Those of a trial, in the order of display."""
        found = [self._read(trial.picture, method) for method in trial.shown]
        if self._crop is None:
            return found
        if trial.picture not in self._corners:
            versions = [self._read(trial.picture, method) for method in self._design.methods]
            rng = Random(f"{self._design.seed}/crop/{trial.picture}")
            self._corners[trial.picture] = detailed_corner(versions, self._crop, rng)
        x, y = self._corners[trial.picture]
        return [pixels[y : y + self._crop, x : x + self._crop] for pixels in found]

    def _read(self, picture: str, method: str) -> NDArray[np.uint8]:
        from iqsr.images.screen import read_for_screen

        path = self._folder / self._design.files[picture][method]
        check_leads_inside(path, self._folder.parent)
        return read_for_screen(path)


def detailed_corner(versions: Sequence[NDArray[np.uint8]], side: int, rng: Random) -> tuple[int, int]:
    """The left upper corner of a square with detail: of six places at random the one with the second most.

    So it is neither a blank sky nor always the busiest part. All methods count alike.

    Args:
        versions: The same scene by every method, (H, W, 3).
        side: Of the square, in pixels; where the picture is smaller, its own side.
        rng: The random source.
    """
    gray = np.mean([pixels.mean(2) for pixels in versions], 0)
    height, width = gray.shape
    places: list[tuple[float, int, int]] = []
    for _ in range(_PLACES):
        x, y = rng.randint(0, max(0, width - side)), rng.randint(0, max(0, height - side))
        part = gray[y : y + side, x : x + side]
        places.append((float(np.abs(np.diff(part, axis=0)).mean() + np.abs(np.diff(part, axis=1)).mean()), x, y))
    return sorted(places, reverse=True)[1][1:]
