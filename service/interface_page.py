# SPDX-License-Identifier: Apache-2.0
"""``/docs``: a node's OpenAPI as a page to read. It runs no script and loads nothing, so it works offline, too."""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any, Final

from starlette.responses import HTMLResponse

Schema = Mapping[str, Any]

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid; }
h3 { margin-top: 2rem; font-weight: normal; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8888; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 1rem 0.2rem 0; border-bottom: 1px solid #8884; }
"""
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"
#: What a schema says of its values beside their type, and how that is told.
_BOUNDS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters or fewer",
    "minItems": "{} or more",
    "maxItems": "{} or fewer",
    "pattern": "as {}",
    "default": "unless given {}",
}


class InterfacePage(HTMLResponse):
    """The page for an OpenAPI document."""

    def __init__(self, document: Schema) -> None:
        super().__init__("\n".join(_page(document)), headers={"Content-Security-Policy": _POLICY})


def _page(document: Schema) -> Iterator[str]:
    title = escape(document["info"]["title"])
    yield f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>'
    yield f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n<h1>{title}</h1>'
    yield f"<p>{escape(document['info']['description'])} Version {escape(document['info']['version'])}."
    yield 'The same for programs: <a href="/openapi.json">openapi.json</a>.</p>'
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _operation(method.upper(), path, operation)
    yield "<h2>Schemas</h2>"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from _component(name, schema)
    yield "</html>"


def _operation(method: str, path: str, operation: Schema) -> Iterator[str]:
    yield f"<h2><code>{method} {escape(path)}</code></h2>\n<p>{escape(operation['summary'])}</p>"
    if "description" in operation:
        yield f"<p>{_prose(operation['description'])}</p>"
    if operation.get("parameters"):
        rows = ((p["name"], p["in"], _value(p), p.get("description", "")) for p in operation["parameters"])
        yield from _table(("parameter", "in", "value", "meaning"), rows)
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h3>Body: <code>{escape(media_type)}</code> {_shown(content.get('schema', {}))}</h3>"
        for example in content.get("examples", {}).values():
            yield _example(example["value"])
    answers = operation["responses"]
    rows = ((status, "", _bodies(answer), answer["description"]) for status, answer in answers.items())
    yield from _table(("status", "", "body", "meaning"), rows)
    for answer in answers.values():
        for content in answer.get("content", {}).values():
            if "example" in content:
                yield _example(content["example"])


def _bodies(answer: Schema) -> str:
    """What a response may hold, as HTML."""
    contents: Schema = answer.get("content", {})
    kinds = ((escape(kind), _shown(content.get("schema", {}))) for kind, content in contents.items())
    return "<br>".join(f"<code>{kind}</code> {schema}" for kind, schema in kinds)


def _component(name: str, schema: Schema) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}"><code>{escape(name)}</code> {_prose(schema.get("description", ""))}</h3>'
    required = schema.get("required", ())
    entries = schema.get("properties", {}).items()
    rows = (
        (entry, "required" if entry in required else "", _value({"schema": value}), value.get("description", ""))
        for entry, value in entries
    )
    if entries:
        yield from _table(("member", "", "value", "meaning"), rows)
    else:
        yield f"<p>{_shown(schema)}</p>"


def _table(heads: Iterable[str], rows: Iterable[tuple[str, str, str, str]]) -> Iterator[str]:
    """Rows of a name, a word, a value that is HTML already, and a sentence."""
    yield f"<table>\n<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>"
    for name, word, value, meaning in rows:
        yield f"<tr><td><code>{escape(name)}</code></td><td>{word}</td><td>{value}</td><td>{_prose(meaning)}</td></tr>"
    yield "</table>"


def _value(described: Schema) -> str:
    """The values that a parameter or member takes, with its example."""
    example = described.get("example")
    shown = _shown(described["schema"])
    return shown if example is None else f"{shown}; for example <code>{escape(str(example))}</code>"


def _shown(schema: Schema) -> str:
    """A schema in a few words, as HTML."""
    bounds = [text.format(f"<code>{escape(json.dumps(schema[key]))}</code>") for key, text in _BOUNDS.items()
              if schema.get(key) is not None]  # fmt: skip
    return ", ".join([_kind(schema), *bounds])


def _kind(schema: Schema) -> str:
    """The type of a schema's values."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_shown(each) for each in schema[key])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"<code>{escape(str(each))}</code>" for each in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_shown(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_shown(schema['additionalProperties'])}"
    return escape(str(schema.get("format") or schema.get("type") or "any"))


def _example(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"


def _prose(text: str) -> str:
    """Docstrings, whose double and single backquotes are code, as HTML."""
    parts = escape(text).replace("``", "`").split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
