"""Sets of ground truths: HGGT's layout, its labels and its vote, folders of other people, what is wrong with them."""

import itertools
import json
from pathlib import Path
from unicodedata import normalize

import pytest

from iqsr.datasets import (
    Label,
    SetName,
    check,
    every_set,
    has_positive,
    has_positive_or_negative,
    join,
    lr_folder,
    open_folders,
    open_sets,
    read_labels,
    vote,
)
from iqsr.errors import IqsrError, PictureError, UsageError
from support.hggt_samples import (
    ENHANCED,
    MIXED,
    SIMILAR,
    N,
    P,
    S,
    add_set,
    changed,
    label_file,
    label_json,
    picture,
    three_sets,
)


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return three_sets(tmp_path / "Train")


def test_a_set_has_its_files_labels_and_votes(train: Path) -> None:
    sets = open_sets(train)
    assert sets.names == ("0001-0-288", "0001-288-0", "0002-0-0")
    assert sets.labelled
    gts = sets.load("0001-0-288")
    images = train / "images" / "0-20193"
    assert gts.variants == ("original", *ENHANCED)
    assert gts.paths == (
        images / "original/0001-0-288.png",
        *(images / v / f"0001-0-288_{v}.png" for v in ENHANCED),
    )
    assert all(path.is_file() for path in gts.paths)
    assert gts.labels == (Label.ORIGINAL, Label.POSITIVE, Label.POSITIVE, Label.SIMILAR, Label.NEGATIVE)
    assert gts.votes == (3, 3, 2, 1, 2)
    assert (gts.positives, gts.negatives) == ((1, 2), (4,))


def test_the_codes_are_those_of_hggt() -> None:
    assert [int(label) for label in (Label.ORIGINAL, Label.POSITIVE, Label.SIMILAR, Label.NEGATIVE)] == [0, 1, 2, 3]


@pytest.mark.parametrize("labels", list(itertools.product([Label.POSITIVE, Label.SIMILAR, Label.NEGATIVE], repeat=3)))
def test_the_majority_wins_and_three_different_labels_make_similar(labels: tuple[Label, Label, Label]) -> None:
    a, b, c = labels
    if a == b == c:
        expected = (a, 3)
    elif a in (b, c):
        expected = (a, 2)
    elif b == c:
        expected = (b, 2)
    else:
        expected = (Label.SIMILAR, 1)
    assert vote(labels) == expected


def test_a_vote_takes_three() -> None:
    with pytest.raises(ValueError, match="3 labels, got 2"):
        vote([Label.POSITIVE, Label.POSITIVE])


def test_filters_and_targets_are_those_of_the_three_trainings(train: Path) -> None:
    mixed, similar, negative = open_sets(train)
    assert [every_set(s) for s in (mixed, similar, negative)] == [True, True, True]
    assert [has_positive(s) for s in (mixed, similar, negative)] == [True, False, False]
    assert [has_positive_or_negative(s) for s in (mixed, similar, negative)] == [True, False, True]
    assert [s.positives_or_original for s in (mixed, similar, negative)] == [(1, 2), (0,), (0,)]


@pytest.mark.parametrize("spelling", ["original", "Original"])
def test_the_test_set_has_no_range_folder_and_either_spelling(tmp_path: Path, spelling: str) -> None:
    root = tmp_path / "Test/GT/Test-100"
    add_set(root, "0801", MIXED, part="", original=spelling)
    lr = tmp_path / "Test/Blind_Degradation_Benchmark_LQ/Test-100/Blind_LR"
    assert lr_folder(root) is None
    picture(lr / "0801.png")
    (gts,) = open_sets(root)
    assert gts.variants[0] == "original"
    assert gts.paths[0] == root / "images" / spelling / "0801.png"
    assert gts.positives == (1, 2)
    assert lr_folder(root) == lr
    assert check(root) == []


def test_several_ranges_are_one_data_set(tmp_path: Path) -> None:
    add_set(tmp_path, "b-0-0", MIXED, part="0-1")
    add_set(tmp_path, "a-0-0", SIMILAR, part="1-2")
    sets = open_sets(tmp_path)
    assert sets.names == ("b-0-0", "a-0-0")
    assert [bool(s.positives) for s in sets] == [True, False]
    add_set(tmp_path, "b-0-0", MIXED, part="1-2")
    with pytest.raises(IqsrError, match=r"two sets are called 'b-0-0'"):
        _ = open_sets(tmp_path).names


