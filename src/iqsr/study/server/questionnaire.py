"""Whether answers answer the questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iqsr.study.settings import Question

LONGEST_TEXT = 2000
"""Characters of an answer in the rater's own words."""

Answers = dict[str, str | float | None]


def check_answers(questions: Sequence[Question], given: Mapping[str, object]) -> Answers | str:
    """The answers by question, or one sentence on what is wrong with them."""
    unknown = given.keys() - {question.id for question in questions}
    if unknown:
        return "There is no such question."
    checked: Answers = {}
    for question in questions:
        value = given.get(question.id)
        if value in (None, ""):
            if question.required:
                return f"Please answer: {question.text}"
            continue
        if (problem := _problem(question, value)) is not None:
            return f"{question.text} {problem}"
        checked[question.id] = value  # pyright: ignore[reportArgumentType]
    return checked


def _problem(question: Question, value: object) -> str | None:
    if question.kind == "number":
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
        return None if is_number else "Answer with a number."
    if not isinstance(value, str):
        return "Answer with text."
    if question.kind == "choice":
        return None if value in question.choices else "Choose one of the answers."
    if len(value) > LONGEST_TEXT:
        return f"Answer with at most {LONGEST_TEXT} characters."
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return "The answer holds characters that are none."
    return None
