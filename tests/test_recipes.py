"""Recipes: what is read, inherited and overridden, what the one line says when something is wrong, round trips."""

import datetime
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, field_validator, model_validator

from iqsr.errors import UsageError
from iqsr.recipes import Recipe, read_recipe, recipe_hash, resolved_toml


class Constant(Recipe):
    kind: Literal["constant"] = "constant"


class Steps(Recipe):
    kind: Literal["steps"] = "steps"
    milestones: tuple[int, ...] = (200, 250)
    gamma: float = 0.5


class Optimiser(Recipe):
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    schedule: Annotated[Constant | Steps, Field(discriminator="kind")] = Constant()


class Term(Recipe):
    metric: str
    weight: float = 1.0


class Training(Recipe):
    name: str
    steps: Annotated[int, Field(ge=1)] = 1000
    bf16: bool = False
    data: Path | None = None
    sampler: Literal["amo", "upos"] = "amo"
    optimiser: Optimiser = Optimiser()
    terms: tuple[Term, ...] = ()
    loss_weights: dict[str, float] = Field(default_factory=dict)
    made: datetime.date | None = None

    @field_validator("name")
    @classmethod
    def _has_no_slash(cls, value: str) -> str:
        if "/" in value:
            raise ValueError("must not hold a slash")
        return value

    @model_validator(mode="after")
    def _amo_has_terms(self) -> "Training":
        if self.sampler == "upos" and self.terms:
            raise ValueError("sampler 'upos' uses no terms: leave them out")
        return self


FULL = """
name = "full"
steps = 20_000
bf16 = true
data = "some/where"
made = 2024-02-29
terms = [{ metric = "srq", weight = 0.05 }, { metric = "musiq" }]

[optimiser]
learning_rate = 5e-6
betas = [0.5, 1]
schedule = { kind = "steps", milestones = [5000] }

[loss_weights]
"l1.charbonnier" = 1
gan = 0.1
"""


def write(folder: Path, text: str, name: str = "recipe.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def told(path: Path, *overrides: str) -> str:
    """The one line of the error."""
    with pytest.raises(UsageError) as caught:
        read_recipe(path, Training, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_everything_a_file_says_arrives_with_its_type(tmp_path: Path) -> None:
    found = read_recipe(write(tmp_path, FULL), Training)
    assert found == Training(
        name="full",
        steps=20_000,
        bf16=True,
        data=Path("some/where"),
        made=datetime.date(2024, 2, 29),
        terms=(Term(metric="srq", weight=0.05), Term(metric="musiq")),
        optimiser=Optimiser(learning_rate=5e-6, betas=(0.5, 1.0), schedule=Steps(milestones=(5000,))),
        loss_weights={"l1.charbonnier": 1.0, "gan": 0.1},
    )
    assert isinstance(found.optimiser.betas[1], float)


def test_what_a_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path, 'name = "a"'), Training) == Training(name="a")


def test_recipes_are_frozen(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, 'name = "a"'), Training)
    with pytest.raises(ValidationError, match="frozen"):
        recipe.steps = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        recipe.optimiser.learning_rate = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("steps=5", "steps", 5),
        (" steps = 1_000 ", "steps", 1000),
        ("name=swinir-amo", "name", "swinir-amo"),
        ('name="12"', "name", "12"),
        ("name=a=b", "name", "a=b"),
        ("name=", "name", ""),
        ("bf16=true", "bf16", True),
        ("data=/some/where", "data", Path("/some/where")),
        ("sampler=upos", "sampler", "upos"),
        ("optimiser.learning_rate=5e-6", "optimiser", Optimiser(learning_rate=5e-6)),
        ("optimiser.betas=[0, 1]", "optimiser", Optimiser(betas=(0.0, 1.0))),
        ("optimiser={ betas = [0, 1] }", "optimiser", Optimiser(betas=(0.0, 1.0))),
        ('terms=[{metric="srq"}]', "terms", (Term(metric="srq"),)),
        ("loss_weights.gan=1", "loss_weights", {"gan": 1.0}),
    ],
)
def test_overrides_are_toml_or_plain_words(tmp_path: Path, override: str, key: str, value: object) -> None:
    found = read_recipe(write(tmp_path, 'name = "a"'), Training, [override])
    assert found == Training.model_validate({"name": "a", key: value})


def test_overrides_keep_the_rest_of_a_section_and_the_last_one_wins(tmp_path: Path) -> None:
    found = read_recipe(write(tmp_path, FULL), Training, ["steps=1", "optimiser.learning_rate=1", "steps=2"])
    assert found.steps == 2
    assert found.optimiser == Optimiser(learning_rate=1, betas=(0.5, 1), schedule=Steps(milestones=(5000,)))


def test_a_value_cannot_smuggle_in_other_keys(tmp_path: Path) -> None:
    found = read_recipe(write(tmp_path, 'name = "a"'), Training, ['name="b"\nsteps = 7'])
    assert (found.name, found.steps) == ('"b"\nsteps = 7', 1000)