def test_data_sets_are_joined_in_their_order(tmp_path: Path) -> None:
    add_set(tmp_path / "one", "b-0-0", MIXED)
    add_set(tmp_path / "two", "a-0-0", SIMILAR)
    both = join([open_sets(tmp_path / "one"), open_sets(tmp_path / "two")])
    assert both.names == ("b-0-0", "a-0-0")
    assert both.labelled
    assert [bool(s.positives) for s in both] == [True, False]
    assert join([open_sets(tmp_path / "one")]) == open_sets(tmp_path / "one")
    with pytest.raises(UsageError, match="both have a set 'b-0-0'"):
        join([open_sets(tmp_path / "two"), open_sets(tmp_path / "one"), open_sets(tmp_path / "one")])
    picture(tmp_path / "folders/original/c.png")
    picture(tmp_path / "folders/01/c.png")
    with pytest.raises(UsageError, match=r"cannot be joined: their variants are original, 01, .* and original, 01$"):
        join([open_sets(tmp_path / "one"), open_sets(tmp_path / "folders")])
    for variant in both.variants[1:]:
        picture(tmp_path / f"folders/{variant}/c.png")
    with pytest.raises(UsageError, match="cannot be joined: one has labels of people, the other has none"):
        join([open_sets(tmp_path / "one"), open_sets(tmp_path / "folders")])


def test_any_folders_of_equal_names_are_sets_without_labels(tmp_path: Path) -> None:
    picture(tmp_path / "original/a_01.jpg")
    picture(tmp_path / "01/a_01.png")
    picture(tmp_path / "sharp/a_01_sharp.webp")
    (gts,) = open_sets(tmp_path)
    assert gts.variants == ("original", "01", "sharp")
    assert [path.name for path in gts.paths] == ["a_01.jpg", "a_01.png", "a_01_sharp.webp"]
    assert gts.labels is None
    assert gts.votes is None
    assert every_set(gts)
    for asks in (has_positive, has_positive_or_negative):
        with pytest.raises(UsageError, match="'a_01' has no labels"):
            asks(gts)
    assert check(tmp_path) == []


def test_folders_from_anywhere(tmp_path: Path) -> None:
    picture(tmp_path / "photos/a.jpg")
    picture(tmp_path / "elsewhere/a.png")
    sets = open_folders({"better": tmp_path / "elsewhere", "original": tmp_path / "photos"})
    assert sets.load("a").paths == (tmp_path / "photos/a.jpg", tmp_path / "elsewhere/a.png")
    with pytest.raises(UsageError, match="called 'original'"):
        open_folders({"better": tmp_path / "elsewhere"})
    with pytest.raises(UsageError, match=r"no such folder: .*nowhere"):
        open_folders({"original": tmp_path / "photos", "better": tmp_path / "nowhere"})


def test_other_files_are_left_alone(train: Path) -> None:
    images = train / "images/0-20193"
    (images / "original/Thumbs.db").touch()
    (images / "original/.0003-0-0.png").touch()
    for folder in (".cache", "@eaDir", "__MACOSX"):
        for place in (images, images / "original", train / "images", train / "labels", train / "labels/0-20193"):
            picture(place / folder / "0003-0-0.png")
    (train / "labels/0-20193/A/README.txt").touch()
    assert len(open_sets(train)) == 3
    assert check(train) == []


@pytest.mark.parametrize(
    ("make", "says"),
    [
        ([], "needs a folder 'original'"),
        (["original"], "originals only"),
        (["images/original"], "originals only"),
        (["Train/images", "Test"], "name one of its parts, '.*Train'"),
        (["01", "02"], "needs a folder 'original'"),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, make: list[str], says: str) -> None:
    for folder in make:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(UsageError, match=says) as error:
        open_sets(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="no such folder"):
        open_sets(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "it is not JSON"),
        ("", "it is not JSON"),
        ("[]", "expected an object with Picture_1, Picture_2, ..., found list"),
        (changed(Picture_3={"File": "02", "Label": "positive"}), "Picture_3 has the unknown label 'positive'"),
        (changed(Picture_3={"File": "02", "Label": None}), "Picture_3 has the unknown label None"),
        (changed(Picture_3={"File": "03", "Label": P}), "Picture_3 is said to be of folder '03', expected '02'"),
        (changed(Picture_5=None), "Picture_5 is missing"),
        (changed(Picture_6={"File": "05", "Label": P}), "has Picture_6, but the set has 5 pictures"),
        (changed(Picture_2={"Name": "0002-0-0_01.png", "File": "01", "Label": P}), "Picture_2 is said to be '0002-0-0"),
        (changed(Picture_4={"Name": "0001-0-288_02.png", "Label": P}), "expected '0001-0-288' or '0001-0-288_03'"),
        (changed(Picture_1={"Name": "0001-0-28.png", "File": "original", "Label": None}), "Picture_1 is said to be"),
        (label_json(MIXED[0], "0002-0-0"), "Picture_1 is said to be '0002-0-0.png', expected '0001-0-288'"),
        ('{"Picture_2": {"Label": "Positive"}, "Picture_2": {"Label": "Negative"}}', "Picture_2 stands there twice"),
        ('{"Picture_2": {"Label": "Positive", "Label": "Negative"}}', "Label stands there twice"),
        ("[" * 100_000, "it is not JSON"),
    ],
)
def test_a_label_file_that_is_wrong_is_named(train: Path, text: str, says: str) -> None:
    path = label_file(train)
    path.write_text(text)
    with pytest.raises(IqsrError) as error:
        open_sets(train).load("0001-0-288")
    assert says in str(error.value)
    assert f"'{path}'" in str(error.value)
    assert "\n" not in str(error.value)
    (finding,) = check(train)
    assert finding.path == path
    assert says in finding.problem
    assert str(path) not in finding.problem


