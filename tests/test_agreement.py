"""Metrics against people: figures computed by hand, what must not change them, and the whole way from files."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binomtest

from hggt_samples import ENHANCED, N, P, S, add_set
from iqsr.agreement import Agreement, Pairs, Rate, agreement, misalignments, read_pairs
from iqsr.agreement.accuracy import compare
from iqsr.agreement.heatmap import write_heatmap
from iqsr.agreement.misalignment import compare_sets
from iqsr.agreement.report import (
    accuracy_rows,
    agreement_document,
    agreement_markdown,
    complementarity_rows,
    json_text,
    misalignment_markdown,
    misalignment_rows,
)
from iqsr.errors import PictureError, UnknownNameError, UsageError
from iqsr.multigt import open_folders
from iqsr.scoring import ScoreCache

Scores = NDArray[np.float64]

# Seven pairs. People prefer the first of 1 to 4, the second of 5 and 6; they are evenly split over 7.
SHARE = np.array([0.9, 0.8, 0.7, 0.6, 0.3, 0.1, 0.5])
SCORES = {
    # right, wrong, tied, right, wrong, right
    "a": (np.array([2.0, 1, 5, 3, 4, 1, 9]), np.array([1.0, 2, 5, 1, 2, 7, 1])),
    # lower is better: right, right, wrong, wrong, right, wrong
    "b": (np.array([1.0, 1, 2, 2, 6, 5, 1]), np.array([2.0, 3, 1, 1, 5, 6, 1])),
    # tied, wrong, right, wrong, tied, right
    "c": (np.array([1.0, 0, 1, 0, 1, 0, 0]), np.array([1.0, 1, 0, 1, 1, 1, 1])),
}
HIGHER = {"a": True, "b": False, "c": True}


@pytest.fixture
def found() -> Agreement:
    return compare(SCORES, SHARE, HIGHER)


def test_accuracy_is_that_computed_by_hand(found: Agreement) -> None:
    assert (found.pairs, found.undecided) == (7, 1)
    assert found.accuracy == {"a": Rate(6, 3, 1), "b": Rate(6, 3, 0), "c": Rate(6, 2, 2)}
    assert found.accuracy["a"].value == pytest.approx((3 + 1 / 2) / 6)
    assert found.accuracy["b"].value == pytest.approx(3 / 6)
    assert found.accuracy["c"].value == pytest.approx((2 + 2 / 2) / 6)
    assert found.majority == pytest.approx((0.9 + 0.8 + 0.7 + 0.6 + 0.7 + 0.9) / 6)


def test_complementarity_is_that_computed_by_hand(found: Agreement) -> None:
    assert found.complementarity == {
        # a is wrong on 2 and 5 (its tie on 3 is not wrong): b is right on both; c is wrong and tied
        ("a", "b"): Rate(2, 2, 0),
        ("a", "c"): Rate(2, 0, 1),
        # b is wrong on 3, 4, 6: a is tied, right, right; c is right, wrong, right
        ("b", "a"): Rate(3, 2, 1),
        ("b", "c"): Rate(3, 2, 0),
        # c is wrong on 2 and 4: a is wrong, right; b is right, wrong
        ("c", "a"): Rate(2, 1, 0),
        ("c", "b"): Rate(2, 1, 0),
    }
    assert found.complementarity["b", "a"].value == pytest.approx(2.5 / 3)
    assert found.ranking[0] == "a"


def test_the_interval_is_that_computed_by_hand() -> None:
    # Wilson, 3 of 6, z = 1.95996, z^2 = 3.84146: the middle is (0.5 + z^2 / 12) / (1 + z^2 / 6) = 0.5;
    # half the width is z * sqrt(0.25 / 6 + z^2 / (4 * 36)) / (1 + z^2 / 6) = 1.95996 * 0.261426 / 1.640243 = 0.312384.
    assert Rate(6, 3).interval == pytest.approx((0.187616, 0.812384), abs=1e-6)
    # One tie among 6 leaves 3.5 right: from the lower bound of 3 to the upper bound of 4.
    assert Rate(6, 3, 1).interval == (Rate(6, 3).interval[0], Rate(6, 4).interval[1])
    # Two ties are one right pair.
    assert Rate(6, 2, 2).interval == Rate(6, 3).interval


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe, 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_the_published_one(hits: int, n: int, low: float, high: float) -> None:
    assert Rate(n, hits).interval == pytest.approx((low, high), abs=5e-5)
    exact = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert Rate(n, hits).interval == (exact.low, exact.high)


def test_without_cases_there_is_no_share() -> None:
    assert math.isnan(Rate(0, 0).value)
    assert all(map(math.isnan, Rate(0, 0).interval))


def random_scores(seed: int, *, ties: bool) -> tuple[dict[str, tuple[Scores, Scores]], Scores, dict[str, bool]]:
    rng = np.random.default_rng(seed)
    scores = {name: (rng.normal(size=200), rng.normal(size=200)) for name in "abcd"}
    if ties:
        scores = {name: (np.round(x), np.round(y)) for name, (x, y) in scores.items()}
    return scores, rng.integers(0, 21, 200) / 20, {name: name in "ac" for name in "abcd"}


@pytest.mark.parametrize("ties", [False, True])
def test_swapping_the_pictures_of_every_pair_changes_nothing(ties: bool) -> None:
    scores, share, higher = random_scores(0, ties=ties)
    swapped = {name: (second, first) for name, (first, second) in scores.items()}
    there, back = compare(scores, share, higher), compare(swapped, 1 - share, higher)
    assert there.accuracy == back.accuracy
    assert there.complementarity == back.complementarity
    assert there.undecided == back.undecided > 0
    assert there.majority == pytest.approx(back.majority)


@pytest.mark.parametrize("ties", [False, True])
def test_a_metric_and_its_negation_are_right_on_all_pairs_together(ties: bool) -> None:
    scores, share, higher = random_scores(1, ties=ties)
    negated = {name: (-first, -second) for name, (first, second) in scores.items()}
    there, back = compare(scores, share, higher), compare(negated, share, higher)
    for name in scores:
        assert there.accuracy[name].value + back.accuracy[name].value == pytest.approx(1)
        assert there.accuracy[name].ties == back.accuracy[name].ties
        assert bool(there.accuracy[name].ties) == ties


def test_the_direction_of_a_metric_is_respected() -> None:
    scores, share, higher = random_scores(2, ties=True)
    turned = {name: (-x, -y) if name == "a" else (x, y) for name, (x, y) in scores.items()}
    assert compare(scores, share, higher) == compare(turned, share, {**higher, "a": not higher["a"]})


def test_only_the_order_of_scores_matters() -> None:
    scores, share, higher = random_scores(3, ties=True)
    bent = {name: (np.exp(3 * x) - 7, np.exp(3 * y) - 7) for name, (x, y) in scores.items()}
    assert compare(scores, share, higher) == compare(bent, share, higher)


def test_infinite_scores_are_compared_like_others() -> None:
    inf = np.array([math.inf, math.inf, 1.0])
    found = compare({"psnr": (inf, np.array([math.inf, 9.0, math.inf]))}, np.array([1.0, 1.0, 1.0]), {"psnr": True})
    assert found.accuracy["psnr"] == Rate(3, 1, 1)


def test_pairs_that_are_all_evenly_split_give_no_figure() -> None:
    found = compare({"a": (np.ones(2), np.zeros(2))}, np.array([0.5, 0.5]), {"a": True})
    assert found.accuracy["a"] == Rate(0, 0)
    assert agreement_markdown(found).splitlines()[-1].replace(" ", "") == "|a|0|–||0|"
    assert "nan" not in agreement_markdown(found)
    assert '"share": null' in json_text(agreement_document(found, {}))


# --- misalignment ---------------------------------------------------------------------------------------------------

_O, _P, _S, _N = 0, 1, 2, 3
LABELS = np.array(
    [
        [_O, _P, _P, _S, _N],
        [_O, _P, _S, _S, _N],
        [_O, _S, _S, _S, _S],
        [_O, _N, _N, _S, _S],
        [_O, _P, _P, _P, _P],
    ],
    np.int8,
)
QUALITY = np.array(
    [
        [3, 5, 4, 4.5, 1],  # 4.5 (similar) above 4 (positive): misaligned; the negative is last
        [1, 9, 2, 3, 10],  # the negative is above all
        [1, 2, 3, 4, 5],  # nothing positive or negative
        [2, 3, 1, 4, 0],  # a negative (3) above a similar (0), but below another (4)
        [1, 2, 2, 1, 3],  # the original ties with a positive
    ]
)


def test_misalignment_is_that_computed_by_hand() -> None:
    found = compare_sets({"q": QUALITY, "flipped": -QUALITY}, LABELS, {"q": True, "flipped": False})
    assert found.with_positive == Rate(5, 3)  # sets 1, 2, 5
    assert found.with_negative == Rate(5, 3)  # sets 1, 2, 4
    q = found.metrics["q"]
    assert q.positive == Rate(3, 2, 1)  # set 1 yes, set 2 yes (10 above 9), set 5 tied: 2.5 / 3
    assert q.positive.value == pytest.approx(2.5 / 3)
    assert q.negative == Rate(3, 2)  # set 1 no, set 2 yes, set 4 yes: 2 / 3
    assert q.negative_highest == Rate(3, 1)  # set 2 only: 1 / 3
    assert q.negative_drawn.value == pytest.approx(1 / 5)  # 3 / 5 of the sets have a negative, times 1 / 3
    assert q.negative_drawn.value == pytest.approx(found.with_negative.value * q.negative_highest.value)
    assert found.metrics["flipped"] == q


def test_a_perfect_metric_is_never_misaligned_and_its_negation_always() -> None:
    quality = np.array([0.0, 1.0, -0.5, -1.0])[LABELS]
    found = compare_sets({"good": quality, "bad": -quality}, LABELS, {"good": True, "bad": True})
    good, bad = found.metrics["good"], found.metrics["bad"]
    assert [r.value for r in (good.positive, good.negative, good.negative_highest, good.negative_drawn)] == [0] * 4
    assert [r.value for r in (bad.positive, bad.negative, bad.negative_highest)] == [1] * 3
    assert bad.negative_drawn.value == pytest.approx(3 / 5)


def test_a_draw_by_argmax_takes_a_negative_as_often_as_is_said() -> None:
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.zeros((300, 1)), rng.integers(1, 4, (300, 4))], axis=1).astype(np.int8)
    quality = rng.normal(size=labels.shape)
    drawn = labels[np.arange(300), quality.argmax(1)] == _N
    found = compare_sets({"q": quality}, labels, {"q": True})
    assert found.metrics["q"].negative_drawn.value == pytest.approx(drawn.mean())
    assert 0 < drawn.mean() < 1


# --- tables ---------------------------------------------------------------------------------------------------------


def test_the_tables_hold_the_figures(found: Agreement) -> None:
    text = agreement_markdown(found)
    assert "7 pairs, 6 with a majority of people, 1 evenly split" in text
    assert "76.7% of votes" in text
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert lines[0] == ["metric", "pairs", "accuracy (%)", "95 % interval", "ties"]
    # (3 + 1/2) / 6 = 58.33 %; Wilson of 3 of 6 begins at 18.76 %, of 4 of 6 ends at 90.32 %
    assert lines[2] == ["a", "6", "58.33", "[18.76, 90.32]", "1"]
    assert lines[5] == ["wrong", "pairs", "a", "b", "c"]
    assert lines[7] == ["a", "2", "", "100.00", "25.00"]
    assert lines[8] == ["b", "3", "83.33", "", "66.67"]
    assert "wrong" not in agreement_markdown(found, widest=2).replace("gets wrong", "")
    assert [row["metric"] for row in accuracy_rows(found)] == ["a", "b", "c"]
    assert len(complementarity_rows(found)) == 6
    assert complementarity_rows(found)[0]["share"] == 1.0


def test_the_table_of_misalignment_holds_the_figures() -> None:
    found = compare_sets({"q": QUALITY}, LABELS, {"q": True})
    text = misalignment_markdown(found)
    assert "5 sets: 3 (60.00 %) with a positive, 3 (60.00 %) with a negative" in text
    row = [cell.strip() for cell in text.splitlines()[-1].split("|")[1:-1]]
    assert [cell.split()[0] for cell in row] == ["q", "83.33", "66.67", "33.33", "20.00"]
    figures = {str(row["figure"]): row["share"] for row in misalignment_rows(found)}
    assert figures == pytest.approx(
        {"positive": 5 / 6, "negative": 2 / 3, "negative_highest": 1 / 3, "negative_drawn": 0.2}
    )


@pytest.mark.parametrize("metrics", [2, 12])
def test_the_heat_map_has_a_cell_for_every_two_metrics(tmp_path: Path, metrics: int) -> None:
    rng = np.random.default_rng(0)
    scores = {f"metric-with-a-long-name-{i}": (rng.normal(size=50), rng.normal(size=50)) for i in range(metrics)}
    found = compare(scores, rng.random(50), dict.fromkeys(scores, True))
    write_heatmap(found, tmp_path / "one.png")
    write_heatmap(found, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    picture = np.asarray(Image.open(tmp_path / "one.png").convert("RGB"))
    assert min(picture.shape[:2]) > 60 * metrics
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (border == 255).all()  # no text runs into the edge


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
        ("first,second,share_first,reference\na.png,b.png,1,\n", "no reference: line 2"),
    ],
)
def test_a_file_of_pairs_that_is_wrong_is_told_in_one_line(folder: Path, text: str, says: str) -> None:
    path = write(folder, text)
    with pytest.raises(UsageError) as error:
        read_pairs(path)
    assert says in str(error.value)
    assert str(error.value).startswith(f"'{path}'")
    assert "\n" not in str(error.value)


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
            Pairs(one, one, np.array([share]))


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
    path, cache = write(folder, FOUR * 1 + "a.png,b.png,0.7\n" * 50), folder / "scores.sqlite"
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
    said = {_P: P, _S: S, _N: N}
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
    contrast: Callable[[Path], int] = lambda path: {"a": 40, "b": 30, "c": 20, "d": 10}[path.stem]  # noqa: E731
    chosen = [(folder / f"{x}.png", folder / f"{y}.png") for x, y in rng.choice(list("abcd"), (40, 2))]
    first, second = zip(*chosen, strict=True)
    share = rng.integers(0, 5, 40) / 4
    found = agreement(Pairs(first, second, share), ["laplacian"])
    q = (np.array([*map(contrast, first)], float), np.array([*map(contrast, second)], float))
    assert found == compare({"laplacian": q}, share, {"laplacian": True})
    assert found.accuracy["laplacian"].ties > 0
