"""Which file becomes which: names, patterns, folders, and what would be lost."""

from pathlib import Path

import pytest

from iqsr.errors import UsageError
from iqsr.images import output_formats
from iqsr.upscaling.jobs import Existing, Job, UpscaleOptions
from iqsr.upscaling.plan import plan
from support.cli_pictures import names


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def planned(
    *inputs: str,
    out: str | None = None,
    format: str = "auto",
    suffix: str | None = None,
    existing: Existing = "replace",
) -> dict[str, str]:
    jobs = plan(inputs, out, UpscaleOptions(format=format, suffix=suffix, existing=existing))
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


@pytest.mark.parametrize(
    "out", ["o.bmp", "o.gif", "o.heic", "o.hif", "o.avif", "o.jxl", "o.tga", "o.xyz", "o.jpgg", "o.mp4"]
)
def test_formats_that_are_not_written_are_refused_and_not_taken_for_folders(out: str) -> None:
    names("a.png")
    with pytest.raises(UsageError, match=r"cannot write 'o\.\w+': its name must end in .png, .jpg, .webp or .tif"):
        planned("a.png", out=out)
    assert planned("a.png", out=f"{out}/") == {"a.png": f"{out}/a.png"}


@pytest.mark.parametrize("out", ["o.jfif", "o.jpe", "o.jif", "o.JPEG", "o.tif", "o.apng"])
def test_every_suffix_of_a_format_that_is_written_names_a_file(out: str) -> None:
    names("a.png")
    assert planned("a.png", out=out) == {"a.png": out}


@pytest.mark.parametrize("out", ["2024.11", "v1.0", "o.some folder", "o."])
def test_a_dot_alone_makes_no_file(out: str) -> None:
    names("a.png")
    assert planned("a.png", out=out) == {"a.png": f"{out}/a.png"}


def test_a_folder_goes_into_a_folder_of_any_name_but_a_pictures() -> None:
    names("in/a.png")
    assert planned("in", out="o.large") == {"in/a.png": "o.large/a.png"}
    with pytest.raises(UsageError, match=r"cannot write 'o\.hif'"):
        planned("in", out="o.hif")


def test_there_is_no_writing_to_standard_output() -> None:
    names("a.png")
    with pytest.raises(UsageError, match=r"cannot write to standard output \('-'\): name a file"):
        planned("a.png", out="-")
    assert planned("a.png", out="./-") == {"a.png": "-/a.png"}


