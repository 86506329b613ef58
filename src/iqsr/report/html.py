"""Pages of one file: inline style and script whose hashes are in the page's policy, so that nothing else can run."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_POLICY = (
    "default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
    "base-uri 'none'; form-action 'none'"
)


def render(template: str, *, styles: Sequence[str], scripts: Sequence[str], rules: str = "", **values: Any) -> str:
    """A page that loads nothing and runs nothing but its own script.

    Args:
        template: Its name; it extends `base.html.j2`.
        styles: Names of the style sheets, in their order.
        scripts: Names of the scripts, in their order; they share one scope.
        rules: CSS of this page alone.
        values: What the template shows.

    Returns:
        The HTML.
    """
    environment = _environment()
    style = "\n".join([*(_text(environment, name) for name in styles), rules])
    script = '"use strict";\n(() => {\n' + "\n".join(_text(environment, name) for name in scripts) + "\n})();\n"
    policy = _POLICY.format(style=_hash(style), script=_hash(script))
    return environment.get_template(template).render(style=style, script=script, policy=policy, **values)


def data_block(value: object) -> str:
    """JSON that can stand inside a `script` element: no text in it can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _environment() -> Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("iqsr.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _text(environment: Environment, name: str) -> str:
    """A style sheet or script as it stands."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _hash(text: str) -> str:
    """Of the content of a `style` or `script` element, for the policy."""
    return b64encode(sha256(text.encode()).digest()).decode()
