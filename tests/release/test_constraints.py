"""constraints.txt, which `make` installs by: all that the extras pull in is pinned, to the versions that are here."""

from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.project import CONSTRAINTS, pins, requirements


def test_every_dependency_of_every_extra_is_pinned_to_a_version_that_all_who_ask_for_it_take() -> None:
    pinned, asked = pins(), list(requirements())
    assert len(asked) > 300
    for requirement in asked:
        pin = pinned.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement} is not pinned: run `make lock`"
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert requirement.specifier.contains(specifier.version, prereleases=True), f"{pin} is not {requirement}"


def test_what_is_installed_has_the_pinned_version() -> None:
    pinned, compared = pins(), 0
    for name in {canonicalize_name(requirement.name) for requirement in requirements()}:
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        assert pinned[name].specifier.contains(installed, prereleases=True), f"{pinned[name]}, but {installed} is here"
        compared += 1
    assert compared > 100


def test_the_file_names_versions_only() -> None:
    """No index, no path, no option: whoever installs chooses where from."""
    for line in CONSTRAINTS:
        requirement = Requirement(line)
        assert requirement.url is None
        assert not requirement.extras
