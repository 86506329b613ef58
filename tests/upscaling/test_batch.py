"""A batch of pictures: what becomes of it when one of them fails or is there already, and what it tells meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iqsr import Upscaler
from iqsr.errors import ModelError
from iqsr.upscaling.batch import Job, plan, upscale_batch
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
    jobs = [*plan(["in"], "o"), Job(Path("in/d.png"), Path("o/d.png")), Job(Path("gone.png"), Path("o/gone.png"))]
    results = list(upscale_batch(lambda: upscaler, jobs, target=TargetSize(width=320)))
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
    results = list(upscale_batch(lambda: upscaler, plan(["in"], "o", suffix="_x4")))
    assert [(result.state, result.error) for result in results] == [
        ("done", None),
        ("failed", f"'in/{longest}.png': File name too long"),
    ]


def test_results_are_the_upscalers_own(upscaler: Upscaler) -> None:
    source = picture("a.png")
    (done,) = upscale_batch(lambda: upscaler, plan([str(source)], "o.png"))
    assert done.result is not None
    assert (done.result.size_in, done.result.size) == ((32, 24), (128, 96))
    expected = upscaler.upscale(np.asarray(Image.open(source)))
    assert np.array_equal(np.asarray(Image.open("o.png")), expected)


def test_skipped_pictures_are_untouched_and_need_no_network(upscaler: Upscaler) -> None:
    picture("in/a.png")
    picture("in/b.png")
    jobs = plan(["in"], "o")
    Path("o").mkdir()
    Path("o/a.png").write_bytes(b"kept as it is")
    states = [result.state for result in upscale_batch(lambda: upscaler, jobs, skip_existing=True)]
    assert states == ["skipped", "done"]
    assert Path("o/a.png").read_bytes() == b"kept as it is"

    def needless() -> Upscaler:
        raise AssertionError("loaded a network for nothing")

    assert [result.state for result in upscale_batch(needless, jobs, skip_existing=True)] == ["skipped", "skipped"]


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
    on_progress = lambda job, share: seen.setdefault(job.source.name, []).append(share)  # noqa: E731
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