def test_a_file_inherits_and_holds_only_differences(tmp_path: Path) -> None:
    write(tmp_path, FULL, "base/full.toml")
    write(tmp_path, 'base = "base/full.toml"\nname = "middle"\n[optimiser]\nbetas = [0, 0]', "middle.toml")
    last = write(tmp_path, 'base = "../middle.toml"\nterms = []\noptimiser.learning_rate = 1', "rows/last.toml")
    found = read_recipe(last, Training, ["steps=3"])
    assert (found.name, found.steps, found.terms, found.bf16) == ("middle", 3, (), True)
    assert found.optimiser == Optimiser(learning_rate=1, betas=(0, 0), schedule=Steps(milestones=(5000,)))


def test_circles_of_inheritance_are_told(tmp_path: Path) -> None:
    write(tmp_path, 'base = "b.toml"', "a.toml")
    write(tmp_path, 'base = "c.toml"', "b.toml")
    write(tmp_path, 'base = "./b.toml"', "c.toml")
    assert told(tmp_path / "a.toml") == "recipes inherit from each other in a circle: 'b.toml' -> 'c.toml' -> 'b.toml'"


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    assert told(tmp_path / "none.toml") == f"cannot read recipe '{tmp_path}/none.toml': No such file or directory"
    heir = write(tmp_path, 'base = "none.toml"', "heir.toml")
    assert told(heir) == f"cannot read recipe '{tmp_path}/none.toml', the base of '{heir}': No such file or directory"
    assert "'base' must be a path or a name of another recipe, got 3" in told(write(tmp_path, "base = 3"))
    assert "is not TOML: " in told(write(tmp_path, "steps = "))
    assert "(at line 2, column " in told(write(tmp_path, 'name = "a"\nsteps == 1'))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert told(binary) == f"recipe '{binary}' is not a text file"


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "a"\r\nsteps = 2\r\n')
    assert read_recipe(path, Training) == Training(name="a", steps=2)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("stepps = 3", "unknown key 'stepps'; did you mean 'steps'?"),
        (
            "[optimiser]\nlearning_rat = 3",
            "unknown key 'optimiser.learning_rat'; did you mean 'optimiser.learning_rate'?",
        ),
        ("[optimizer]\nbetas = [0, 1]", "unknown key 'optimizer'; did you mean 'optimiser'?"),
        ("learning_rate = 1", "unknown key 'learning_rate'; did you mean 'optimiser.learning_rate'?"),
        (
            "[optimiser.schedule]\nkind = 'steps'\ngama = 1",
            "'optimiser.schedule.gama'; did you mean 'optimiser.schedule.gamma'?",
        ),
        (
            "terms = [{ metric = 'a' }, { metrc = 'b' }]",
            "unknown key 'terms[1].metrc'; did you mean 'terms.metric'? (and 1 more)",
        ),
    ],
)
def test_unknown_keys_are_told_with_the_nearest(tmp_path: Path, text: str, line: str) -> None:
    path = write(tmp_path, f'name = "a"\n{text}')
    assert line in told(path)
    assert told(path).startswith(f"recipe '{path}': ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("steps = 0", "'steps' should be greater than or equal to 1, got 0"),
        ("steps = 1.5", "'steps' should be a valid integer, got 1.5"),
        ("steps = '3'", "'steps' should be a valid integer, got \"3\""),
        ("steps = true", "'steps' should be a valid integer, got true"),
        ("bf16 = 1", "'bf16' should be a valid boolean, got 1"),
        ("optimiser.learning_rate = '1e-4'", "'optimiser.learning_rate' should be a valid number, got \"1e-4\""),
        ("optimiser.betas = [0.1, 'x']", "'optimiser.betas[1]' should be a valid number, got \"x\""),
        ("sampler = 'amoo'", "'sampler' should be 'amo' or 'upos', got \"amoo\""),
        ("name = 'a/b'", "'name' must not hold a slash, got \"a/b\""),
        ("terms = [{ weight = 2 }]", "'terms[0].metric' is missing"),
        ("optimiser = 3", "got 3"),
        ("[optimiser.schedule]\nkind = 'step'", "'optimiser.schedule' "),
        ("sampler = 'upos'\nterms = [{ metric = 'a' }]", "sampler 'upos' uses no terms: leave them out"),
    ],
)
def test_wrong_values_are_told_with_what_was_expected_and_what_came(tmp_path: Path, text: str, line: str) -> None:
    path = write(tmp_path, text if text.startswith("name") else f'name = "a"\n{text}')
    assert told(path).startswith(f"recipe '{path}': ")
    assert line in told(path)


def test_a_key_like_no_other_is_told_with_all_of_its_section(tmp_path: Path) -> None:
    known = told(write(tmp_path, "name = 'a'\n[optimiser]\nxyzzy = 3")).partition("known here: ")[2]
    assert sorted(known.split(", ")) == ["betas", "learning_rate", "schedule"]


