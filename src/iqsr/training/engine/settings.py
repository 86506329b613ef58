"""The settings that all trainings have, and which ones may differ when a run continues.

Each field of a recipe is marked, and recipes are compared key by key:

>>> class Example(Recipe):
...     lr: Fixed[float] = 1e-4
...     log_every: Free[int] = 100
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import zip_longest
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

from pydantic import Field
from pydantic.fields import FieldInfo

from iqsr.errors import UsageError
from iqsr.recipes import Recipe

_T = TypeVar("_T")
_NAMED = 4


class OnResume(Enum):
    """What another value of a setting means to a run that continues."""

    FIXED = "the result depends on it: another value is another run"
    FREE = "the result does not depend on it, or only on where the run ends: any value will do"
    LENGTH = "how long the run is: any value will do, but steps that were taken stay"


Fixed = Annotated[_T, OnResume.FIXED]
Free = Annotated[_T, OnResume.FREE]
Length = Annotated[_T, OnResume.LENGTH]

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""A seed of random sources."""
Decay = Annotated[float, Field(ge=0, lt=1)]
"""Decay of a running average: the share of the old value that stays in each step."""


Steps = Length[Annotated[int, Field(ge=1)]]
"""How many steps a run takes."""
Every = Free[Annotated[int, Field(ge=1)]]
"""An interval of steps."""


class LoopRecipe(Recipe):
    """The settings of every training loop."""

    seed: Fixed[Seed] = 0
    steps: Steps
    checkpoint_every: Every


class PictureRecipe(Recipe):
    """What is done about pictures that cannot be read."""

    check: Free[bool] = True
    """Decode every picture before the first step; what was decoded once is remembered. Without, a damaged picture ends
    the run when it is read."""
    damaged: Free[Literal["stop", "skip"]] = "stop"
    """What a damaged picture, or one that is missing or does not fit the others of its set or pair, does before the
    first step: stop the run, or have its photo, set or pair left out."""

    def check_damaged(self, section: str = "") -> None:
        """ValueError, which pydantic expects, where damaged pictures are to be left out and no picture is checked."""
        if self.damaged == "skip" and not self.check:
            raise ValueError(
                f"{section}damaged = 'skip' needs {section}check = true, which finds the pictures that are damaged"
            )


@dataclass(frozen=True)
class Change:
    """A setting that is not what it was. Values as JSON has them."""

    key: str
    """`section.key`"""
    before: Any
    now: Any
    on_resume: OnResume

    def __str__(self) -> str:
        return f"{self.key}: {_as_text(self.now)} here, {_as_text(self.before)} in the run"


def marks(recipe: type[Recipe]) -> dict[str, OnResume | None]:
    """Every key of a recipe and of its sections with its mark; None where it has none."""
    found: dict[str, OnResume | None] = {}
    for name, field in recipe.model_fields.items():
        section = _section(field)
        if field.annotation is not section:  # more than the section itself: it may be missing, or come in numbers
            found[name] = _mark(field)
        for key, mark in marks(section).items() if section else ():
            found[f"{name}.{key}"] = mark
    return found


def changes(before: Mapping[str, Any], now: Recipe) -> list[Change]:
    """Settings that differ. before: a recipe's `model_dump(mode="json")`; what it lacks had its default."""
    return list(_changes(type(now), before, now.model_dump(mode="json"), ""))


def check_changes(found: Sequence[Change], folder: object) -> None:
    """UsageError, which names them, for changes with which the run in `folder` cannot continue."""
    fixed = [change for change in found if change.on_resume is OnResume.FIXED]
    if fixed:
        more = f"; and {len(fixed) - _NAMED} more" if len(fixed) > _NAMED else ""
        named = "; ".join(map(str, fixed[:_NAMED])) + more
        raise UsageError(
            f"'{folder}' holds a run of another recipe ({named}): give these as they were, or another folder"
        )


def _changes(cls: type[Recipe], before: Mapping[str, Any], now: Mapping[str, Any], above: str) -> Iterator[Change]:
    for name, field in cls.model_fields.items():
        value, key, section = now[name], f"{above}{name}", _section(field)
        was = before[name] if name in before else _default(field)
        many = isinstance(was, list) and isinstance(value, list)
        pairs = zip_longest(cast(list[Any], was), cast(list[Any], value)) if section and many else [(was, value)]
        for number, (old, new) in enumerate(pairs):
            at = f"{key}[{number}]" if section and many else key
            if section is not None and isinstance(old, dict) and isinstance(new, dict):
                yield from _changes(section, cast(Mapping[str, Any], old), cast(Mapping[str, Any], new), f"{at}.")
            elif old != new:
                yield Change(at, old, new, _mark(field) or OnResume.FIXED)


def _default(field: FieldInfo) -> Any:
    """As JSON has it; None where there is none."""
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True, validated_data={})
    return value.model_dump(mode="json") if isinstance(value, Recipe) else json.loads(json.dumps(value, default=str))


def _mark(field: FieldInfo) -> OnResume | None:
    return next((m for m in field.metadata if isinstance(m, OnResume)), None)


def _section(field: FieldInfo) -> type[Recipe] | None:
    """The recipe that a field holds, or may hold."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Recipe)), None)


def _as_text(value: Any) -> str:
    if value is None:
        return "nothing"
    text = f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
