"""Recipes: typed, frozen settings in TOML files, with inheritance, overrides, validation and a hash."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from iqsr.configs import recipe_files, recipe_names
from iqsr.errors import UnknownNameError, UsageError

Table = dict[str, Any]
_Key = tuple[int | str, ...]


class Recipe(BaseModel):
    """Base of every recipe and of every section of one. Its fields are settings; collections are tuples.

    Frozen, and unknown keys are errors. In a file, `base` names the recipe that it inherits from, and `unset` lists the
    inherited settings that it removes, such as `unset = ["lora", "objective.quality"]`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


_R = TypeVar("_R", bound=Recipe)


@dataclass(frozen=True)
class _Layer:
    """Settings and their source: `file 'x.toml'` or `--set a.b=c`."""

    source: str
    data: Table
    unset: tuple[str, ...] = ()
    """Inherited settings and sections that are removed before this layer's are applied."""


def read_recipe(source: str | Path, cls: type[_R], overrides: Sequence[str] = ()) -> _R:
    """Read and validate a recipe.

    A file may inherit from another in the key `base`, a path relative to itself or the name of a recipe that ships.
    Tables are merged, all else is replaced. `unset` lists inherited settings that are removed first.

    Args:
        source: The path of a TOML file, or the name of a recipe that ships (`iqsr recipes`).
        cls: The kind of recipe.
        overrides: `section.key=value` each, the last one wins; values are TOML, or plain words where they are not TOML.

    Raises:
        UsageError: One line: the file or override, the key, what was expected and what came, or the nearest key.
    """
    layers = [*_layers_of(source), *(_override(text) for text in overrides)]
    data: Table = {}
    for layer in layers:
        data = _merged(_without(data, layer), layer, ())
    try:  # JSON's strict mode has TOML's types: "1" is no number, but lists are tuples and strings are paths
        return cls.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise UsageError(_message(error, cls, data, layers)) from None


def recipe_hash(recipe: Recipe) -> str:
    """16 hexadecimal digits; equal for equal settings, wherever and in whatever order they were given."""
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolved_toml(recipe: Recipe) -> str:
    """Every setting as a TOML file without `base`; `read_recipe` makes the same recipe of it.

    Raises UsageError for a None where the default is not None: TOML has no word for it.
    """
    _check_nones(recipe, ())
    return "\n".join(_table_lines(recipe.model_dump(mode="json", exclude_none=True), ())).strip() + "\n"


def _layers_of(source: str | Path) -> list[_Layer]:
    """A file where there is one, else a recipe that ships, and its overlays."""
    path = Path(source)
    if path.exists() or path.is_absolute() or isinstance(source, Path):
        return _file_layers(path, ())
    try:
        recipe, *overlays = recipe_files(source)
    except UnknownNameError as error:
        if path.suffix == ".toml":
            raise UsageError(f"no such recipe file: '{source}'; names of those that ship: iqsr recipes") from None
        raise error from None
    return [*_file_layers(recipe, ()), *(layer for overlay in overlays for layer in _file_layers(overlay, ()))]


def _without(data: Table, layer: _Layer) -> Table:
    """`data` without the settings that the layer unsets. Raises UsageError for one that is not set."""
    for name in layer.unset:
        *section, leaf = name.split(".")
        if _at(data, tuple(name.split("."))) is None:
            raise UsageError(f"{layer.source}: 'unset' names '{name}', which its base does not set")
        data = _removed(data, section, leaf)
    return data


def _removed(data: Table, section: Sequence[str], leaf: str) -> Table:
    if not section:
        return {key: value for key, value in data.items() if key != leaf}
    first, *rest = section
    return data | {first: _removed(data[first], rest, leaf)}


def _file_layers(path: Path, asked_by: tuple[Path, ...]) -> list[_Layer]:
    """The layers of all that the file inherits from, oldest first, then its own."""
    here = path.resolve()
    if here in asked_by:
        round_trip = " -> ".join(f"'{p.name}'" for p in (*asked_by[asked_by.index(here) :], here))
        raise UsageError(f"recipes inherit from each other in a circle: {round_trip}")
    wanted = f", the base of '{asked_by[-1]}'" if asked_by else ""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read recipe '{path}'{wanted}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"recipe '{path}'{wanted} is not a text file") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"recipe '{path}'{wanted} is not TOML: {error}") from None
    base, unset = data.pop("base", None), data.pop("unset", [])
    if not isinstance(unset, list) or not all(isinstance(name, str) for name in cast("list[object]", unset)):
        raise UsageError(f"recipe '{path}': 'unset' must be a list of settings, got {_value(unset)}")
    layer = _Layer(f"recipe '{path}'", data, tuple(cast("list[str]", unset)))
    if base is None:
        return [layer]
    if not isinstance(base, str):
        raise UsageError(f"recipe '{path}': 'base' must be a path or a name of another recipe, got {_value(base)}")
    beside = path.parent / base
    files = [beside] if beside.exists() or base not in recipe_names() else recipe_files(base)
    return [*(below for file in files for below in _file_layers(file, (*asked_by, here))), layer]