def test_a_missing_key_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "steps = 3")
    assert told(path) == f"recipe '{path}': 'name' is missing"


def test_the_line_names_the_file_or_override_that_is_wrong(tmp_path: Path) -> None:
    base = write(tmp_path, 'name = "a"\nstepps = 3', "base.toml")
    heir = write(tmp_path, 'base = "base.toml"\nbf16 = true', "heir.toml")
    assert told(heir).startswith(f"recipe '{base}': unknown key 'stepps'")
    fine = write(tmp_path, 'name = "a"\nsteps = 3')
    assert told(fine, "bf16=true", "steps=0").startswith("--set 'steps=0': 'steps' should be")
    assert told(fine, "optimiser.lr=1").startswith("--set 'optimiser.lr=1': unknown key 'optimiser.lr'; known here:")
    assert told(fine, "steps") == "--set 'steps': expected section.key=value"
    assert told(fine, ".steps=1") == "--set '.steps=1': expected section.key=value"
    assert told(fine, "steps.x=1") == "--set 'steps.x=1': 'steps' is a value, not a section"
    assert told(write(tmp_path, FULL), "optimiser=1") == "--set 'optimiser=1': 'optimiser' is a section, not a value"


def test_long_values_are_shortened(tmp_path: Path) -> None:
    line = told(write(tmp_path, f"name = 'a'\nsteps = '{'x' * 500}'"))
    assert line.endswith("xxx...")
    assert len(line) < 200 + len(str(tmp_path))


@pytest.mark.parametrize(
    "text", ['name = "a"', FULL, 'name = "quote \\" slash \\\\ tab \\t del \\u007f ü 漢 \\U0001F600"']
)
def test_the_resolved_file_makes_the_same_recipe(tmp_path: Path, text: str) -> None:
    recipe = read_recipe(write(tmp_path, text), Training)
    again = read_recipe(write(tmp_path, resolved_toml(recipe), "resolved.toml"), Training)
    assert again == recipe
    assert recipe_hash(again) == recipe_hash(recipe)
    assert resolved_toml(again) == resolved_toml(recipe)


def test_the_resolved_file_says_every_setting() -> None:
    data = tomllib.loads(resolved_toml(Training(name="a")))
    assert data["optimiser"]["schedule"] == {"kind": "constant"}
    assert data["optimiser"]["learning_rate"] == 1e-4
    assert data["terms"] == []


def test_infinity_survives(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, 'name = "a"\n[loss_weights]\na = inf\nb = -inf'), Training)
    assert recipe.loss_weights == {"a": float("inf"), "b": float("-inf")}
    assert read_recipe(write(tmp_path, resolved_toml(recipe)), Training) == recipe


def test_a_none_that_toml_cannot_say_is_refused() -> None:
    class Guarded(Recipe):
        guard: Term | None = Term(metric="srq")
        other: Term | None = None

    assert "other" not in resolved_toml(Guarded())
    with pytest.raises(UsageError, match="'guard' is None, which a TOML file cannot say"):
        resolved_toml(Guarded(guard=None))


def test_the_hash_depends_on_settings_alone(tmp_path: Path) -> None:
    first = read_recipe(write(tmp_path, 'name = "a"\nsteps = 3\nloss_weights = { a = 1, b = 2.0 }'), Training)
    second = read_recipe(write(tmp_path, 'steps = 3\nname = "a"\nloss_weights = { b = 2, a = 1 }'), Training)
    assert recipe_hash(first) == recipe_hash(second) == recipe_hash(Training.model_validate(first.model_dump()))
    hashes = {recipe_hash(read_recipe(write(tmp_path, FULL), Training, [f"steps={n}"])) for n in range(1, 20)}
    assert len(hashes) == 19
    assert all(len(digits) == 16 for digits in hashes)


def test_unset_takes_inherited_settings_and_sections_out(tmp_path: Path) -> None:
    write(tmp_path, 'name = "a"\nsteps = 3\n[optimiser]\nlearning_rate = 1.0\nbetas = [0.5, 0.6]', "base.toml")
    heir = read_recipe(write(tmp_path, 'base = "base.toml"\nunset = ["steps", "optimiser.betas"]'), Training)
    assert (heir.steps, heir.optimiser.betas, heir.optimiser.learning_rate) == (1000, (0.9, 0.99), 1.0)
    whole = read_recipe(
        write(tmp_path, 'base = "base.toml"\nunset = ["optimiser"]\n[optimiser]\nbetas = [0.1, 0.2]'), Training
    )
    assert (whole.optimiser.learning_rate, whole.optimiser.betas) == (1e-4, (0.1, 0.2))
    assert "'unset' names 'stepz', which its base does not set" in told(
        write(tmp_path, 'base = "base.toml"\nunset = ["stepz"]')
    )
    assert "'unset' must be a list of settings, got \"steps\"" in told(write(tmp_path, 'unset = "steps"'))
