"""Spoils requests, with an eye to what they mean or byte by byte; all chance comes from the generator that is given."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from random import Random
from typing import Any

from tests.end_to_end.payloads import LENGTH
from tests.hostile.corpus import Case, Corpus, Document

TEXTS = [
    "", " ", "\0", "a", "ä" * 300, "\u2028", "x" * 1100, "1e5", "NaN", "Infinity", "null", "true",
    "2026-02-30T25:00:00Z",
    "2026-11-20T23:59:60Z", "2016-12-31", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "9" * 400,
    "../../etc/passwd",
    "%n%s", "'; drop table leads; --", "${jndi:ldap://x}", "<script>", "lead_id", "features", "FP64", "BYTES", "INT64",
    "BOOL", "FP16", "score", "reasons", "probability",
]  # fmt: skip
NUMBERS: list[Any] = [
    0, -0.0, 1, -1, 2, 3, 0.5, 1e-7, 5e-324, 1e15, 1.7e308, -1.7e308, 3.5e38, 2**31, 2**31 - 1, -(2**31), 2**53 + 1,
    2**63 - 1, -(2**63), 2**64 - 1, 255, 256, 500, 501, 1793611800,
]  # fmt: skip
RAW_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "9" * 400, "0x10", "01", "1.", "+1", "1e", "--1"]
INT64S = [0, 1, 2, 3, -1, 501, 2**31, 2**62, 2**63 - 1, -(2**63)]
BYTES = [b"", b"\0", b"\xff\xff\xff\xff", b"\x7f\xf0", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\xed\xa0\x80",
         b"\xf0\x9f\x92\xa9", b"\r\n", b"null", b"-", b"e", b"1e999", b"\xef\xbb\xbf"]  # fmt: skip
JUNK_HEADERS = [
    ("content-type", "text/plain"), ("content-type", ""), ("content-type", "application/json; charset=utf-16"),
    ("content-encoding", "gzip"), ("content-encoding", "deflate"), ("content-encoding", "identity"),
    ("content-encoding", "zstd"), (LENGTH, "0"), (LENGTH, "-1"), (LENGTH, "abc"), (LENGTH, "9" * 40), (LENGTH, "1e3"),
    (LENGTH, "1_0"), (LENGTH, "+7"), (LENGTH, "２"), ("x-lead-key", "\xff\xfe"), ("x-lead-key", "k" * 4000),
    ("x-lead-variant", "v9"), ("x-request-id", "\x7f" * 3), ("x-request-id", "a b\tc"), ("accept", "text/html"),
    ("x-envoy-expected-rq-timeout-ms", "0"), ("x-envoy-upstream-rq-timeout-ms", "1"), ("traceparent", "00-zz-zz-01"),
    ("accept-encoding", "br"), ("range", "bytes=0-1"), ("expect", "nothing"), ("cookie", "a=b; " * 100),
]  # fmt: skip


def spoilt(random: Random, corpus: Corpus) -> Case:
    """Return a request that is bad in one to four ways, or by luck in none."""
    if random.random() < 0.3:
        message = random.choice(corpus.messages)
        if random.random() < 0.35:
            return Case("grpc", spoilt_bytes(random, message.SerializeToString()))
        return Case("grpc", _spoilt_message(random, message).SerializeToString())
    document = random.choice(corpus.documents)
    how = random.random()
    case = document.case()
    if how < 0.6 and not (document.tail and how < 0.35):
        case = _spoilt_document(random, document)
    elif how < 0.35:
        length = len(case.body) - len(document.tail)
        case = replace(case, body=case.body[:length] + _retouched(random, document.tail))
    elif how < 0.75:
        case = replace(case, body=spoilt_bytes(random, case.body))
    elif how < 0.85:
        case = replace(case, body=_spoilt_number(random, case.body))
    elif how < 0.93 and document.tail:
        length = len(case.body) - len(document.tail)
        case = replace(case, body=case.body[:length] + spoilt_bytes(random, document.tail))
    else:
        name, value = random.choice(JUNK_HEADERS)
        case = replace(case, headers={**case.headers, name: value})
    return case


def spoilt_bytes(random: Random, good: bytes) -> bytes:
    """Return bytes with a few overwritten, cut out, doubled, moved or flipped."""
    raw = bytearray(good)
    for _ in range(random.choice([1, 1, 1, 2, 3, 8])):
        start = random.randrange(len(raw) + 1)
        end = min(start + random.choice([1, 1, 2, 4, 8, 40]), len(raw))
        match random.randrange(7):
            case 0 if start < len(raw):
                raw[start] ^= 1 << random.randrange(8)
            case 1:
                raw[start:end] = random.choice(BYTES)
            case 2:
                del raw[start:end]
            case 3:
                raw[start:start] = raw[start:end]
            case 4:
                raw[start:end] = random.randbytes(end - start)
            case 5 if random.random() < 0.2:
                del raw[start:]
            case _ if start < len(raw):
                other = random.randrange(len(raw))
                raw[start], raw[other] = raw[other], raw[start]
    return bytes(raw)


def _retouched(random: Random, tail: bytes) -> bytes:
    """Return a binary tail of the same length with one to eight of its bytes changed."""
    raw = bytearray(tail)
    start = random.randrange(len(raw))
    for place in range(start, min(start + random.choice([1, 1, 2, 4, 8]), len(raw))):
        raw[place] = random.choice([0, 0, 1, 0x3F, 0x40, 0x7F, 0xFF, raw[place] ^ 1, random.randrange(256)])
    return bytes(raw)


def _spoilt_number(random: Random, body: bytes) -> bytes:
    """Return JSON with a digit replaced by what looks like a number, or is one that no float holds."""
    places = [place for place in range(len(body)) if body[place : place + 1].isdigit()]
    if not places:
        return body
    place = random.choice(places)
    return body[:place] + random.choice(RAW_NUMBERS).encode() + body[place + 1 :]


def _spoilt_document(random: Random, document: Document) -> Case:
    spoilt = copy.deepcopy(document.json)
    gentle = random.random() < 0.6
    for _ in range(1 if gentle else random.choice([1, 1, 1, 2, 3, 4])):
        if gentle:
            _nudge(random, _values(spoilt))
        elif random.random() < 0.3:
            _nudge(random, _slots(spoilt, []))
        else:
            _break(random, spoilt)
    good = document.case()
    text = json.dumps(spoilt, ensure_ascii=random.random() < 0.5).encode()
    headers = {**good.headers, **({LENGTH: str(len(text))} if LENGTH in good.headers else {})}
    return Case(document.protocol, text + document.tail, headers)


def _slots(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found.append((value, key))
        _slots(inner, found)
    return found


def _values(document: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return (container, key) of the leads' values alone."""
    found: list[tuple[Any, Any]] = []
    for tensor in document.get("inputs", []):
        _slots(tensor.get("data"), found)
    return _slots(document.get("instances"), found)


