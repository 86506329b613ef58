"""Metrics against people from files: pairs as they are read, and the figures for pictures on disk."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from iqsr.agreement import Pairs, Rate, agreement, misalignments, read_pairs
from iqsr.agreement.rates import compare_pairs, compare_sets
from iqsr.datasets import open_folders
from iqsr.errors import PictureError, UnknownNameError, UsageError
from iqsr.scoring import ScoreCache
from support.agreement_samples import LABELS, NEGATIVE, POSITIVE, QUALITY, SIMILAR
from support.hggt_samples import ENHANCED, N, P, S, add_set

# --- files of pairs -------------------------------------------------------------------------------------------------


def save(path: Path, contrast: int, offset: int = 0) -> Path:
    """A checkerboard: `laplacian` grows with its contrast, PSNR against the flat gray of 128 falls with the offset."""
    path.parent.mkdir(parents=True, exist_ok=True)
    board = np.indices((32, 32)).sum(0) % 2 * 2 - 1
    Image.fromarray(np.repeat((128 + offset + contrast * board)[..., None], 3, 2).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, contrast, offset in (("a", 40, 30), ("b", 30, 0), ("c", 20, 10), ("d", 10, 0), ("flat", 0, 0)):
        save(tmp_path / f"{name}.png", contrast, offset)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_pairs_are_read_by_column_relative_to_the_file(folder: Path) -> None:
    text = f"\ufeffvotes, share_first ,second,first\n12,0.25,b.png,a.png\n\n3,1,{folder / 'c.png'}, b.png \n"
    pairs = read_pairs(write(folder, text))
    assert pairs.first == (folder / "a.png", folder / "b.png")
    assert pairs.second == (folder / "b.png", folder / "c.png")
    assert pairs.share_first.tolist() == [0.25, 1]
    assert pairs.reference is None
    referenced = read_pairs(write(folder, "first,second,share_first,reference\na.png,b.png,0.5,flat.png\n"))
    assert referenced.reference == (folder / "flat.png",)


HEADER = "first,second,share_first\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no column first, second, share_first; its columns are none: the file is empty"),
        ("first,second\na.png,b.png\n", "has no column share_first; its columns are first, second"),
        (HEADER, "has a header but no pairs"),
        (HEADER + "a.png,b.png,.5\na.png,b.png\n", "not 3 columns: line 3"),
        (HEADER + "a.png,b.png,.5\na.png,b.png,1.01\n", "share_first is not a number from 0 to 1: line 3 ('1.01')"),
        (HEADER + "a.png,b.png,nan\n", "share_first is not a number from 0 to 1: line 2 ('nan')"),
        (HEADER + "a.png,b.png,70%\n", "share_first is not a number from 0 to 1: line 2 ('70%')"),
        (HEADER + "a.png,b.png,\n", "no share_first: line 2"),
        (HEADER + ",b.png,1\n", "no first: line 2"),
        (HEADER + "a.png,x.png,1\nb.png,a.png,1\nb.png,y.png,0\n", "second is not a file: line 2 ('x.png'); also 4"),
        (HEADER + "x.png,a.png,1\n" * 9, "first is not a file: line 2 ('x.png'); also 3, 4, 5, 6 and 4 more"),
        ("first,second,share_first,reference\na.png,b.png,1,z.png\n", "reference is not a file: line 2 ('z.png')"),
        (HEADER + "a.png,b.png,70\nb.png,c.png,30\n", "line 2 ('70'); also 3: percentages? Divide by 100"),
        (HEADER + "a.png,b.png,-0.1\n", "share_first is not a number from 0 to 1: line 2 ('-0.1')"),
        (HEADER + 'a.png,b.png,"0,7"\n', "share_first is not a number from 0 to 1: line 2 ('0,7')"),
        (HEADER + "a.png,b.png,1\nc.png,c.png,1\n", "a picture is compared with itself: line 3"),
        (HEADER + "a.png,./x/../a.png,1\n", "a picture is compared with itself: line 2"),
        ("first,second,share_first,share_first\na.png,b.png,.9,.1\n", "has the column share_first more than once"),
        ("first,second,share_first, first \na.png,b.png,.9,b.png\n", "has the column first more than once"),
        ("reference,first,second,share_first,reference\n", "has the column reference more than once"),
        ("first;second;share_first\na.png;b.png;.9\n", "they are separated by ';': save the file with commas"),
        ("first\tsecond\tshare_first\n", "they are separated by '\\t': save the file with commas"),
    ],
)
def test_a_file_of_pairs_that_is_wrong_is_told_in_one_line(folder: Path, text: str, says: str) -> None:
    (folder / "x").mkdir()
    path = write(folder, text)
    with pytest.raises(UsageError) as error:
        read_pairs(path)
    assert says in str(error.value)
    assert str(error.value).startswith(f"'{path}'")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_how_a_table_was_saved_changes_nothing(folder: Path, ending: str) -> None:
    save(folder / "a, b.png", 5)
    rows = ["\ufefffirst , second,share_first,,", '"a, b.png" ,"b.png",0.25,,', ",,,,", 'c.png, "d.png",1,,', ""]
    pairs = read_pairs(write(folder, ending.join(rows).replace(', "d', ',"d')))
    assert pairs.first == (folder / "a, b.png", folder / "c.png")
    assert pairs.second == (folder / "b.png", folder / "d.png")
    assert pairs.share_first.tolist() == [0.25, 1]


@pytest.mark.parametrize("share", [0.7 - 0.2, 1 - (0.7 - 0.2), 0.1 + 0.4, float(np.float32(0.7) - np.float32(0.2))])
def test_a_half_that_floats_miss_is_a_half(folder: Path, share: float) -> None:
    assert read_pairs(write(folder, f"{HEADER}a.png,b.png,{share!r}\n")).share_first.tolist() == [0.5]
    found = agreement(Pairs((folder / "a.png",), (folder / "b.png",), np.array([share])), ["laplacian"])
    assert (found.pairs, found.undecided) == (1, 1)


def test_shares_beyond_the_ends_by_a_rounding_are_the_ends(folder: Path) -> None:
    text = f"{HEADER}a.png,b.png,{1.1 - 0.1 + 2**-52!r}\nb.png,c.png,{0.3 - 0.1 - 0.2!r}\nc.png,d.png,0.499\n"
    assert read_pairs(write(folder, text)).share_first.tolist() == [1, 0, 0.499]


def test_an_original_is_asked_for_only_by_metrics_that_compare(folder: Path) -> None:
    path = write(folder, "first,second,share_first,reference\na.png,b.png,1,\nb.png,c.png,1,flat.png\n")
    assert read_pairs(path).reference == (None, folder / "flat.png")
    assert agreement(path, ["laplacian"]).accuracy["laplacian"].value == 1
    with pytest.raises(UsageError, match=r"pairs.csv': no reference: line 2$"):
        agreement(path, ["laplacian", "psnr"])
    with pytest.raises(UsageError, match=r"\(psnr\), every pair needs a reference"):
        agreement(read_pairs(path), ["psnr"])


def test_what_is_read_otherwise_than_meant_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "first,second,share_first,referense,votes\na.png,b.png,1,,3\nc.png,d.png,1,,3\nb.png,./a.png,0,,3\n"
    assert len(read_pairs(write(folder, text))) == 3
    alone, again = (record.getMessage() for record in caplog.records)
    assert alone.endswith("columns that are left alone: referense, votes")
    assert again.endswith("a pair stands there again (line 4 as line 2): each line counts")


@pytest.mark.parametrize(("stored", "written"), itertools.permutations(("NFC", "NFD"), 2))
def test_names_may_be_composed_or_decomposed(
    folder: Path, stored: Literal["NFC", "NFD"], written: Literal["NFC", "NFD"]
) -> None:
    path = save(folder / normalize(stored, "café.png"), 7)
    pairs = read_pairs(write(folder, normalize(written, f"{HEADER}café.png,b.png,1\n")))
    assert pairs.first == (path,)


def test_a_file_of_pairs_that_is_none_is_told(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read '.*nowhere.csv': No such file"):
        read_pairs(folder / "nowhere.csv")
    with pytest.raises(UsageError, match=r"not a CSV file in UTF-8"):
        read_pairs(folder / "a.png")


def test_pairs_in_memory_are_checked() -> None:
    one = (Path("a"),)
    with pytest.raises(UsageError, match="differ in length"):
        Pairs(one, (*one, *one), np.array([0.5]))
    with pytest.raises(UsageError, match="no pairs"):
        Pairs((), (), np.array([]))
    for share in (1.5, math.nan):
        with pytest.raises(UsageError, match=r"\[0, 1\]"):
            Pairs(one, (Path("b"),), np.array([share]))
    with pytest.raises(UsageError, match="'a' is compared with itself"):
        Pairs(one, one, np.array([0.7]))


# --- from files to figures ------------------------------------------------------------------------------------------

# Contrasts a > b > c > d, so laplacian prefers the letter that comes first in the alphabet.
FOUR = "first,second,share_first\na.png,b.png,0.9\nb.png,d.png,0.2\nd.png,c.png,0.4\nc.png,a.png,0.5\n"


def test_accuracy_of_metrics_on_picture_files(folder: Path) -> None:
    found = agreement(write(folder, FOUR), ["laplacian"])
    # 1: a, as people; 2: b, people say d; 3: c, as people; 4: evenly split
    assert found.accuracy == {"laplacian": Rate(3, 2)}
    assert found.undecided == 1


def test_metrics_that_compare_take_the_reference_column(folder: Path) -> None:
    lines = [line + (",reference" if i == 0 else ",flat.png") for i, line in enumerate(FOUR.splitlines())]
    path = write(folder, "\n".join(lines) + "\n")
    found = agreement(path, ["laplacian", "psnr"])
    # Against flat gray PSNR falls with contrast^2 + offset^2: 2500, 900, 500, 100 for a, b, c, d, so that it is
    # the opposite of laplacian here: right where that is wrong.
    assert found.accuracy == {"laplacian": Rate(3, 2), "psnr": Rate(3, 1)}
    assert found.complementarity == {("laplacian", "psnr"): Rate(1, 1), ("psnr", "laplacian"): Rate(2, 2)}
    with pytest.raises(UsageError, match=r"\(psnr\), the pairs need a column 'reference'"):
        agreement(write(folder, FOUR), ["psnr", "laplacian"])


def test_the_same_picture_may_have_several_originals(folder: Path) -> None:
    save(folder / "bright.png", 0, 30)
    text = "first,second,share_first,reference\n" + "a.png,b.png,1,{}\n" * 2
    seen: list[tuple[int, int]] = []
    found = agreement(
        write(folder, text.format("flat.png", "bright.png")),
        ["psnr", "laplacian"],
        cache=folder / "scores.sqlite",
        on_progress=lambda done, total: seen.append((done, total)),
    )
    # b (contrast 30, offset 0) is nearer to flat, a (40, 30) to bright (errors 2500 > 900, 1600 < 1800)
    assert found.accuracy == {"psnr": Rate(2, 1), "laplacian": Rate(2, 2)}
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with ScoreCache(folder / "scores.sqlite") as cache:
        assert len(cache) == 4 + 2  # psnr of 2 pictures and 2 originals, laplacian of 2 pictures


def test_each_picture_is_scored_once_and_remembered(folder: Path) -> None:
    path, cache = write(folder, FOUR + "a.png,b.png,0.7\n" * 50), folder / "scores.sqlite"
    seen: list[int] = []
    first = agreement(path, ["laplacian", "piqe"], cache=cache, on_progress=lambda done, total: seen.append(total))
    assert seen == [4] * 4
    with ScoreCache(cache) as opened:
        assert len(opened) == 4 * 2
    again = "import sys; from pathlib import Path; from iqsr.agreement import agreement; "
    again += f"found = agreement(Path({str(path)!r}), ['laplacian', 'piqe'], cache=Path({str(cache)!r})); "
    again += "print(found.accuracy['laplacian'].hits, 'torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=True)
    # Nothing is left to compute: the network library is not even imported.
    assert ended.stdout.split() == [str(first.accuracy["laplacian"].hits), "False"]


def test_a_run_that_was_stopped_goes_on(folder: Path) -> None:
    names = [save(folder / f"{i}.png", i, 0).name for i in range(1, 31)]
    for i, name in enumerate(names):  # of different sizes: no two in one batch
        Image.open(folder / name).resize((40 + i, 40)).save(folder / name)
    text = HEADER + "".join(f"{x},{y},0.1\n" for x, y in itertools.pairwise(names))
    path, cache = write(folder, text), folder / "scores.sqlite"

    def stop(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agreement(path, ["laplacian"], cache=cache, on_progress=stop)
    with ScoreCache(cache) as opened:
        before = len(opened)
    assert 10 <= before < 30
    assert agreement(path, ["laplacian"], cache=cache) == agreement(path, ["laplacian"])
    with ScoreCache(cache) as opened:
        assert len(opened) == 30


def test_pictures_without_a_score_are_told_when_all_others_are_measured(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"not a picture")
    path, cache = write(folder, FOUR + "broken.png,a.png,1\n"), folder / "scores.sqlite"
    with pytest.raises(PictureError, match=r"a picture has no score: .*broken\.png") as error:
        agreement(path, ["laplacian"], cache=cache)
    assert "\n" not in str(error.value)
    with ScoreCache(cache) as opened:
        assert len(opened) == 4
    Image.new("RGB", (2, 2)).save(folder / "tiny.png")
    path = write(folder, HEADER + "tiny.png,broken.png,1\n")
    with pytest.raises(PictureError, match=r"2 such pictures"):
        agreement(path, ["laplacian"])


def test_metrics_are_checked_before_anything_is_scored(folder: Path) -> None:
    path = write(folder, FOUR)
    with pytest.raises(UnknownNameError, match="unknown metric 'laplacain'; known: laplacian"):
        agreement(path, ["laplacain"])
    with pytest.raises(UsageError, match="no metric was named"):
        agreement(path, [])


def test_misalignment_of_metrics_on_picture_files(tmp_path: Path) -> None:
    """The hand-computed table, with contrasts whose order is that of QUALITY; piqe, lower is better, runs too."""
    said = {POSITIVE: P, SIMILAR: S, NEGATIVE: N}
    for i, (labels, quality) in enumerate(zip(LABELS, QUALITY, strict=True)):
        name = f"{i:04d}-0-0"
        add_set(tmp_path, name, [[said[int(label)] for label in labels[1:]]] * 3)
        for variant, q in zip(("original", *ENHANCED), quality, strict=True):
            end = f"_{variant}" if variant in ENHANCED else ""
            save(tmp_path / "images/0-20193" / variant / f"{name}{end}.png", int(10 * q))
    found = misalignments(tmp_path, ["laplacian", "piqe"])
    by_hand = compare_sets({"laplacian": QUALITY}, LABELS, {"laplacian": True})
    assert found.metrics["laplacian"] == by_hand.metrics["laplacian"]
    assert (found.with_positive, found.with_negative) == (by_hand.with_positive, by_hand.with_negative)
    assert found.metrics["piqe"].positive.n == 3


def test_misalignment_needs_labels_and_metrics_that_look_at_one_picture(folder: Path) -> None:
    save(folder / "x/a.png", 3)
    sets = open_folders({"original": folder, "x": folder / "x"})
    with pytest.raises(UsageError, match="needs sets with people's labels"):
        misalignments(sets, ["laplacian"])
    with pytest.raises(UsageError, match=r"leave out what compares with it \(psnr\)"):
        misalignments(sets, ["laplacian", "psnr"])


@pytest.mark.parametrize("seed", range(3))
def test_files_and_arrays_give_the_same_figures(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    contrast: Callable[[Path], int] = lambda path: {"a": 40, "b": 30, "c": 20, "d": 10, "e": 10}[path.stem]  # noqa: E731
    save(folder / "e.png", 10)
    drawn = [rng.choice(list("abcde"), 2, replace=False) for _ in range(40)]
    chosen = [(folder / f"{x}.png", folder / f"{y}.png") for x, y in drawn]
    first, second = zip(*chosen, strict=True)
    share = rng.integers(0, 5, 40) / 4
    found = agreement(Pairs(first, second, share), ["laplacian"])
    q = (np.array([*map(contrast, first)], float), np.array([*map(contrast, second)], float))
    assert found == compare_pairs({"laplacian": q}, share, {"laplacian": True})
    assert found.accuracy["laplacian"].ties > 0
