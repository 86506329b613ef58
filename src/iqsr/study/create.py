"""Make the folder of a study: the design, what raters read, and pictures that tell nothing but their pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from iqsr.errors import UsageError
from iqsr.io.atomic import write_bytes, write_text
from iqsr.study.design import ATTENTION, INPUT, PICTURES_FOLDER, Design, write_design
from iqsr.study.matching import match_scenes
from iqsr.study.new_folder import check_new_folder, new_folder
from iqsr.study.pictures import degraded, enlarged, padded, png_bytes
from iqsr.study.plan import Plan
from iqsr.study.seats import make_seats
from iqsr.study.settings import SETTINGS_FILE, Settings, commented_toml

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_POOL = 4
"""Degraded pictures for each attention check of a seat, where it is not known yet which a seat will show."""


def plan_study(methods: Mapping[str, Path], plan: Plan, *, lr: Path | None = None, scenes: int | None = None) -> Design:
    """Decide who sees what, without writing anything. The same arguments and files give the same design.

    Args:
        methods: Name of each method -> folder of its pictures. Pictures of a scene have the same name, or names that
            begin alike.
        plan: The size and the kind of the study.
        lr: Folder of the low-resolution pictures, which raters may be shown as well.
        scenes: How many of the scenes are taken, drawn at random; all if it is None.

    Raises:
        UsageError: Names, folders, pictures or numbers do not fit. One line.
    """
    found = _scenes(methods, lr)
    return _design(methods, plan, sorted(found), lr, scenes)


def create_study(
    methods: Mapping[str, Path],
    out: Path,
    plan: Plan,
    *,
    lr: Path | None = None,
    scenes: int | None = None,
    settings: Settings | None = None,
) -> Design:
    """Make the folder of a study. It appears whole or not at all.

    Pictures are written as PNG, upright, in sRGB, transparency on white, without metadata, under random names. All
    files of a scene have the same number of bytes.

    Args:
        methods: Name of each method -> folder of its pictures, as in `plan_study`.
        out: The study's folder. It must not exist, or be empty.
        plan: The size and the kind of the study.
        lr: Folder of the low-resolution pictures. They are enlarged without interpolation.
        scenes: How many of the scenes are taken, as in `plan_study`.
        settings: What raters read; the defaults if it is None.

    Returns:
        The design, as `design.json` in the folder holds it.

    Raises:
        UsageError: As `plan_study`; sizes differ within a scene; two methods have the same pictures; `out` is not
            empty.
        PictureError: A picture cannot be read.
        WriteError: The disk refuses.
    """
    check_new_folder(out)
    design = plan_study(methods, plan, lr=lr, scenes=scenes)
    with new_folder(out) as part:
        _write_pictures(part / PICTURES_FOLDER, design, _scenes(methods, lr))
        write_text(part / SETTINGS_FILE, commented_toml(settings or Settings()))
        write_design(design, part)
    return design


def _scenes(methods: Mapping[str, Path], lr: Path | None) -> dict[str, dict[str, Path]]:
    for name, folder in methods.items():
        if not name.strip() or name != name.strip() or "|" in name or not name.isprintable():
            raise UsageError(f"'{name}' is no name for a method: use letters and digits, without '|'")
        if name in (ATTENTION, INPUT):
            raise UsageError(f"'{name}' is no name for a method: it is a word of iqsr's own")
        if not folder.is_dir():
            raise UsageError(f"the pictures of '{name}': '{folder}' is no folder")
    folders = dict(methods) | ({INPUT: lr} if lr is not None else {})
    if lr is not None and not lr.is_dir():
        raise UsageError(f"--lr: '{lr}' is no folder")
    known: dict[Path, str] = {}
    for name, folder in folders.items():
        if (other := known.setdefault(folder.resolve(), name)) != name:
            raise UsageError(f"'{other}' and '{name}' are the same folder, '{folder}'")
    return match_scenes(folders)


def _design(
    methods: Mapping[str, Path], plan: Plan, names: Sequence[str], lr: Path | None, scenes: int | None
) -> Design:
    rng = Random(f"{plan.seed}/files")
    if scenes is not None:
        if scenes > len(names):
            raise UsageError(f"--scenes {scenes}: the folders hold {len(names)} scenes")
        names = sorted(rng.sample(list(names), scenes))
    seats = make_seats(plan, list(methods), names)
    checked = {trial.picture for seat in seats for trial in seat.trials if trial.kind == "attention"}
    if plan.pairing == "asap" and plan.attention_checks:
        checked = set(rng.sample(list(names), min(len(names), _POOL * plan.attention_checks)))
    files: dict[str, dict[str, str]] = {}
    for name in names:
        shown = [*methods, *([INPUT] if lr else []), *([ATTENTION] if name in checked else [])]
        files[name] = {method: f"{rng.getrandbits(64):016x}.png" for method in shown}
    return Design(
        seed=plan.seed,
        mode=plan.mode,
        pairing=plan.pairing,
        methods=tuple(methods),
        pictures=tuple(names),
        trials_per_seat=plan.trials,
        seats=seats,
        files=files,
        attention_checks=plan.attention_checks,
        repeats=plan.repeats,
    )


def _write_pictures(folder: Path, design: Design, found: Mapping[str, Mapping[str, Path]]) -> None:
    rng = Random(f"{design.seed}/pixels")
    differ: set[tuple[str, str]] = set()
    for picture in design.pictures:
        pixels = _read(picture, found[picture])
        differ |= {
            (one, other)
            for one in design.methods
            for other in design.methods
            if one < other and (pixels[one] != pixels[other]).any()
        }
        if ATTENTION in design.files[picture]:
            pixels[ATTENTION] = degraded(pixels[rng.choice(design.methods)], rng)
        for method, data in padded({name: png_bytes(values) for name, values in pixels.items()}, rng).items():
            write_bytes(folder / design.files[picture][method], data)
    for one in design.methods:
        for other in design.methods:
            if one < other and (one, other) not in differ:
                raise UsageError(f"'{one}' and '{other}' have the same pictures: nothing to compare")


def _read(picture: str, files: Mapping[str, Path]) -> dict[str, NDArray[np.uint8]]:
    """The pixels of a scene's files, all of one size."""
    from iqsr.images.screen import read_for_screen

    pixels = {name: read_for_screen(path) for name, path in files.items()}
    sizes = {name: (values.shape[1], values.shape[0]) for name, values in pixels.items() if name != INPUT}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{width} x {height} of '{name}'" for name, (width, height) in sizes.items())
        raise UsageError(f"the pictures of '{picture}' differ in size: {listed}")
    if INPUT in pixels:
        pixels[INPUT] = enlarged(pixels[INPUT], next(iter(sizes.values())))
    return pixels
