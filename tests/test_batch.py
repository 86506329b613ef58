"""Which file becomes which, and what happens to a batch when one of its pictures fails."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iqsr import Upscaler
from iqsr.batch import Job, plan, upscale_batch
from iqsr.errors import UsageError
from iqsr.images import output_formats
from iqsr.sizes import Wish, passes_for


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler("realesr-animevideov3", precision="fp32")


def picture(path: str, size: tuple[int, int] = (32, 24), seed: int = 0) -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(place)
    return place


def names(*paths: str) -> None:
    """Empty files: a plan asks only for their names."""
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def planned(*inputs: str, out: str | None = None, format: str = "auto", suffix: str | None = None) -> dict[str, str]:
    jobs = plan(inputs, out, format=format, suffix=suffix)
    assert len({job.source for job in jobs}) == len(jobs)
    return {job.source.as_posix(): job.out.as_posix() for job in jobs}


# Files


def test_one_file_to_a_file_a_folder_or_beside_itself() -> None:
    names("a.png")
    assert planned("a.png", out="b.jpg") == {"a.png": "b.jpg"}
    assert planned("a.png", out="new/b.TIF") == {"a.png": "new/b.TIF"}
    assert planned("a.png", out="new") == {"a.png": "new/a.png"}
    assert planned("a.png") == {"a.png": "a_upscaled.png"}
    assert planned("a.png", suffix="_x4") == {"a.png": "a_x4.png"}


def test_a_name_like_a_picture_is_a_folder_where_it_is_one_or_ends_in_a_slash() -> None:
    names("a.png")
    assert planned("a.png", out="new.png/") == {"a.png": "new.png/a.png"}
    Path("is.png").mkdir()
    assert planned("a.png", out="is.png") == {"a.png": "is.png/a.png"}


def test_a_file_named_twice_is_enlarged_once() -> None:
    names("a.png", "b.png")
    assert planned("a.png", "b.png", "a.png", "*.png", out="o") == {"a.png": "o/a.png", "b.png": "o/b.png"}


def test_many_pictures_do_not_go_into_one_file() -> None:
    names("a.png", "b.png")
    with pytest.raises(UsageError, match=r"2 pictures cannot go into the one file 'o\.png': give a folder"):
        planned("a.png", "b.png", out="o.png")


@pytest.mark.parametrize("out", ["o.bmp", "o.gif", "o.heic", "o.avif", "o.jxl"])
def test_formats_that_are_not_written_are_refused_and_not_taken_for_folders(out: str) -> None:
    names("a.png")
    with pytest.raises(UsageError, match=r"cannot write 'o\.\w+': its name must end in"):
        planned("a.png", out=out)


@pytest.mark.parametrize(
    ("source", "format", "out"),
    [
        ("a.PNG", "auto", "a.PNG"),
        ("a.jpeg", "auto", "a.jpeg"),
        ("a.heic", "auto", "a.png"),
        ("a.avif", "auto", "a.png"),
        ("a", "auto", "a.png"),
        ("a.b.webp", "auto", "a.b.webp"),
        ("a.png", "webp", "a.webp"),
        ("a.jpeg", "jpg", "a.jpg"),
        ("a.png", "tiff", "a.tiff"),
    ],
)
def test_the_format_makes_the_suffix(source: str, format: str, out: str) -> None:
    names(source)
    assert planned(source, out="o", format=format) == {source: f"o/{out}"}


def test_jobs_know_which_formats_have_no_quality() -> None:
    for known in output_formats():
        for suffix in known.suffixes:
            assert Job(Path("a.png"), Path(f"b{suffix.upper()}")).lossless == (known.quality is None)


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    names("a.png")
    with pytest.raises(UsageError, match="unknown format 'bmp'; choose auto, png, jpg, webp, tiff"):
        planned("a.png", out="o", format="bmp")


def test_a_file_name_that_contradicts_the_format_or_the_suffix_is_refused() -> None:
    names("a.png")
    with pytest.raises(UsageError, match=r"'o\.png' is not the name of a webp file"):
        planned("a.png", out="o.png", format="webp")
    with pytest.raises(UsageError, match=r"'o\.png' is a whole name: leave --suffix out"):
        planned("a.png", out="o.png", suffix="_x4")
    assert planned("a.png", out="o.JPEG", format="jpg") == {"a.png": "o.JPEG"}


@pytest.mark.parametrize("suffix", ["/x", "a/b", "x/.."])
def test_a_suffix_that_is_a_path_is_refused(suffix: str) -> None:
    names("a.png")
    with pytest.raises(UsageError, match="a suffix is a part of a file's name, not a path"):
        planned("a.png", suffix=suffix)


@pytest.mark.parametrize("text", ["no.png", "no/*.png", "no", "x" * 5000, "[", "~/no-such-picture.png"])
def test_inputs_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no such picture, folder or pattern"):
        planned(text, out="o")


def test_a_path_in_quotes_may_begin_with_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    names("pics/a.png")
    assert planned("~/pics/*.png", out="o") == {f"{tmp_path.as_posix()}/pics/a.png": "o/a.png"}


# Patterns


def test_a_pattern_mirrors_the_tree_below_its_first_wildcard() -> None:
    names("pics/a.png", "pics/one/a.png", "pics/one/two/b.jpg", "pics/one/notes.txt")
    assert planned("pics/*.png", out="o") == {"pics/a.png": "o/a.png"}
    assert planned("pics/**/*.png", out="o") == {"pics/a.png": "o/a.png", "pics/one/a.png": "o/one/a.png"}
    assert planned("pics/*/two/*", out="o") == {"pics/one/two/b.jpg": "o/one/two/b.jpg"}


def test_a_pattern_that_ends_in_a_star_means_pictures_others_what_they_say() -> None:
    names("pics/a.png", "pics/notes.txt", "pics/b.dat")
    assert planned("pics/*", out="o") == {"pics/a.png": "o/a.png"}
    assert planned("pics/**", out="o") == {"pics/a.png": "o/a.png"}
    assert planned("pics/*.dat", out="o") == {"pics/b.dat": "o/b.png"}


def test_brackets_in_names_are_literal_where_such_a_file_or_folder_is() -> None:
    names("a[1].png", "a1.png", "my [x]/b.png", "my x/c.png")
    assert planned("a[1].png", out="o") == {"a[1].png": "o/a[1].png"}
    assert planned("a[0-9].png", out="o") == {"a1.png": "o/a1.png"}
    assert planned("my [x]/*.png", out="o") == {"my [x]/b.png": "o/b.png"}


@pytest.mark.parametrize(
    "name", ["über 写真 🎞️.png", " two  spaces .png", "-o.png", "a'b\"c.png", "%s{0}.png", "x\ny.png"]
)
def test_odd_names_are_kept(name: str) -> None:
    names(f"pics/{name}")
    assert planned("pics/*.png", out="o") == {f"pics/{name}": f"o/{name}"}
    assert planned("pics", out="o") == {f"pics/{name}": f"o/{name}"}


# Folders


def test_a_folder_mirrors_its_tree_without_hidden_files_and_others() -> None:
    names("in/a.png", "in/x/b.jpg", "in/x/y/c.webp", "in/notes.txt", "in/.hidden.png", "in/.cache/d.png")
    assert planned("in", out="o") == {
        "in/a.png": "o/a.png",
        "in/x/b.jpg": "o/x/b.jpg",
        "in/x/y/c.webp": "o/x/y/c.webp",
    }


def test_a_folder_needs_an_output() -> None:
    names("in/a.png")
    with pytest.raises(UsageError, match="'in' is a folder: say with -o where the results go"):
        planned("in")


def test_a_folder_without_pictures_is_an_error() -> None:
    names("in/notes.txt")
    with pytest.raises(UsageError, match="no pictures in 'in'"):
        planned("in", out="o")


def test_two_folders_with_the_same_names_would_overwrite_each_other() -> None:
    names("one/a.png", "two/a.png")
    with pytest.raises(UsageError, match=r"'one/a\.png' and 'two/a\.png' would both become 'o/a\.png'"):
        planned("one", "two", out="o")


def test_two_formats_of_a_picture_would_become_one() -> None:
    names("a.png", "a.jpg")
    with pytest.raises(UsageError, match=r"'a\.png' and 'a\.jpg' would both become 'o/a\.webp'"):
        planned("a.png", "a.jpg", out="o", format="webp")


@pytest.mark.parametrize("text", ["in", "in/**/*.png", "in/**"])
def test_results_in_a_folder_inside_the_input_are_not_read_again(text: str) -> None:
    names("in/a.png", "in/out/a.png", "in/out/deep/b.png", "in/outer/c.png")
    assert planned(text, out="in/out") == {"in/a.png": "in/out/a.png", "in/outer/c.png": "in/out/outer/c.png"}


def test_results_with_a_suffix_beside_their_sources_are_not_read_again() -> None:
    names("a.png", "b.png", "in/c.png", "in/d/e.png")
    for text, out, suffix in [("*.png", None, None), ("*.png", None, "_x4"), ("in", "in", "_x4"), ("*.png", ".", "-2")]:
        first = planned(text, out=out, suffix=suffix)
        names(*first.values())
        assert planned(text, out=out, suffix=suffix) == first
        for result in first.values():
            Path(result).unlink()


# What would be lost


@pytest.mark.parametrize("out", ["a.png", "./a.png", "link.png", "."])
def test_a_result_never_replaces_its_source(out: str) -> None:
    names("a.png")
    Path("link.png").symlink_to("a.png")
    with pytest.raises(UsageError, match="would replace a source"):
        planned("a.png", out=out)


def test_a_result_never_replaces_the_source_of_another() -> None:
    names("in/a.png", "in/a.jpg")
    with pytest.raises(UsageError, match=r"'in/a\.jpg' would replace a source"):
        planned("in", out="in", format="jpg")


# Sizes


def test_a_wish_follows_the_picture() -> None:
    assert Wish().size((30, 20), 4) == (120, 80)
    assert Wish(scale=2.5).size((31, 21), 4) == (78, 52)
    assert Wish(width=100).size((30, 20), 4) == (100, 67)
    assert Wish(height=100).size((30, 20), 4) == (150, 100)
    assert Wish(width=45, height=99).size((30, 20), 4) == (45, 99)
    assert Wish(scale=1).size((1, 9000), 4) == (1, 9000)
    assert Wish(width=1).size((9000, 1), 4) == (1, 1)


@pytest.mark.parametrize(
    "wish",
    [{"scale": 0.5}, {"scale": 17}, {"scale": float("nan")}, {"scale": 2, "width": 9}, {"width": 0}, {"height": -3}],
)
def test_a_wish_that_no_picture_fulfils_is_refused(wish: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Wish(**wish)  # pyright: ignore


def test_more_than_16_times_is_refused() -> None:
    assert Wish(width=160).size((10, 10), 4) == (160, 160)
    with pytest.raises(UsageError, match=r"161 x 161 is 16\.1 times the picture's 10 x 10; the most is 16"):
        Wish(width=161).size((10, 10), 4)


@pytest.mark.parametrize(
    ("ratio", "native", "passes"),
    [(1, 4, 1), (0.2, 4, 1), (4, 4, 1), (4.01, 4, 2), (16, 4, 2), (8, 2, 3), (16, 2, 4), (9, 3, 2), (16, 1, 1)],
)
def test_as_many_passes_as_the_ratio_needs(ratio: float, native: int, passes: int) -> None:
    assert passes_for(ratio, native) == passes


# The batch


def test_a_batch_goes_on_after_bad_pictures_and_names_them(upscaler: Upscaler) -> None:
    good = [picture("in/a.png"), picture("in/z.jpg")]
    Path("in/b.png").write_text("not a picture")
    Path("in/c.png").write_bytes(good[0].read_bytes()[:700])
    Path("in/d.png").mkdir()
    picture("in/e.png", (8, 8))
    jobs = [*plan(["in"], "o"), Job(Path("in/d.png"), Path("o/d.png")), Job(Path("gone.png"), Path("o/gone.png"))]
    results = list(upscale_batch(lambda: upscaler, jobs, wish=Wish(width=320)))
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
