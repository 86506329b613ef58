"""A small study on the disk: a design, settings, pictures of which every byte is known."""

import json
import struct
import zlib
from pathlib import Path

from iqsr.study.design import ATTENTION, INPUT, Design, Seat, Trial, write_design

METHODS = ("bicubic", "ours")
SETTINGS = """
title = "Sharp or soft?"
question = "Which picture do you prefer?"
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

[[after]]
id = "remarks"
text = "Anything else?"
kind = "text"
required = false
"""


def write_study(
    folder: Path, raters: int = 3, trials: int = 4, settings: str = SETTINGS, has_input: bool = False
) -> Design:
    """A balanced study of two methods. The first seat's second trial is an attention check."""
    (folder / "pictures").mkdir(parents=True)
    pictures = tuple(f"scene{number}" for number in range(trials))
    files = {
        picture: {method: _write_picture(folder / "pictures", place, shade) for shade, method in enumerate(shown)}
        for place, picture in enumerate(pictures)
        if (shown := (*METHODS, ATTENTION, *([INPUT] if has_input else [])))
    }
    seats = tuple(_seat(number, pictures) for number in range(raters))
    design = Design(
        seed=0,
        mode="slider",
        pairing="balanced",
        methods=METHODS,
        pictures=pictures,
        trials_per_seat=trials,
        seats=seats,
        files=files,
    )
    write_design(design, folder)
    (folder / "study.toml").write_text(settings)
    return design


def png(width: int, height: int, shade: int, length: int = 2000) -> bytes:
    """A gray PNG, padded to the length."""
    rows = b"".join(b"\0" + bytes([shade]) * width for _ in range(height))
    head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    tail = _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return head + _chunk(b"paDd", bytes(length - len(head) - len(tail) - 12)) + tail


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _write_picture(folder: Path, place: int, shade: int) -> str:
    name = f"{zlib.crc32(json.dumps([place, shade]).encode()):08x}.png"
    (folder / name).write_bytes(png(32, 24, 50 * place % 200 + shade))
    return name


def _seat(number: int, pictures: tuple[str, ...]) -> Seat:
    trials: list[Trial] = []
    for place, picture in enumerate(pictures):
        attention = number == 0 and place == 1
        shown = ("ours", ATTENTION) if attention else METHODS[:: 1 if (number + place) % 2 else -1]
        trials.append(Trial(f"r{number:02}-{place:03}", picture, shown, "attention" if attention else "vote"))
    return Seat(f"r{number:02}", tuple(trials))