def _override(text: str) -> _Layer:
    name, equals, value = text.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not equals or not all(keys):
        raise UsageError(f"--set '{text}': expected section.key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    data: Any = parsed["value"] if parsed.keys() == {"value"} else value.strip()
    for key in reversed(keys):
        data = {key: data}
    return _Layer(f"--set '{text}'", data)


def _merged(below: Table, layer: _Layer, section: _Key) -> Table:
    """`below` with the layer's settings of that section; UsageError where a table meets something else."""
    result = dict(below)
    here = cast(Table, _at(layer.data, section))
    for key, new in here.items():
        old = below.get(key)
        if key in below and isinstance(old, dict) != isinstance(new, dict):
            kinds = ("a section", "a value") if isinstance(old, dict) else ("a value", "a section")
            raise UsageError(f"{layer.source}: '{_dotted((*section, key))}' is {kinds[0]}, not {kinds[1]}")
        if isinstance(new, dict):
            result[key] = _merged(cast(Table, old or {}), layer, (*section, key))
        else:
            result[key] = new
    return result


def _message(error: ValidationError, cls: type[Recipe], data: Table, layers: list[_Layer]) -> str:
    """The first of the errors as a line; unknown keys first, as they explain others."""
    found = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    first, more = found[0], len(found) - 1
    key = _key_of(first, data)
    holders = [layer.source for layer in layers if _at(layer.data, key) is not None]
    files = [layer.source for layer in layers if layer.source.startswith("recipe ")]
    source = holders[-1] if holders else files[-1]
    return f"{source}: {_problem(first, key, cls)}" + (f" (and {more} more)" if more else "")


def _problem(error: ErrorDetails, key: _Key, cls: type[Recipe]) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key '{_dotted(key)}'; {_nearest(key, cls)}"
    if error["type"] == "missing":
        return f"'{_dotted(key)}' is missing"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if not key:
        return message
    came = _value(error["input"])
    return f"'{_dotted(key)}' {message}, got {came if len(came) <= 60 else came[:57] + '...'}"


def _key_of(error: ErrorDetails, data: Table) -> _Key:
    """The key of the error in `data`: its location without the type names that pydantic inserts for unions."""
    key: _Key = ()
    for part in error["loc"]:
        if _at(data, (*key, part)) is not None:
            key = (*key, part)
    return (*key, error["loc"][-1]) if error["type"] == "missing" else key


def _nearest(key: _Key, cls: type[Recipe]) -> str:
    """A hint: the closest key of the same section, the same key elsewhere, or else all keys of the section."""
    names = [part for part in key if isinstance(part, str)]
    section, leaf = names[:-1], names[-1]
    known = list(dict.fromkeys(_known_keys(cls, ())))
    siblings = [k[-1] for k in known if list(k[:-1]) == section]
    elsewhere = [_dotted(k) for k in known if k[-1] == leaf]
    if close := get_close_matches(leaf, siblings, 1):
        return f"did you mean '{_dotted((*section, close[0]))}'?"
    if elsewhere:
        return f"did you mean '{elsewhere[0]}'?"
    return f"known here: {', '.join(get_close_matches(leaf, siblings, len(siblings) or 1, 0.0))}"


def _known_keys(annotation: Any, section: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path of every setting and section below `annotation`, through unions and collections."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield (*section, name)
            yield from _known_keys(field.annotation, (*section, name))
    else:
        for inner in get_args(annotation):
            yield from _known_keys(inner, section)


def _at(data: Any, key: _Key) -> Any:
    """The value at the key; None if there is none, for TOML has no None."""
    for part in key:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _dotted(key: Sequence[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def _check_nones(section: Recipe, key: _Key) -> None:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Recipe):
            _check_nones(value, (*key, name))
        elif value is None and field.get_default(call_default_factory=True, validated_data={}) is not None:
            raise UsageError(f"'{_dotted((*key, name))}' is None, which a TOML file cannot say")


def _table_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Values first, then each section under its heading."""
    sections = {key: value for key, value in table.items() if isinstance(value, dict)}
    if path and (len(sections) < len(table) or not table):
        yield f"\n[{'.'.join(_bare(part) for part in path)}]"
    for key, value in table.items():
        if key not in sections:
            yield f"{_bare(key)} = {_value(value)}"
    for key, value in sections.items():
        yield from _table_lines(cast(Table, value), (*path, key))


def _value(value: Any) -> str:
    """As TOML writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_bare(k)} = {_value(v)}" for k, v in cast(Table, value).items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in cast(Sequence[Any], value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # JSON's strings are TOML's but for one character
    return json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")


def _bare(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)
