"""What must not happen while a picture is written: half a file, a hang, unbounded memory."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image

from iqsr.errors import PictureError, UsageError
from iqsr.images import check_output, write_picture
from iqsr.io.atomic import remove_stale_parts
from support.commands import PATIENCE
from support.disks import small_disk
from support.picture_errors import SIZE, opened, photo, run_python, the_error

# Outputs that cannot be


def test_outputs_are_checked_before_the_work(tmp_path: Path) -> None:
    picture = opened(tmp_path / "in.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    for name, size, kind, word in [
        ("out.gif", SIZE, UsageError, ".png, .jpg"),
        ("out", SIZE, UsageError, ".png, .jpg"),
        ("out.heic", SIZE, UsageError, ".png, .jpg"),
        ("out.png", (0, 5), UsageError, "0 x 5"),
        ("out.webp", (16384, 10), PictureError, "16383"),
        ("out.jpg", (10, 65501), PictureError, "65500"),
        ("folder.png", SIZE, PictureError, "folder"),
        ("file/out.png", SIZE, PictureError, "is a file"),
        ("file/deeper/out.png", SIZE, PictureError, "is a file"),
    ]:
        message = the_error(lambda name=name, size=size: check_output(tmp_path / name, size, picture), kind)
        assert message.startswith(f"cannot write '{tmp_path / name}': ")
        assert word in message
    for name, size in [("out.webp", (16383, 9)), ("OUT.JPG", (9, 65500)), ("new/deep/out.tiff", (10**6, 10**6))]:
        check_output(tmp_path / name, size, picture)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png", "in.png"]


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_out_of_range_is_refused(tmp_path: Path, quality: int) -> None:
    picture = opened(tmp_path / "in.png")
    work = lambda: write_picture(  # noqa: E731
        tmp_path / "out.jpg", picture.rows(9), source=picture, upscaled=SIZE, size=SIZE, quality=quality
    )
    assert "1 to 100" in the_error(work, UsageError)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Of one megabyte."""
    with small_disk("1m", tmp_path / "disk") as place:
        yield place


def noise_bands(seen: list[int], count: int = 400) -> Iterator[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    for index in range(count):
        seen.append(index)
        yield torch.rand(1, 3, 50, 1000, generator=rng)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_full_disk_is_an_error_that_leaves_what_was_there(disk: Path, tmp_path: Path, suffix: str) -> None:
    picture, out = opened(tmp_path / "in.png"), disk / f"out.{suffix}"
    out.write_bytes(b"what was there")
    threads = threading.active_count()
    seen: list[int] = []
    bands = noise_bands(seen, 40 if suffix == "webp" else 400)
    height = 2000 if suffix == "webp" else 20_000
    work = lambda: write_picture(  # noqa: E731
        out, bands, source=picture, upscaled=(1000, height), size=(1000, height)
    )
    assert the_error(work) == f"cannot write '{out}': No space left on device"
    assert out.read_bytes() == b"what was there"
    assert [path.name for path in disk.iterdir()] == [out.name]
    if suffix != "webp":  # which is encoded when the last row has come
        assert len(seen) < 300  # the work stopped when the disk was full
    assert threading.active_count() == threads


def test_a_read_only_folder_is_found_before_the_work(disk: Path, tmp_path: Path) -> None:
    picture = opened(tmp_path / "in.png")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for name in ("out.png", "new/out.png"):
        message = the_error(lambda name=name: check_output(disk / name, SIZE, picture))
        assert message == f"cannot write '{disk / name}': the folder '{disk}' is read-only"


# Outputs that are interrupted


class TroubleError(Exception):
    """Anything that may go wrong in the network."""


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("error", [TroubleError, KeyboardInterrupt, PictureError, OSError, MemoryError])
def test_whatever_the_bands_raise_leaves_the_old_file(
    tmp_path: Path, error: type[BaseException], suffix: str, after: int
) -> None:
    picture, out = opened(tmp_path / "in.png"), tmp_path / f"out.{suffix}"
    out.write_bytes(b"old")
    threads = threading.active_count()

    def bands() -> Iterator[torch.Tensor]:
        for index, band in enumerate(picture.rows(50)):
            if index == after:
                raise error("in the middle")
            yield band

    with pytest.raises(error, match="in the middle"):
        write_picture(out, bands(), source=picture, upscaled=SIZE, size=SIZE)
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", out.name]
    assert threading.active_count() == threads


@pytest.mark.parametrize("height", [199, 201])
def test_rows_that_do_not_add_up_are_no_picture(tmp_path: Path, height: int) -> None:
    picture = opened(tmp_path / "in.png")
    with pytest.raises(ValueError, match="rows"):
        write_picture(tmp_path / "out.png", picture.rows(64), source=picture, upscaled=(300, height), size=(9, 9))
    assert not (tmp_path / "out.png").exists()
    assert len(list(tmp_path.iterdir())) == 1


SLOW_WRITE = """
    import signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have it ignored
    from pathlib import Path
    from iqsr.images import open_picture, write_picture
    picture = open_picture(Path(sys.argv[1]))
    def bands():
        for index, band in enumerate(picture.rows(1)):
            if index == 100:
                print("half", flush=True)
                time.sleep(600)  # longer than PATIENCE
            yield band
    size = (picture.info.width, picture.info.height)
    write_picture(Path(sys.argv[2]), bands(), source=picture, upscaled=size, size=size)
"""


def half_done(tmp_path: Path) -> subprocess.Popen[str]:
    photo().save(tmp_path / "in.png")
    (tmp_path / "out.png").write_bytes(b"old")
    process = run_python(SLOW_WRITE, tmp_path / "in.png", tmp_path / "out.png")
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    return process


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    process = half_done(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert (tmp_path / "out.png").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "out.png"]


def test_a_killed_process_leaves_a_part_that_is_found_when_it_is_gone(tmp_path: Path) -> None:
    process = half_done(tmp_path)
    assert remove_stale_parts(tmp_path) == []  # it is at work
    process.kill()
    process.communicate(timeout=PATIENCE)
    (part,) = tmp_path.glob(".*.iqsr-part")
    assert part.name.startswith(f".out.png.{process.pid}-")
    assert (tmp_path / "out.png").read_bytes() == b"old"
    unlike = [tmp_path / ".hidden", tmp_path / "x.iqsr-part", tmp_path / ".x.iqsr-part"]
    for path in unlike:
        path.write_text("")
    assert remove_stale_parts(tmp_path) == [part]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["in.png", "out.png", *(path.name for path in unlike)]
    )


