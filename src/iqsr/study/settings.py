"""What raters of a study read and are asked: study.toml."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from iqsr.errors import UsageError
from iqsr.io.places import check_is_file
from iqsr.recipes import Recipe, read_recipe

SETTINGS_FILE = "study.toml"


class Question(Recipe):
    """One question of the questionnaire."""

    id: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """the name of its answers in tables"""
    text: str = Field(min_length=1)
    kind: Literal["choice", "number", "text"] = "text"
    choices: tuple[str, ...] = ()
    """of a `choice`: the answers to choose from"""
    required: bool = True

    @model_validator(mode="after")
    def _choices_fit_the_kind(self) -> Question:
        if self.kind == "choice" and (len(self.choices) < 2 or len(set(self.choices)) < len(self.choices)):
            raise ValueError(f"the question '{self.id}' is a choice: it needs two different choices or more")
        if self.kind != "choice" and self.choices:
            raise ValueError(f"the question '{self.id}' has choices: give it kind = \"choice\"")
        return self


class Settings(Recipe):
    """What raters read."""

    title: str = Field(default="Which picture looks better?", min_length=1)
    question: str = Field(default="Which picture looks better?", min_length=1)
    instructions: str = ""
    consent: str = ""
    """what raters agree to before they begin; not asked where it is empty"""
    allow_no_difference: bool = False
    ask_strength: bool = False
    """whether raters say how clear the preference was: barely, clearly, strongly"""
    completion_code: str = ""
    """shown at the end, for platforms that pay raters"""
    before: tuple[Question, ...] = ()
    after: tuple[Question, ...] = ()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Settings:
        counts = Counter(question.id for question in (*self.before, *self.after))
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"two questions have the id '{twice[0]}'")
        return self


def read_settings(study: Path) -> Settings:
    """Read study.toml from the folder of a study.

    Raises:
        UsageError: It is not there, or a setting is wrong; an unknown one names the nearest. One line.
    """
    file = study / SETTINGS_FILE
    if not file.exists():
        raise UsageError(f"'{study}' is no study: it has no {SETTINGS_FILE}; make one: iqsr study create")
    check_is_file(file)
    return read_recipe(file, Settings)


def commented_toml(settings: Settings) -> str:
    """The settings as a file that says of each what it is."""
    return f"""# What raters read and are asked. Change it before the first rater comes: the server reads it once.

# The name of the study, on every page.
title = {_text(settings.title)}
# Asked with every pair of pictures.
question = {_text(settings.question)}
# Shown before the first pair. An empty line begins a new paragraph.
instructions = {_text(settings.instructions)}
# What raters agree to before they begin. Not asked where it is empty.
consent = {_text(settings.consent)}
# Whether raters may answer that they see no difference.
allow_no_difference = {_text(settings.allow_no_difference)}
# Whether raters say how clear their preference was: barely, clearly, strongly.
ask_strength = {_text(settings.ask_strength)}
# Shown at the end, for platforms that pay raters. None where it is empty.
completion_code = {_text(settings.completion_code)}

# Questions before the first pair ([[before]]) and after the last ([[after]]), as many as you like. For example:
#
# [[before]]
# id = "screen"
# text = "What do you look at?"
# kind = "choice"  # or "number", "text"
# choices = ["a phone", "a laptop", "a monitor"]
#
# [[after]]
# id = "remarks"
# text = "Is there anything that you would like to tell us?"
# required = false
{_questions("before", settings.before)}{_questions("after", settings.after)}"""


def _questions(part: str, questions: Sequence[Question]) -> str:
    blocks = [
        f"\n[[{part}]]\n" + "".join(f"{key} = {_text(value)}\n" for key, value in one.model_dump(mode="json").items())
        for one in questions
    ]
    return "".join(blocks)


def _text(value: object) -> str:
    """As TOML writes it: JSON's strings are TOML's but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
