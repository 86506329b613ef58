"""Files of several folders find their scene by name, or one line says which does not."""

from pathlib import Path

import pytest

from iqsr.errors import UsageError
from iqsr.study.matching import match_scenes


def folders(tmp_path: Path, **names: str) -> dict[str, Path]:
    for folder, files in names.items():
        (tmp_path / folder).mkdir()
        for name in files.split():
            (tmp_path / folder / name).touch()
    return {name: tmp_path / name for name in names}


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ("0801.png 0802.jpg", "0801.webp 0802.png", "0801 0802"),
        ("0801_x4.png 0802_x4.png", "0801.png 0802.png", "0801 0802"),
        ("0801_mine.png 0802_mine.png", "0801-theirs.png 0802-theirs.png", "0801 0802"),
        ("img_1_a.png img_10_a.png", "img_1_b.png img_10_b.png", "img_1 img_10"),
        ("a.png a_b.png", "a.png a_b.png", "a a_b"),
        ("baby.png", "babyx4.png", "baby"),
    ],
)
def test_names_are_the_same_or_begin_alike(a: str, b: str, found: str, tmp_path: Path) -> None:
    matched = match_scenes(folders(tmp_path, a=a, b=b))
    assert list(matched) == found.split()
    assert sorted(files["a"].name for files in matched.values()) == sorted(a.split())
    assert sorted(files["b"].name for files in matched.values()) == sorted(b.split())
    assert all(files["a"].name.startswith(scene) for scene, files in matched.items())


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ("1.png 2.png", "1.png", "b' has no picture for '2.png' of '.*a'"),
        ("1.png", "1.png 2.png", "a' has no picture for '2.png' of '.*b'"),
        ("img_1.png", "img_2.png", "no picture for 'img_1.png'"),
        ("img_1.png img_2.png", "img_1.png img_3.png", "no picture for 'img_2.png'"),
        ("img_3_a.png img_1_a.png", "img_1_b.png", "no picture for 'img_3_a.png'"),
        ("5_a.png 5_b.png 6_a.png", "5_x.png 6_x.png", "a' has several pictures for '5': '5_a.png', '5_b.png'"),
        ("5.png 5.jpg", "5.png", "a' has several pictures for '5'"),
        ("", "5.png", "a' holds no pictures"),
    ],
)
def test_what_has_no_scene_is_one_line(a: str, b: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        match_scenes(folders(tmp_path, a=a, b=b))
    assert "\n" not in str(refused.value)
