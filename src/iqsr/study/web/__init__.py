"""The pages of a study: HTML templates, and the style sheets and scripts that a server gives out under `/static/`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(name: str, **values: Any) -> str:
    """The HTML of a page.

    Args:
        name: Of the template: `rate` (a rater's page), `landing` (the open link) or `message` (one sentence,
            such as that a link is unknown).
        values: What the template shows. All need `title`, that of the study; `message` needs `message`; `landing`
            needs `text`, `pid` and `free` (whether a seat is free).

    Returns:
        The HTML. Values are escaped.
    """
    return _environment().get_template(f"{name}.html.j2").render(**values)


@cache
def _environment() -> Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("iqsr.study.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
