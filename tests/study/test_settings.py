"""study.toml: what is written is read back, and a wrong setting is one line that names the nearest."""

import tomllib
from pathlib import Path

import pytest

from iqsr.errors import UsageError
from iqsr.study.settings import SETTINGS_FILE, Question, Settings, commented_toml, read_settings

FULL = Settings(
    title='A "study"',
    question="Which one?",
    instructions="Look.\n\nThen choose: C:\\ \x7f é",
    consent="I agree.",
    allow_no_difference=True,
    ask_strength=True,
    completion_code="X1",
    before=(Question(id="screen", text="Screen?", kind="choice", choices=("phone", "desk")),),
    after=(Question(id="age", text="Age?", kind="number", required=False), Question(id="remarks", text="Remarks?")),
)


@pytest.mark.parametrize("settings", [Settings(), FULL])
def test_settings_are_read_as_they_were_written(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_text(commented_toml(settings), "utf-8")
    assert read_settings(tmp_path) == settings


def test_the_example_in_the_comments_holds() -> None:
    lines = commented_toml(Settings()).partition("For example:\n")[2].splitlines()
    example = "\n".join(line.removeprefix("#").strip() for line in lines)
    read = Settings.model_validate(tomllib.loads(example), strict=False)
    assert [question.kind for question in (*read.before, *read.after)] == ["choice", "text"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("titel = 'x'", "unknown key 'titel'; did you mean 'title'?"),
        ("title = 3", "'title' should be a valid string, got 3"),
        ("title = ''", "'title' String should have at least 1 character"),
        ("[[before]]\nid = 'a'\ntxt = 'b'", r"unknown key 'before\[0\].txt'"),
        ("[[before]]\nid = 'a b'\ntext = 'b'", "'before.*id' String should match"),
        ("[[before]]\nid = 'a'\ntext = 'b'\nkind = 'choice'", "needs two different choices"),
        ("[[before]]\nid = 'a'\ntext = 'b'\nchoices = ['x', 'y']", 'give it kind = "choice"'),
        ("[[before]]\nid='a'\ntext='b'\n[[after]]\nid='a'\ntext='c'", "two questions have the id 'a'"),
        ("title = ", "is not TOML"),
        (None, "is no study: it has no study.toml"),
    ],
)
def test_a_wrong_setting_is_one_line(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / SETTINGS_FILE).write_text(text)
    with pytest.raises(UsageError, match=said) as refused:
        read_settings(tmp_path)
    assert "\n" not in str(refused.value)
