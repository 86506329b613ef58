"""Journals: what was noted is found again, whatever became of other lines."""

from pathlib import Path

import pytest

from iqsr.io.journals import add_entry, entries


@pytest.mark.parametrize("torn", [b"", b'["b", 1', b'["b", 12]', b"\xc3", b"\0" * 20])
def test_an_entry_after_a_torn_line_is_not_lost(tmp_path: Path, torn: bytes) -> None:
    journal = tmp_path / "made.jsonl"
    add_entry(journal, ["a", 1])
    with journal.open("ab") as file:
        file.write(torn)
    add_entry(journal, ["c", 3])
    add_entry(journal, ["d", 4])
    found = entries(journal)
    assert found == [["a", 1], *([["b", 12]] if torn.endswith(b"]") else []), ["c", 3], ["d", 4]]


def test_a_journal_of_whole_lines_gets_no_others(tmp_path: Path) -> None:
    journal = tmp_path / "made.jsonl"
    for number in range(3):
        add_entry(journal, number)
    assert journal.read_bytes() == b"0\n1\n2\n"


def test_a_journal_that_is_nothing_but_a_torn_line_is_used_again(tmp_path: Path) -> None:
    journal = tmp_path / "made.jsonl"
    journal.write_bytes(b"[")
    add_entry(journal, 5)
    assert entries(journal) == [5]