def _nudge(random: Random, slots: list[tuple[Any, Any]]) -> None:
    """Change one value to another one that may well be right."""
    slots = [(container, key) for container, key in slots if not isinstance(container[key], dict | list)]
    if not slots:
        return
    container, key = random.choice(slots)
    value = container[key]
    match value:
        case bool():
            container[key] = random.choice([not value, None, int(value)])
        case int() | float():
            container[key] = random.choice(
                [value + 1, value * 2, -value, value + 0.5, value / 3, None, float(value), 0]
            )
        case str():
            others = [other[0][other[1]] for other in slots if isinstance(other[0][other[1]], str)]
            container[key] = random.choice(
                [random.choice(others), value.upper(), value + " ", None, random.choice(TEXTS)]
            )
        case _:
            container[key] = random.choice([0, 1, 0.25, "", "a", True])


def _break(random: Random, document: Any) -> None:
    """Replace, remove, repeat, swap, wrap or add a part."""
    slots = _slots(document, [])
    if not slots:
        return
    container, key = random.choice(slots)
    match random.randrange(7):
        case 0:
            container[key] = _anything(random)
        case 1:
            del container[key]
        case 2 if isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        case 2:
            container[random.choice(TEXTS)] = container[key]
        case 3:
            other = random.choice(list(container) if isinstance(container, dict) else range(len(container)))
            container[key], container[other] = container[other], container[key]
        case 4:
            container[key] = [container[key]]
        case 5 if isinstance(container, list):
            random.shuffle(container)
        case 5:
            container[key] = {"name": container[key]}
        case _:
            container[key] = random.choice([random.choice(NUMBERS), random.choice(TEXTS)])


