"""The design as a file: what is written is read back, and what is no design is refused in one line."""

from dataclasses import replace
from pathlib import Path

import pytest

from iqsr.errors import UsageError
from iqsr.study.design import ATTENTION, Design, Seat, Trial, read_design, write_design

DESIGN = Design(
    seed=7,
    mode="slider",
    pairing="balanced",
    methods=("a", "b"),
    pictures=("scène", "tree"),
    trials_per_seat=2,
    seats=(
        Seat("r01", (Trial("r01-001", "scène", ("a", "b")), Trial("r01-002", "tree", (ATTENTION, "a"), "attention"))),
        Seat("r02", ()),
    ),
    files={"scène": {"a": "1.png", "b": "2.png"}, "tree": {"a": "3.png", "b": "4.png", ATTENTION: "5.png"}},
    attention_checks=1,
)


@pytest.mark.parametrize("design", [DESIGN, replace(DESIGN, seats=()), replace(DESIGN, files={})])
def test_a_design_is_read_as_it_was_written(design: Design, tmp_path: Path) -> None:
    write_design(design, tmp_path)
    assert read_design(tmp_path) == design


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "is no study: it has no design.json"),
        ("{", "is no JSON"),
        ("[]", "has format None"),
        ('{"format": 2}', "has format 2, and this version of iqsr reads format 1"),
        ('{"format": 1}', "is damaged: seed"),
    ],
)
def test_what_is_no_design_is_one_line(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "design.json").write_text(text)
    with pytest.raises(UsageError, match=said) as refused:
        read_design(tmp_path)
    assert "\n" not in str(refused.value)
