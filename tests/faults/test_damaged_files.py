"""Files damaged at random: each is read, or refused in one line, within limits of time and memory."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save

from iqsr.training.engine.checkpoints import Checkpoints
from support.fault_tally import Row, times
from support.forked_processes import Finished, ForkServer
from support.heic_samples import deep, turned, with_alpha
from support.model_samples import saved, weights
from support.mutations import mutated
from support.sets import crops

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 60
SEED = 0


def pictures() -> dict[str, bytes]:
    """A photo in every format that is read."""
    rgb = (crops(1, 96)[0] * 255).byte().permute(1, 2, 0).numpy()
    photo = Image.fromarray(rgb)
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "jpg": ("JPEG", {"quality": 90}),
        "progressive.jpg": ("JPEG", {"progressive": True}),
        "png": ("PNG", {}),
        "webp": ("WEBP", {}),
        "lossless.webp": ("WEBP", {"lossless": True}),
        "plain.tif": ("TIFF", {}),
        "lzw.tif": ("TIFF", {"compression": "tiff_lzw"}),
        "deflate.tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
        "jpeg.tif": ("TIFF", {"compression": "jpeg"}),
        "gif": ("GIF", {}),
        "bmp": ("BMP", {}),
        "ppm": ("PPM", {}),
        "jp2": ("JPEG2000", {}),
        "avif": ("AVIF", {"speed": 10}),
    }
    found = {f"turned.{kind}": data for kind, data in {"heic": turned()}.items()}
    found |= {"deep.heic": deep(), "alpha.heic": with_alpha()}
    for ending, (kind, options) in ways.items():
        file = io.BytesIO()
        photo.save(file, kind, **options)
        found[f"photo.{ending}"] = file.getvalue()
    return found


def verdict(ended: Finished) -> str:
    """Empty where a file was read or refused as it must be."""
    if ended.code in (0, 1) and "Traceback" not in ended.err:
        return ""
    return f"exit code {ended.code}, {ended.cpu_seconds:.1f} CPU seconds: {ended.out}{ended.err[-400:]}"


def refused(found: Counter[int]) -> str:
    return f"{found[0]} read, {found[1]} refused in one line"


def read_damaged(server: ForkServer, folder: Path, whole: dict[str, bytes], reader: str, seed: str, tried: int) -> None:
    """Damage the files in turn, each in another way, and read each in a process with limits."""
    problems, found = list[str](), Counter[int]()
    for number in range(tried):
        name = list(whole)[number % len(whole)]
        how, data = mutated(whole[name], Random(f"{seed}/{number}"))
        path = folder / name
        path.write_bytes(data)
        process = server.start(
            str(path), function=f"support.fault_readers:read_{reader}", memory=MEMORY_BYTES, cpu_seconds=CPU_SECONDS
        )
        ended = process.wait()
        found[ended.code] += 1
        if said := verdict(ended):
            problems.append(f"{number} ({name}, {how}): {said}")
            shutil.copy(path, folder / f"{number}-{name}")
    Row("damaged files", f"{reader} reader", tried, tried - len(problems), 0, refused(found)).keep()
    assert not problems, "\n".join(problems)


def test_damaged_pictures_are_read_or_refused_in_one_line(server: ForkServer, tmp_path: Path) -> None:
    whole = pictures()
    read_damaged(server, tmp_path, whole, "picture", str(SEED), times(500, 3 * len(whole)))


def test_undamaged_pictures_are_read(server: ForkServer, tmp_path: Path) -> None:
    """What the others are made of; with the same limits."""
    for name, data in pictures().items():
        (tmp_path / name).write_bytes(data)
        process = server.start(str(tmp_path / name), function="support.fault_readers:read_picture", memory=MEMORY_BYTES)
        assert process.wait().code == 0, name


def models() -> dict[str, bytes]:
    return {
        "zip.pth": saved(weights()),
        "legacy.pth": saved(weights(), _use_new_zipfile_serialization=False),
        "net.safetensors": save(weights()),
    }


def test_damaged_models_are_read_or_refused_in_one_line(server: ForkServer, tmp_path: Path) -> None:
    read_damaged(server, tmp_path, models(), "checkpoint", f"{SEED}/model", times(150, 9))


def test_a_run_whose_last_checkpoint_is_damaged_goes_on_from_one_that_is_whole(
    server: ForkServer, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path / "whole")
    for step in (1, 2):
        checkpoints.save(step, {"average": {"weight": torch.full((2000,), float(step))}})
    tried, problems = times(50, 4), list[str]()
    for number in range(tried):
        folder = shutil.copytree(tmp_path / "whole", tmp_path / f"{number}")
        ending = ("ckpt", "json")[number % 2]
        path = folder / f"step-00000002-rank0.{ending}"
        how, data = mutated(path.read_bytes(), Random(f"{SEED}/run/{number}"))
        path.write_bytes(data)
        process = server.start(
            str(folder), function="support.fault_readers:read_run", memory=MEMORY_BYTES, cpu_seconds=CPU_SECONDS
        )
        ended = process.wait()
        if ended.code:
            problems.append(f"{number} ({path.name}, {how}): {ended.code} {ended.err[-400:]}")
    Row("damaged files", "last checkpoint of a run", tried, tried - len(problems), len(problems)).keep()
    assert not problems, "\n".join(problems)
