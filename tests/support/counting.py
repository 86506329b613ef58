"""Counts the calls of a function."""

import pytest


def calls(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[None]:
    """One entry for each call of a function from now on."""
    seen, original = list[None](), getattr(owner, name)

    def counted(*args: object, **kwargs: object) -> object:
        seen.append(None)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return seen
