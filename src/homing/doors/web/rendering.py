"""Rendering of pages: templates, the style sheet, and the headers that every page has."""

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from homing.doors.web import plain_words
from homing.loop import ids
from homing.loop.masking import masked
from homing.mail.text import clean, clean_lines, quoted, quoted_lines

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_STATIC = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


def _file(name: str) -> bytes:
    return resources.files("homing.doors.web").joinpath("static", name).read_bytes()


_FILES = {name: _file(name) for name in _STATIC}
_VERSION = hashlib.sha256(b"".join(_FILES.values())).hexdigest()[:12]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("homing.doors.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "when": plain_words.when,
        "line": lambda text, limit=300: clean(str(text), limit),
        "lines": lambda text: clean_lines(str(text), width=400, lines=12),
        "quoted": lambda text, limit=300: quoted(str(text), limit),
        "quoted_lines": lambda text: quoted_lines(str(text), width=400, lines=12),
        "masked": masked,
        "shown": lambda identifier, kind: ids.show(kind, identifier),
    }
    environment.globals |= {"told": plain_words, "version": _VERSION}
    return environment


_templates = _environment()


def page(name: str, status: int = 200, **context: Any) -> Response:
    """A page. Everything in `context` may come from strangers: it is escaped by the template."""
    # A form on a page with "no-referrer" is sent with the origin "null"; where the origin is checked, it must be told.
    policy = "same-origin" if context["visitor"] or name == "sign_in.html" else "no-referrer"
    return HTMLResponse(_templates.get_template(name).render(context), status, {**_HEADERS, "Referrer-Policy": policy})


def message_page(status: int, title: str, text: str, *, visitor: Any = None) -> Response:
    """A page that says one thing."""
    return page("notice.html", status, title=title, text=text, visitor=visitor)


def static_file(name: str) -> Response | None:
    """A file of ours; its address changes whenever it does."""
    if name not in _FILES:
        return None
    headers: Mapping[str, str] = {**_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_FILES[name], headers=dict(headers), media_type=_STATIC[name])
