"""The recipes that ship, found by name: `paper/swinir-amo-ft`, with variants as overlays: `paper/swinir-amo-ft+ig`.

A name is the path of a TOML file in this package without its suffix. An overlay is a variant: a file in the folder
`overlays` beside the recipes that it changes. The first comment line of a file describes it.
"""

from pathlib import Path

from iqsr.errors import UnknownNameError

DEFAULT_PREPARE = "prepare/default"
"""The recipe that `iqsr prepare` uses unless another is given."""

_HERE = Path(__file__).parent
_OVERLAYS = "overlays"


def recipe_names() -> list[str]:
    """The names of all recipes, without overlays, by folder."""
    return sorted(_name(path) for path in _HERE.glob("*/*.toml"))


def overlay_names(folder: str) -> list[str]:
    """The names of the overlays in `folder`, such as `ig` in `paper`."""
    return sorted(path.stem for path in (_HERE / folder / _OVERLAYS).glob("*.toml"))


def recipe_files(name: str) -> list[Path]:
    """The file of a recipe, and after it those of its overlays in the order given: `NAME+OVERLAY+...`.

    Raises UnknownNameError, the nearest first.
    """
    recipe, *overlays = name.removesuffix(".toml").split("+")
    if recipe not in recipe_names():
        raise UnknownNameError("recipe", recipe, recipe_names())
    folder = recipe.partition("/")[0]
    for overlay in overlays:
        if overlay not in overlay_names(folder):
            raise UnknownNameError(f"overlay of '{folder}' recipes", overlay, overlay_names(folder))
    return [_HERE / f"{recipe}.toml", *(_HERE / folder / _OVERLAYS / f"{overlay}.toml" for overlay in overlays)]


def summary(name: str) -> str:
    """One line on a recipe: the first comment line of its file, or of its last overlay."""
    first = recipe_files(name)[-1].read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip()


def overlay_summary(folder: str, overlay: str) -> str:
    """One line on an overlay: the first comment line of its file."""
    path = _HERE / folder / _OVERLAYS / f"{overlay}.toml"
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def _name(path: Path) -> str:
    return path.relative_to(_HERE).with_suffix("").as_posix()
