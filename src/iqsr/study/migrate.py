"""The schema of a study's database, brought up to date by the migrations that ship."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import Connection

from iqsr.errors import IqsrError

_LOCK = 0x69717372
"""A number for PostgreSQL: two servers that start at once migrate one after the other."""


def migrate(connection: Connection) -> None:
    """Run the migrations that are missing. Raises IqsrError for a schema that is newer than the newest known one."""
    from alembic.command import upgrade
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
        raise IqsrError(f"the database has schema '{current}', which a newer iqsr made: update iqsr")
    upgrade(config, "head")
