"""Request bodies as JSON objects, strictly: what can be read in two ways is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson

from lead_scoring.core.columns import kind_of
from lead_scoring.core.findings import Report
from lead_scoring.errors import InvalidLeads, Problem
from lead_transformer import large_json

__all__ = ["new_report", "parse", "raise_if_any"]


def parse(body: bytes) -> dict[str, Any]:
    """Parse a JSON object in UTF-8, nested at most 1,024 deep; a key that appears twice in one object is refused.

    In a large V2 body, the data of a tensor of nothing but numbers comes as an array.

    Raises:
        InvalidLeads: with one problem at ``$``; it says where in the body, and quotes nothing of it.
    """
    if len(body) >= large_json.LARGE_BYTES and b'"inputs"' in body[:1024]:
        large = large_json.parse(body)
        if large is not None:
            return large
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # `from None`: the parser's error carries the whole document along.
        got = f"something that is not JSON at character {error.pos} of {len(body)} bytes" if body else "an empty body"
        raise _refused("malformed_json", got, "send JSON: no NaN, no comments, valid UTF-8") from None
    if type(document) is not dict:
        raise _refused("wrong_type", kind_of(document), 'send {"inputs": …} to V2 and {"instances": …} to V1')
    _refuse_duplicates(body, document)
    return document


def new_report() -> Report:
    """Return an empty report for problems with a request's envelope, which know no features."""
    return Report(())


def raise_if_any(report: Report) -> None:
    """Raise the envelope's problems.

    Raises:
        InvalidLeads: there is at least one.
    """
    if report.structural:
        raise InvalidLeads(report.structural, report.total)


def _refused(reason: str, got: str, remedy: str) -> InvalidLeads:
    return InvalidLeads([Problem("$", reason, "a JSON object", got, remedy)])


def _refuse_duplicates(body: bytes, document: dict[str, Any]) -> None:
    """Refuse a key that appears twice, which parsers resolve differently, at next to no cost for a sound body.

    Every key is followed by a colon, and every other colon stands in a text. So a body with as many colons as the
    document has keys, or keys and colons in its values (escapes apart), has no key twice. Where that doesn't add up,
    all keys are compared.
    """
    keys, colons = _keys(document), body.count(b":")
    if colons == keys or (b"\\" not in body and colons == keys + _colons(document)):
        return
    try:
        json.loads(body, object_pairs_hook=_compare_keys)
    except RecursionError:
        raise _refused("malformed_json", "lists or objects nested too deeply", "send a flat request") from None


def _keys(document: dict[str, Any]) -> int:
    """Count the keys in the objects of which V1 and V2 requests are made; fewer than there are if there are others."""
    total = len(document)
    for value in document.values():
        if type(value) is dict:
            total += len(value)
        elif type(value) is list:
            for element in value:
                if type(element) is dict:
                    total += len(element)
                    parameters = element.get("parameters")
                    if type(parameters) is dict:
                        total += len(parameters)
    return total


def _colons(document: dict[str, Any]) -> int:
    """Count the colons in the texts of which V1 and V2 requests are made; fewer than there are if there are others."""
    total = 0
    for value in document.values():
        if type(value) is str:
            total += value.count(":")
        elif type(value) is dict:
            total += _colons_of(value.values())
        elif type(value) is list:
            for element in value:
                if type(element) is dict:
                    if "datatype" not in element:
                        total += _colons_of(element.values())
                    elif element["datatype"] == "BYTES" and type(element.get("data")) is list:
                        total += _colons_of(element["data"])
    return total


def _colons_of(values: Iterable[Any]) -> int:
    return "".join([value for value in values if type(value) is str]).count(":")


def _compare_keys(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _refused("duplicate_key", "an object with the same key twice", "send every key once")
