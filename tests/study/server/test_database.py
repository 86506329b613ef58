"""The database of a study: its schema, whose it is, and that nothing is lost."""

from __future__ import annotations

import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from iqsr.errors import IqsrError, UsageError
from iqsr.study.records import read_served_votes
from iqsr.study.server.served import open_study
from iqsr.study.store import Base, RaterRow, database_url, open_database
from support.served_studies import png, write_study
from support.study_clients import Serve, Served


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path, database: str | None) -> None:
    opened = open_database(database_url(database, tmp_path))
    with opened.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    opened.close()


def test_servers_that_start_at_once_make_the_tables_once(tmp_path: Path, database: str | None) -> None:
    url = database_url(database, tmp_path)
    with ThreadPoolExecutor(4) as threads:
        for opened in threads.map(lambda _: open_database(url), range(4)):
            opened.close()


def test_a_newer_schema_is_refused_in_one_line(tmp_path: Path, database: str | None) -> None:
    url = database_url(database, tmp_path)
    opened = open_database(url)
    opened.write(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    opened.close()
    with pytest.raises(IqsrError, match=r"^the database has schema '9999', which a newer iqsr made: update iqsr$"):
        open_database(url)


def test_sqlite_survives_a_power_failure_and_overwrites_what_is_deleted(tmp_path: Path) -> None:
    opened = open_database(database_url(None, tmp_path))
    with opened.engine.connect() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys", "busy_timeout")
        }
    opened.close()
    expected = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1, "busy_timeout": 30_000}
    assert pragmas == expected, "2 is FULL"


def test_a_change_that_fails_takes_back_only_itself(served: Served) -> None:
    together = threading.Barrier(2)

    def rename(number: int) -> None:
        def change(session: Session) -> None:
            session.execute(update(RaterRow).where(RaterRow.seat == f"r{number:02}").values(name=f"new{number}"))
            if number == 1:
                raise ValueError("mine")

        together.wait()
        served.study.database.write(change)

    with ThreadPoolExecutor(2) as threads:
        fine, failing = (threads.submit(rename, number) for number in range(2))
        fine.result()
        with pytest.raises(ValueError, match="mine"):
            failing.result()
    with served.study.database.reading() as session:
        assert set(session.scalars(select(RaterRow.name))) == {"new0", "r01", "r02"}


def test_a_database_that_is_another_studys_is_refused(served: Served, tmp_path: Path, database: str | None) -> None:
    write_study(tmp_path / "other", raters=2)
    url = database or f"sqlite:///{tmp_path / 'study' / 'votes.sqlite'}"
    with pytest.raises(UsageError, match="another study"):
        open_study(tmp_path / "other", url)


def test_a_lost_key_is_told_and_not_made_anew(serve: Serve, tmp_path: Path, database: str | None) -> None:
    serve()
    key = tmp_path / "study" / "server.key"
    assert sys.platform == "win32" or stat.S_IMODE(key.stat().st_mode) == 0o600
    kept = key.read_text()
    key.unlink()
    with pytest.raises(UsageError, match=r"server\.key"):
        open_study(tmp_path / "study", database)
    key.write_text("damaged")
    with pytest.raises(IqsrError, match="damaged"):
        open_study(tmp_path / "study", database)
    key.write_text(kept)
    serve()


def test_votes_are_read_without_the_server(served: Served, tmp_path: Path, database: str | None) -> None:
    rater = served.rater()
    rater.begin()
    rater.finish(choice=1)
    votes = read_served_votes(tmp_path / "study", database)
    assert votes == served.votes()
    assert [vote.kind for vote in votes] == ["vote", "attention", "vote", "vote"]
    assert votes[1].shown == ("ours", "(degraded)")


def test_pictures_that_would_tell_methods_apart_are_refused(tmp_path: Path) -> None:
    design = write_study(tmp_path / "study")
    file = tmp_path / "study" / "pictures" / design.files["scene1"]["ours"]
    good = file.read_bytes()
    for bad, reason in {
        png(32, 24, 5, 2001): "differ in size",
        png(24, 32, 5): "differ in size",
        b"GIF89a": "no PNG",
    }.items():
        file.write_bytes(bad)
        with pytest.raises(UsageError, match=reason):
            open_study(tmp_path / "study")
    file.unlink()
    with pytest.raises(UsageError, match="is not in"):
        open_study(tmp_path / "study")
    assert not (tmp_path / "study" / "votes.sqlite").exists()
    file.write_bytes(good)
    open_study(tmp_path / "study").database.close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:secret@h/d", "sqlite://", "sqlite:///:memory:"])
def test_databases_of_other_kinds_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="--database takes") as refused:
        database_url(url, tmp_path)
    assert "secret" not in str(refused.value)