def _anything(random: Random) -> Any:
    scalars = [None, True, False, random.choice(NUMBERS), random.choice(TEXTS)]
    return random.choice(
        [*scalars, random.choices(scalars, k=random.randrange(4)), {"name": random.choice(scalars)}, {}]
    )


_DATATYPES = ["", "FP64", "FP32", "FP16", "BF16", "INT8", "INT64", "UINT8", "UINT64", "BOOL", "BYTES", "FP640"]


def _spoilt_message(random: Random, good: Any) -> Any:
    message = copy.deepcopy(good)
    gentle = random.random() < 0.5
    for _ in range(1 if gentle else random.choice([1, 1, 1, 2, 3])):
        if not message.inputs:
            break
        position = random.randrange(len(message.inputs))
        tensor = message.inputs[position]
        raws = message.raw_input_contents
        match random.choice([3, 4, 5]) if gentle else random.randrange(11):
            case 0:
                tensor.name = random.choice([random.choice(TEXTS), random.choice(message.inputs).name])
            case 1:
                tensor.datatype = random.choice(_DATATYPES)
            case 2:
                tensor.shape[:] = random.choices(INT64S, k=random.randrange(4))
            case 3 | 4 | 5 if raws:
                place = position % len(raws)
                raws[place] = (_retouched if gentle and raws[place] else spoilt_bytes)(random, raws[place])
            case 3 | 4 | 5:
                _spoil_contents(random, tensor.contents)
            case 6 if raws and random.random() < 0.5:
                raws.pop()
            case 6:
                raws.append(random.randbytes(random.randrange(9)))
            case 7:
                del message.inputs[position]
            case 8:
                message.inputs.add().CopyFrom(tensor)
            case 9:
                message.outputs.add(name=random.choice(TEXTS))
            case _:
                parameter = message.parameters[random.choice(["as_of", "explain", "reasons", "prediction_time", "x"])]
                kind = random.choice(["bool_param", "int64_param", "string_param"])
                value = {"bool_param": True, "int64_param": random.choice(INT64S), "string_param": random.choice(TEXTS)}
                setattr(parameter, kind, value[kind])
    if random.random() < 0.05:
        message.model_name = random.choice(TEXTS)
    if random.random() < 0.05:
        message.model_version = random.choice(["1", "2", "", "3", "x"])
    return message


def _spoil_contents(random: Random, contents: Any) -> None:
    listed = contents.ListFields()
    if listed and random.random() < 0.8:
        field, values = listed[0]
        place = random.randrange(len(values))
        if field.name == "bytes_contents":
            values[place] = random.choice([spoilt_bytes(random, values[place]), random.choice(TEXTS).encode(), b"\xff"])
        elif field.name == "bool_contents":
            values[place] = not values[place]
        elif field.name in ("fp32_contents", "fp64_contents"):
            options = [values[place] * 2, -values[place], float("nan"), float("inf"), 1e300, 0.0, values[place] + 0.5]
            value = random.choice(options)
            values[place] = value
        elif field.name == "int64_contents":
            values[place] = random.choice([*INT64S, values[place] // 2])
        return
    contents.Clear()
    for name, value in (
        ("fp64_contents", 1.0),
        ("int64_contents", 1),
        ("bytes_contents", b"a"),
        ("bool_contents", True),
    ):
        if random.random() < 0.4:
            getattr(contents, name).extend([value] * random.randrange(4))
