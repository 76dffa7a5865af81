"""The reference of `contract.json` in Markdown, from the very schema that is published."""

from __future__ import annotations

import json
from typing import Any

from lead_scoring.contract.files import json_schema

__all__ = ["field_tables", "schema_text"]

_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "≥ {} characters",
    "maxLength": "≤ {} characters",
    "minItems": "≥ {} of them",
    "maxItems": "≤ {} of them",
    "pattern": "`{}`",
}
_WORDS = {"integer": "whole number", "string": "text", "array": "list", "boolean": "true or false"}


def schema_text() -> str:
    """Return the published JSON Schema as it stands in `docs/contract.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def field_tables() -> str:
    """Return a heading and a table of fields for every object of a contract, in the order that they come up."""
    schema = json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    tables: list[str] = []
    ahead = [schema["$ref"].rsplit("/", 1)[1]]
    seen = set(ahead)
    while ahead:
        name = ahead.pop(0)
        tables.append(_table(name, definitions[name]))
        fresh = [found for found in dict.fromkeys(_references(definitions[name])) if found not in seen]
        seen.update(fresh)
        ahead += fresh
    return "\n".join(tables)


def _table(name: str, definition: dict[str, Any]) -> str:
    required = set(definition.get("required", ()))
    lines = [f"### {name}", definition["description"], ""]
    lines += ["| field | form | if left out | meaning and consequence |", "| --- | --- | --- | --- |"]
    for field, form in definition["properties"].items():
        absent = "refused" if field in required else f"`{json.dumps(form.get('default'), ensure_ascii=False)}`"
        lines.append(
            f"| `{field}` | {_form(form)} | {absent} | {form.get('description', 'Says which of the forms it is.')} |"
        )
    return "\n".join(lines) + "\n"


def _form(form: dict[str, Any]) -> str:
    if "$ref" in form:
        name = form["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in form:
        return " or ".join(dict.fromkeys(map(_form, form["anyOf"])))
    if "enum" in form:
        return ", ".join(f"`{json.dumps(value)}`" for value in form["enum"])
    if "const" in form:
        return f"`{json.dumps(form['const'])}`"
    words = _WORDS.get(form["type"], form["type"])
    if "items" in form:
        words += f" of {_form(form['items'])}"
    if isinstance(form.get("additionalProperties"), dict) and form["additionalProperties"]:
        words += f" of {_form(form['additionalProperties'])}"
    limits = [text.format(form[key]) for key, text in _LIMITS.items() if key in form]
    return ", ".join([words, *limits]).replace("|", "\\|")


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"].rsplit("/", 1)[1]] if isinstance(value.get("$ref"), str) else []
        return here + [name for inner in value.values() for name in _references(inner)]
    return [name for inner in value for name in _references(inner)] if isinstance(value, list) else []