def test_only_the_labels_of_the_enhanced_pictures_are_read(tmp_path: Path) -> None:
    """HGGT's own code reads nothing else; a byte-order mark, which some editors add, does no harm."""
    path = tmp_path / "a.json"
    least = {f"Picture_{i}": {"Label": label} for i, label in enumerate((P, S, N, N), 2)}
    path.write_text(json.dumps(least), encoding="utf-8-sig")
    assert read_labels(path, ENHANCED) == (Label.POSITIVE, Label.SIMILAR, Label.NEGATIVE, Label.NEGATIVE)


@pytest.mark.parametrize("name", ["{}.png", "{}_02.jpg", "{}_02", r"D:\GT\{}_02.png", "images/02/{}_02.png", None, 3])
def test_a_name_of_the_set_may_be_written_in_many_ways(train: Path, name: object) -> None:
    entry = {"Name": name.format("0001-0-288") if isinstance(name, str) else name, "File": "02", "Label": P}
    label_file(train).write_text(changed(Picture_3=entry))
    assert open_sets(train).load("0001-0-288").labels is not None
    assert check(train) == []


def test_names_may_be_composed_or_decomposed(tmp_path: Path) -> None:
    composed, decomposed = (normalize(form, "café-0-0") for form in ("NFC", "NFD"))
    add_set(tmp_path, decomposed, MIXED)
    for annotator in "ABC":
        file = tmp_path / f"labels/0-20193/{annotator}/{decomposed}.json"
        file.write_text(label_json(MIXED[0], composed), encoding="utf-8")
    assert check(tmp_path) == []
    assert open_sets(tmp_path).load(decomposed).positives == (1, 2, 3)


def test_a_missing_annotator_is_told(train: Path) -> None:
    label_file(train).unlink()
    with pytest.raises(IqsrError, match=r"'0001-0-288' has no labels of annotator B"):
        open_sets(train).load("0001-0-288")
    assert open_sets(train).load("0001-288-0").labels is not None
    (finding,) = check(train)
    assert finding.path == label_file(train)
    assert "annotator B are missing" in finding.problem


def test_a_missing_folder_of_labels_is_told_once(train: Path) -> None:
    for file in (train / "labels/0-20193/C").iterdir():
        file.unlink()
    (train / "labels/0-20193/C").rmdir()
    with pytest.raises(IqsrError, match=r"cannot list '.*C'"):
        open_sets(train).load("0001-0-288")
    (finding,) = check(train)
    assert finding.path == train / "labels/0-20193/C"


def test_a_missing_picture_is_told(train: Path) -> None:
    gone = train / "images/0-20193/03/0002-0-0_03.png"
    gone.unlink()
    with pytest.raises(PictureError, match=r"'0002-0-0' has no picture in '.*03'"):
        open_sets(train).load("0002-0-0")
    (finding,) = check(train)
    assert (finding.path, finding.problem) == (gone, "the picture is missing")


def test_a_set_of_another_name_is_refused(train: Path) -> None:
    with pytest.raises(UsageError, match="no set is called '0003' among the 3"):
        open_sets(train).load("0003")


def test_two_files_of_one_name_are_refused(train: Path) -> None:
    picture(train / "images/0-20193/01/0002-0-0_01.jpg")
    with pytest.raises(IqsrError, match=r"has both '0002-0-0_01.jpg' and '0002-0-0_01.png'; keep one"):
        open_sets(train).load("0002-0-0")
    (finding,) = check(train)
    assert finding.path == train / "images/0-20193/01"


def test_names_say_which_crop_they_are() -> None:
    name = SetName.parse("DIV2K-0001-288-576")
    assert name == SetName("DIV2K-0001", row=288, column=576)
    assert str(name) == "DIV2K-0001-288-576"
    for wrong in ("0801", "a-1", "a--1-b"):
        with pytest.raises(UsageError, match="<image>-<row>-<column>"):
            SetName.parse(wrong)


def test_opening_touches_no_file_and_loading_only_those_of_one_set(tmp_path: Path) -> None:
    """Names come from listing 8 folders. The other sets are links that lead nowhere: a look at one would fail."""
    add_set(tmp_path, "0300-0-0", ((P, S, N, N),) * 3)
    for annotator in "ABC":
        for i in range(300):
            (tmp_path / "labels/0-20193" / annotator / f"{i:04d}-0-0.json").symlink_to(tmp_path / "nowhere")
    for variant in ("original", *ENHANCED):
        end = f"_{variant}.png" if variant in ENHANCED else ".png"
        for i in range(300):
            (tmp_path / "images/0-20193" / variant / f"{i:04d}-0-0{end}").symlink_to(tmp_path / "nowhere")
    sets = open_sets(tmp_path)
    assert len(sets) == 301
    assert sets.load("0300-0-0").positives == (1,)
    with pytest.raises(IqsrError, match=r"cannot read '.*0007-0-0.json': No such file"):
        sets.load("0007-0-0")
