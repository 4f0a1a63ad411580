"""Renders the reports' templates to HTML and SVG, and escapes all texts."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from lake_ci.model.results import count
from lake_ci.report.terminal import seconds
from lake_ci.report.text import anchor, link, shorten, visible

if TYPE_CHECKING:
    from jinja2 import BytecodeCache, Environment
    from jinja2.bccache import Bucket
    from markupsafe import Markup


def render(template: str, **values: object) -> Markup:
    """Render a file in `templates/`; other templates can insert the result unchanged.

    Jinja2 is imported in the first call, because most runs of nox write no report.
    """
    from markupsafe import escape

    # Markup marks the output as escaped, so that no template escapes it again.
    made = _environment().get_template(template).make_module(values)
    return escape(made).strip()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        auto_reload=False,
        bytecode_cache=_bytecode_cache(),
        finalize=_shown,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        anchor=anchor,
        count=count,
        decimal="{:.1f}".format,
        seconds=seconds,
        shorten=shorten,
    )
    environment.globals.update(link=link)
    return environment


def _bytecode_cache() -> BytecodeCache | None:
    """Return a cache of compiled templates in the folder of this module's byte code.

    Compiling a template takes longer than rendering it.
    """
    if sys.dont_write_bytecode:
        return None
    from jinja2 import FileSystemBytecodeCache

    # Include this file in the cache key, because compiled templates also depend on the
    # settings in this file.
    compiler = f"{version('jinja2')} {Path(__file__).read_text(encoding='utf-8')}"
    folder = Path(cache_from_source(__file__)).parent

    class Cache(FileSystemBytecodeCache):
        def get_source_checksum(self, source: str) -> str:
            return super().get_source_checksum(f"{compiler}{source}")

        def dump_bytecode(self, bucket: Bucket) -> None:
            with suppress(OSError):  # the checkout is read-only
                folder.mkdir(parents=True, exist_ok=True)
                super().dump_bytecode(bucket)

    return Cache(str(folder), f"%s.{sys.implementation.cache_tag}.jinja")


def _shown(value: object) -> object:
    """Return a value as visible text, or the output of a template unchanged."""
    return value if hasattr(value, "__html__") else visible(str(value))