def test_a_part_of_this_very_process_is_not_stale(tmp_path: Path) -> None:
    picture = opened(tmp_path / "in.png")

    def bands() -> Iterator[torch.Tensor]:
        for band in picture.rows(50):
            assert remove_stale_parts(tmp_path) == []
            yield band

    write_picture(tmp_path / "out.png", bands(), source=picture, upscaled=SIZE, size=SIZE)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), np.asarray(photo()))


# Memory

MEASURE = """
    import sys, threading, time
    from pathlib import Path
    import torch
    from iqsr.images import open_picture, write_picture
    torch.set_num_threads(1)
    def resident():
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
    peak = 0.0
    def watch():
        global peak
        while True:
            peak = max(peak, resident())
            time.sleep(0.01)
    picture = open_picture(Path(sys.argv[1]))
    width, height = picture.info.width * 4, picture.info.height * 4
    constant = torch.linspace(0, 1, width).expand(1, 3, 64, width).contiguous()
    before = resident()
    threading.Thread(target=watch, daemon=True).start()
    bands = (constant[:, :, : band.shape[2] * 4] for band in picture.rows(16))
    write_picture(Path(sys.argv[2]), bands, source=picture, upscaled=(width, height), size=(width, height))
    print(peak - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory in use from /proc")
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_memory_stays_bounded_from_12_to_192_megapixels(tmp_path: Path, suffix: str) -> None:
    xy = pyvips.Image.xyz(4000, 3000)
    gradient = (xy[0] / 16).bandjoin([xy[1] / 12, (xy[0] + xy[1]) / 28]).cast("uchar")
    gradient.copy(interpretation="srgb").pngsave(str(tmp_path / "in.png"), compression=1)
    process = run_python(MEASURE, tmp_path / "in.png", tmp_path / f"out.{suffix}")
    started = time.monotonic()
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert stderr == ""
    growth = float(stdout)
    print(f"{suffix}: {growth:.0f} MB, {time.monotonic() - started:.1f} s")
    assert growth < 300  # the float output alone would be 2304 MB, and 576 MB as bytes
    assert pyvips.Image.new_from_file(str(tmp_path / f"out.{suffix}")).width == 16_000
