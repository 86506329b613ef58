"""A batch of pictures: what becomes of it when one fails or is there already, what a dry run tells, and progress."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iqsr import Upscaler
from iqsr.errors import ModelError
from iqsr.images import Picture, open_picture
from iqsr.upscaling.jobs import Job, OpenJob, UpscaleOptions, preview_batch, upscale_batch
from iqsr.upscaling.plan import plan
from iqsr.upscaling.target_size import TargetSize
from support.cli_pictures import names, picture


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler("realesr-animevideov3", precision="fp32")


def test_a_batch_goes_on_after_bad_pictures_and_names_them(upscaler: Upscaler) -> None:
    good = [picture("in/a.png"), picture("in/z.jpg")]
    Path("in/b.png").write_text("not a picture")
    Path("in/c.png").write_bytes(good[0].read_bytes()[:700])
    Path("in/d.png").mkdir()
    picture("in/e.png", (8, 8))
    wide = UpscaleOptions(TargetSize(width=320))
    missing = [Job(Path("in/d.png"), Path("o/d.png"), wide), Job(Path("gone.png"), Path("o/gone.png"), wide)]
    jobs = [*plan(["in"], "o", wide), *missing]
    results = list(upscale_batch(lambda: upscaler, jobs))
    states = {result.job.source.name: result.state for result in results}
    failed = {name for name, state in states.items() if state == "failed"}
    assert failed == {"b.png", "c.png", "d.png", "e.png", "gone.png"}
    for result in results:
        if result.state == "failed":
            assert f"'{result.job.source}'" in (result.error or "")
            assert "\n" not in (result.error or "")
    assert sorted(path.name for path in Path("o").iterdir()) == ["a.png", "z.jpg"]  # nothing else, hidden or not


def test_a_result_that_cannot_be_named_fails_alone(upscaler: Upscaler) -> None:
    longest = "x" * 251
    picture("in/a.png")
    picture(f"in/{longest}.png")
    results = list(upscale_batch(lambda: upscaler, plan(["in"], "o", UpscaleOptions(suffix="_x4"))))
    assert [(result.state, result.error) for result in results] == [
        ("done", None),
        ("failed", f"'in/{longest}.png': File name too long"),
    ]


def test_results_are_the_upscalers_own(upscaler: Upscaler) -> None:
    source = picture("a.png")
    (done,) = upscale_batch(lambda: upscaler, plan([str(source)], "o.png"))
    assert (done.size_in, done.size, done.how) == ((32, 24), (128, 96), "exact streaming, fp32, cpu")
    assert 0 < (done.seconds or 0) < 60
    expected = upscaler.upscale(np.asarray(Image.open(source)))
    assert np.array_equal(np.asarray(Image.open("o.png")), expected)


def test_skipped_pictures_are_untouched_and_need_no_network(upscaler: Upscaler) -> None:
    picture("in/a.png")
    picture("in/b.png")
    jobs = plan(["in"], "o", UpscaleOptions(existing="skip"))
    Path("o").mkdir()
    Path("o/a.png").write_bytes(b"kept as it is")
    states = [result.state for result in upscale_batch(lambda: upscaler, jobs)]
    assert states == ["skipped", "done"]
    assert Path("o/a.png").read_bytes() == b"kept as it is"

    def needless() -> Upscaler:
        raise AssertionError("loaded a network for nothing")

    for batch in (upscale_batch, preview_batch):
        assert [result.state for result in batch(needless, jobs)] == ["skipped", "skipped"]


def test_what_fails_for_every_picture_ends_the_batch() -> None:
    picture("in/a.png")
    picture("in/b.png")
    made: list[Upscaler] = []

    class Unready(Upscaler):
        def prepare(self) -> None:
            made.append(self)
            raise ModelError("cannot be made ready")

    batch = upscale_batch(lambda: Unready("realesr-animevideov3"), plan(["in"], "o"))
    with pytest.raises(ModelError, match="cannot be made ready"):
        list(batch)
    assert len(made) == 1


def test_progress_rises_to_one_for_each_picture(upscaler: Upscaler) -> None:
    picture("in/a.png", (40, 200))
    picture("in/b.png")
    seen: dict[str, list[float]] = {}
    on_progress = lambda opened, share: seen.setdefault(opened.job.source.name, []).append(share)  # noqa: E731
    list(upscale_batch(lambda: upscaler, plan(["in"], "o"), on_progress=on_progress))
    assert list(seen) == ["a.png", "b.png"]
    for shares in seen.values():
        assert shares == sorted(shares)
        assert shares[-1] == 1


def test_parts_of_a_killed_run_are_removed_and_nothing_else(upscaler: Upscaler) -> None:
    picture("in/x/a.png")
    stale = Path("o/x/.a.png.99999999-0.iqsr-part")
    names(stale.as_posix(), "o/x/.keep", "o/x/a.part", "elsewhere/.a.png.99999999-0.iqsr-part")
    list(upscale_batch(lambda: upscaler, plan(["in"], "o")))
    assert sorted(path.name for path in Path("o/x").iterdir()) == [".keep", "a.part", "a.png"]
    assert list(Path("elsewhere").iterdir())


def test_a_batch_is_lazy(upscaler: Upscaler) -> None:
    picture("in/a.png")
    picture("in/b.png")
    batch: Iterator[object] = upscale_batch(lambda: upscaler, plan(["in"], "o"))
    next(batch)
    assert [path.name for path in Path("o").iterdir()] == ["a.png"]


# Dry runs and headers


def test_a_dry_run_decides_as_the_run_does_and_writes_nothing(upscaler: Upscaler) -> None:
    picture("in/a.png")
    picture("in/b.png")
    Path("in/c.png").write_text("not a picture")
    Path("in/d.png").write_text("not a picture, but its result is there")
    names("o/d.png")
    jobs = plan(["in"], "o", UpscaleOptions(TargetSize(scale=2), existing="skip"))
    jobs.append(Job(Path("in/a.png"), Path("o/e.png"), refused="in/a.png: twice"))
    planned = list(preview_batch(lambda: upscaler, jobs))
    assert [path.name for path in Path("o").iterdir()] == ["d.png"]
    assert [result.state for result in planned] == ["planned", "planned", "failed", "skipped", "failed"]
    done = list(upscale_batch(lambda: upscaler, jobs))
    for before, after in zip(planned, done, strict=True):
        assert after.state == ("done" if before.state == "planned" else before.state)
        assert (after.job, after.error, after.size_in) == (before.job, before.error, before.size_in)
        assert (after.size, after.how) == (before.size, before.how)


def test_each_header_is_read_once_and_in_its_turn(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    sizes: list[tuple[int, int]] = []

    def counted(path: Path, *, alpha: str) -> Picture:
        opened.append(path.name)
        return open_picture(path, alpha=alpha)

    def note_size(job: OpenJob, done: float) -> None:
        sizes.append(job.size_in)

    picture("in/a.png")
    picture("in/b.png", (20, 10))
    monkeypatch.setattr("iqsr.upscaling.jobs.open_picture", counted)
    batch = upscale_batch(lambda: upscaler, plan(["in"], "o"), on_progress=note_size)
    assert opened == []
    next(batch)
    assert opened == ["a.png"]
    next(batch)
    assert opened == ["a.png", "b.png"]
    assert set(sizes) == {(32, 24), (20, 10)}
