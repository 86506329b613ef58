"""What raters' browsers send."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _plain(text: str) -> str:
    """Text that every database can hold."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds characters that are none")
    return text


_Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
_Key = Annotated[str, Field(min_length=8, max_length=64), AfterValidator(_plain)]
_Measure = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
_Pixels = Annotated[int, Field(ge=0, le=1_000_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConsentBody(_Body):
    """Agreement to take part."""

    agreed: Literal[True]


class AnswersBody(_Body):
    """The answers to the questions of a part."""

    part: Literal["before", "after"]
    answers: dict[_Name, Any]


class VoteBody(_Body):
    """The answer to a trial."""

    trial: _Name
    choice: Annotated[int, Field(strict=True, ge=0, le=1000)] | None
    key: _Key
    strength: Literal["", "barely", "clearly", "strongly"] | None = None
    seconds: _Measure | None = None
    zoom: _Measure | None = None
    viewport: tuple[_Pixels, _Pixels] | None = None
    pixel_ratio: _Measure | None = None


class UndoBody(_Body):
    """The undoing of the last answer. A `trial` or `key` makes a request that is sent twice count once."""

    trial: _Name | None = None
    key: _Key | None = None


class EmptyBody(_Body):
    """Nothing."""