@pytest.mark.parametrize(
    ("source", "format", "out"),
    [
        ("a.PNG", "auto", "a.PNG"),
        ("a.jpeg", "auto", "a.jpeg"),
        ("a.jfif", "auto", "a.jfif"),
        ("a.JPE", "auto", "a.JPE"),
        ("a.hif", "auto", "a.png"),
        ("a.bmp", "auto", "a.png"),
        ("a.jp2", "auto", "a.png"),
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
            assert Job(Path("a.png"), Path(f"b{suffix.upper()}")).is_lossless == (known.quality is None)


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


@pytest.mark.parametrize(
    ("out", "place"), [("~/o", "o/a.png"), ("~/o.png/", "o.png/a.png"), ("~/b.jpg", "b.jpg"), ("~", "a.png")]
)
def test_an_output_may_begin_with_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    names("a.png", "home/.profile")
    assert planned("a.png", out=out) == {"a.png": f"{tmp_path.as_posix()}/home/{place}"}


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


@pytest.mark.parametrize(
    ("format", "sources", "results"),
    [
        ("webp", ["in/a.png", "in/d/b.jpg"], ["in/a.webp", "in/d/b.webp"]),
        ("auto", ["in/a.heic", "in/d/b.avif"], ["in/a.png", "in/d/b.png"]),
    ],
)
def test_results_of_another_format_beside_their_sources_are_not_read_again_when_they_are_skipped(
    format: str, sources: list[str], results: list[str]
) -> None:
    names(*sources)
    first = planned("in", out="in", format=format)
    assert first == dict(zip(sources, results, strict=True))
    names(results[0])  # then it was killed
    assert planned("in", out="in", format=format, existing="skip") == first
    names(*results)
    for text in ("in", "in/**"):
        assert planned(text, out="in", format=format, existing="skip") == first


def test_links_to_folders_are_followed() -> None:
    names("elsewhere/x/a.png", "in/b.png")
    Path("in/link").symlink_to(Path("elsewhere").resolve())
    expected = {"in/b.png": "o/b.png", "in/link/x/a.png": "o/link/x/a.png"}
    assert planned("in", out="o") == planned("in/**", out="o") == expected


@pytest.mark.parametrize("text", ["in", "in/**/*.png"])
def test_a_link_that_leads_back_is_not_followed(text: str) -> None:
    names("in/a.png", "in/x/b.png")
    Path("in/x/up").symlink_to(Path("in").resolve())
    assert planned(text, out="o") == {"in/a.png": "o/a.png", "in/x/b.png": "o/x/b.png"}


def test_links_that_lead_to_each_other_and_above_end() -> None:
    names("in/a/b.png", "in/c/d.png", "e.png")
    Path("in/a/to").symlink_to(Path("in/c").resolve())
    Path("in/c/to").symlink_to(Path("in/a").resolve())
    Path("in/above").symlink_to(Path.cwd())
    found = {"in/a/b.png", "in/a/to/d.png", "in/c/d.png", "in/c/to/b.png", "in/above/e.png"}
    assert planned("in", out="o").keys() == found


def test_a_link_to_the_folder_of_results_is_left_out() -> None:
    names("in/a.png", "o/a.png", "o/deep/a.png")
    Path("in/results").symlink_to(Path("o").resolve())
    Path("in/some").symlink_to(Path("o/deep").resolve())
    assert planned("in", out="o") == {"in/a.png": "o/a.png"}


def test_a_folder_that_a_link_leads_to_again_is_enlarged_once_into_itself() -> None:
    names("in/a/b.png")
    Path("in/link").symlink_to(Path("in/a").resolve())
    assert planned("in", out="in", format="webp") == {"in/a/b.png": "in/a/b.webp"}
    assert planned("in", out="o") == {"in/a/b.png": "o/a/b.png", "in/link/b.png": "o/link/b.png"}


@pytest.mark.parametrize("text", ["in", "in/**"])
def test_pictures_of_formats_that_are_not_read_are_counted_in_a_line(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    names("in/a.png", "in/notes.txt", "in/.hidden.tga", "in/o/d.tga")
    planned(text, out="in/o")
    assert caplog.messages == []
    names("in/b.tga")
    planned(text, out="in/o")
    names("in/x/b.TGA", "in/x/c.psd", "in/x/d")
    planned(text, out="in/o")
    planned(text, "in/x/c.psd", out="in/o")  # which is named, and will be told of as what it is
    assert caplog.messages == [
        "1 file passed over: .tga is not read",
        "3 files passed over: .psd, .tga are not read",
        "2 files passed over: .tga is not read",
    ]


# What would be lost


@pytest.mark.parametrize("out", ["a.png", "./a.png", "link.png", "."])
def test_a_result_never_replaces_its_source(out: str) -> None:
    names("a.png")
    Path("link.png").symlink_to("a.png")
    with pytest.raises(UsageError, match="would replace a source"):
        planned("a.png", out=out)


@pytest.mark.parametrize("existing", ["replace", "skip"])
def test_a_picture_that_would_become_itself_is_refused_unless_it_is_the_result_of_another(existing: Existing) -> None:
    names("in/a.png", "in/b.webp", "in/c/a.webp")  # c/a.webp is called like a result, but of no picture beside it
    jobs = plan(["in"], "in", UpscaleOptions(format="webp", existing=existing))
    refused = {job.source.as_posix() for job in jobs if "which would replace a source" in (job.refused or "")}
    assert refused == {"in/b.webp", "in/c/a.webp"}
    assert len(jobs) == 3


def test_a_source_elsewhere_that_is_called_like_a_result_is_no_result() -> None:
    names("in/a.png", "in/x/a.webp", "o/a.webp")
    with pytest.raises(UsageError, match=r"'o/a\.webp', which would replace a source"):
        planned("in/*.png", "o/*.webp", out="o", format="webp", existing="skip")
