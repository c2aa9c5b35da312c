"""Route templates: Jinja2 in a sandbox, over given values only.

A template comes from config, never from outside text: text of a job or a log is a value, and no value is rendered
as a template. Every template is tried when the config is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

LIMIT = 100_000
"""Characters of a rendered text; the rest is cut."""
SAMPLE_SERVICE = {
    "name": "supply-plan", "title": "Supply plan", "tier": 2, "status": "at risk", "deadline": "06:30 CET",
    "expected": "07:05 CET", "repair_case": "usual repair", "act_by": "03:58 CET",
}  # fmt: skip
SAMPLE: dict[str, Any] = {
    "incident": "INC-0001",
    "kind": "opened",
    "style": "technical",
    "route": "oncall",
    "title": "etl-hosts/db07:extract_orders failed: exit 1",
    "cause": "etl-hosts/db07:extract_orders",
    "reason": "exit 1",
    "owner": "data-platform",
    "runbook": "https://wiki.example.com/extract-orders",
    "business_date": "2026-11-19",
    "failed_since": "2026-11-20 03:12 CET",
    "act_by": "03:58 CET",
    "tier": 2,
    "services": [SAMPLE_SERVICE],
    "log": ["connecting", "no listener"],
    "subject": "Supply plan 06:30 at risk: restart db07:extract_orders by 03:58 (in 46 min) [INC-0001]",
    "body": "Do  headway recover INC-0001\n",
}
"""Every value that a template is given, as it may be."""


PARTS = frozenset({
    "Template", "Output", "TemplateData", "Name", "Const", "Getattr", "Getitem", "Slice", "For", "If", "CondExpr",
    "Compare", "Operand", "And", "Or", "Not", "Filter", "Test", "Concat", "Add", "Sub", "Keyword",
})  # fmt: skip
"""Of Jinja2's language, by the names of its nodes."""
FILTERS = frozenset({
    "upper", "lower", "title", "capitalize", "trim", "truncate", "default", "d", "join", "length", "count", "first",
    "last", "replace", "sort", "reverse", "list", "string", "int", "e", "escape",
})  # fmt: skip


class TemplateFault(Exception):
    """Why a template cannot be used, with its line."""


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import StrictUndefined  # noqa: PLC0415 - only where a route has a template
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    made.globals.clear()
    return made


@lru_cache(maxsize=256)
def _compiled(source: str) -> Any:
    for line, text in _not_allowed(_environment().parse(source), inside_loop=False):
        raise TemplateFault(f"line {line}: {text}")
    return _environment().from_string(source)


def _not_allowed(node: Any, inside_loop: bool) -> Iterator[tuple[int, str]]:
    """(line, text) of parts whose cost could exceed the length of their values."""
    name = type(node).__name__
    if name not in PARTS:
        yield node.lineno, f"{name} is not for templates: its work has no bound, or it reaches beyond the values"
    elif name == "Filter" and node.name not in FILTERS:
        yield node.lineno, f'"{node.name}" is not a filter for templates; known: {", ".join(sorted(FILTERS))}'
    elif name == "For" and (inside_loop or node.recursive):
        yield node.lineno, "a loop within a loop is not for templates"
    for child in node.iter_child_nodes():
        yield from _not_allowed(child, inside_loop or name == "For")


def render(source: str, values: Mapping[str, Any]) -> str:
    """The text. Raises TemplateFault."""
    from jinja2 import TemplateError, TemplateSyntaxError  # noqa: PLC0415

    try:
        return str(_compiled(source).render(**values))[:LIMIT]
    except TemplateFault:
        raise
    except TemplateSyntaxError as error:
        raise TemplateFault(f"line {error.lineno}: {error.message}") from None
    except TemplateError as error:
        raise TemplateFault(f"line {_line(error)}: {error.message or type(error).__name__}") from None
    except Exception as error:  # noqa: BLE001 - whatever a template's own arithmetic may raise
        raise TemplateFault(f"line {_line(error)}: {type(error).__name__}: {error}") from None


def _line(error: BaseException) -> int:
    """The failing line of the template, from Jinja2's rewritten frames."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def fault_of(source: str) -> str:
    """Why a template will not do, as trying it with sample values shows; empty when it will."""
    try:
        render(source, SAMPLE)
    except TemplateFault as fault:
        known = ", ".join(sorted(SAMPLE))
        return f"{fault}. A template is given: {known}"
    return ""
