"""Servers of small studies, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from iqsr.study.server.app import create_app
from iqsr.study.server.served import open_study
from support.postgresql import PostgreSQL, running_postgresql
from support.served_studies import SETTINGS, write_study
from support.study_clients import Serve, Served, new_client


@pytest.fixture
def study_load(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module: raters that are processes' clients, and servers that are processes."""
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "benchmarks")
    return import_module("study_load")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with running_postgresql() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of an empty database; None is SQLite's file in the study's folder."""
    if request.param == "sqlite":
        yield None
        return
    cluster: PostgreSQL = request.getfixturevalue("postgresql")
    with cluster.database() as url:
        yield url


@contextmanager
def _serving(folder: Path, database: str | None) -> Iterator[Serve]:
    with ExitStack() as opened:

        def start(settings: str = SETTINGS, raters: int = 3, **options: Any) -> Served:
            if not folder.exists():
                write_study(folder, raters=raters, settings=settings)
            study = open_study(folder, database)
            opened.callback(study.database.close)
            return Served(study, opened.enter_context(new_client(create_app(study, **options))))

        yield start


@pytest.fixture
def serve(tmp_path: Path, database: str | None) -> Iterator[Serve]:
    """Serves the study in the folder, which is made by the first call. Arguments as `write_study`, `create_app`."""
    with _serving(tmp_path / "study", database) as start:
        yield start


@pytest.fixture
def served(serve: Serve) -> Served:
    """The study as it is made."""
    return serve()


@pytest.fixture
def sqlite_served(tmp_path: Path) -> Iterator[Served]:
    """The same, where the kind of database does not matter."""
    with _serving(tmp_path / "study", None) as start:
        yield start()
