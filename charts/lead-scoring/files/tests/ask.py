"""The promises of a release, asked of it from outside: what `helm test` runs, with Python's own library alone.

python ask.py ready|golden|bad-input|no-token --model NAME --service URL [--gateway URL --host NAME …]
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CONTRACT = Path("/mnt/models/contract.json")
TOKEN = "LEAD_TOKEN"  # noqa: S105 - the name of a variable


class Broken(Exception):
    """A promise that is not kept, in a sentence."""


class Door:
    """One way in: a variant's Service, or the gateway under the service's host name."""

    def __init__(self, url: str, *, host: str | None = None, headers: dict[str, str] | None = None) -> None:
        """Ask `url`; `host` and `headers` go with every request."""
        self._url = url
        self._headers = {**({"host": host} if host else {}), **(headers or {})}
        # The certificate is for the name that clients use, and a pod comes in by another: checking it is their part.
        self._tls = ssl._create_unverified_context() if url.startswith("https:") else None  # noqa: S323

    def __str__(self) -> str:
        """Return where the requests go."""
        return self._url

    def ask(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Return status and JSON answer (None if it is none); `body` is sent as JSON, or as it is if it is bytes.

        Raises:
            OSError: nobody answers within 5 s.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the chart's schema allows http and https
            self._url + path,
            data,
            {**self._headers, **({"content-type": "application/json"} if data is not None else {}), **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=5, context=self._tls) as answer:  # noqa: S310
                return answer.status, _json(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _json(error.read())


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def ready(door: Door, model: str) -> None:
    """Ask whether the variant is ready, which says that its golden leads score right."""
    for path in ("/v2/health/live", "/v2/health/ready", f"/v2/models/{model}/ready"):
        status, _ = door.ask(path)
        if status != 200:
            raise Broken(f"{door}{path} answers {status}, not 200")


def golden(door: Door, model: str, contract: dict[str, Any], *, others: bool) -> None:
    """Ask for the golden leads of the version and hold the answers against what it promises.

    Answers of other versions are only asked to be answers, and only where there may be `others`: behind a gateway.
    """
    said, version = contract["golden"], str(contract["model"]["version"])
    compared = 0
    for lead in said["leads"]:
        body = {"instances": [lead["lead"]], "parameters": {"as_of": said["as_of"]}}
        status, answer = door.ask(f"/v1/models/{model}:predict", body, headers={"x-lead-key": lead["lead"]["lead_id"]})
        if status != 200:
            raise Broken(f"{door} answers {status} to the golden lead for {lead['covers']!r}: {answer}")
        got = answer["predictions"][0]
        if str(got["model_version"]) != version:
            continue
        compared += 1
        if got["score"] != lead["score"] or abs(got["probability"] - lead["probability"]) > said["tolerance"]:
            raise Broken(
                f"{door} scores the golden lead for {lead['covers']!r} {got['score']} ({got['probability']}),"
                f" the version says {lead['score']} ({lead['probability']})"
            )
    sys.stdout.write(f"{door}: version {version} scored {compared} of {len(said['leads'])} golden leads, all right\n")
    if not compared and not others:
        raise Broken(f"{door} runs another version than {version}")


def bad_input(door: Door, model: str) -> None:
    """Send what is no lead, wrong in many ways: all of it has to be refused with 4xx and a reason."""
    predict = f"/v1/models/{model}:predict"
    cases: list[tuple[str, str, Any]] = [
        ("no JSON", predict, b"{"),
        ("no leads", predict, {"instances": []}),
        ("a field that nobody knows", predict, {"instances": [{"lead_id": "test", "no_such_feature": 1}]}),
        ("a lead that is a number", predict, {"instances": [1]}),
        ("501 leads", predict, {"instances": [{"lead_id": str(number)} for number in range(501)]}),
        ("no tensors", f"/v2/models/{model}/infer", {"inputs": []}),
        ("another model", f"/v2/models/{model}-other/infer", {"inputs": []}),
    ]
    for what, path, body in cases:
        status, answer = door.ask(path, body)
        if not 400 <= status < 500:
            raise Broken(f"{door}{path} answers {status} to {what}, not 4xx")
        if not isinstance(answer, dict) or not answer.get("error"):
            raise Broken(f"{door}{path} gives no reason for refusing {what}")


def no_token(door: Door, model: str) -> None:
    """Ask without a token, and with ones that nobody issued: nothing may be answered."""
    paths = [f"/v2/models/{model}", "/v2/health/ready", "/v2", "/metrics", "/v2/repository/index"]
    made_up: list[dict[str, str]] = [
        {},
        {"authorization": "Bearer made.up.token"},
        {"authorization": "Basic bGVhZDpsZWFk"},
        {"x-api-key": "made-up"},
    ]
    for headers in made_up:
        for path in paths:
            status, _ = door.ask(path, headers=headers)
            if status not in (401, 403, 404):
                raise Broken(
                    f"{door}{path} answers {status} to {list(headers) or 'no credentials'}, not 401, 403 or 404"
                )
        status, _ = door.ask(f"/v1/models/{model}:predict", {"instances": [{"lead_id": "test"}]}, headers=headers)
        if status not in (401, 403):
            raise Broken(f"{door} answers {status} to a lead with {_named(headers)}, not 401 or 403")


def _named(headers: dict[str, str]) -> str:
    return f"a made-up {', '.join(headers)}" if headers else "no credentials"


def keeps(options: argparse.Namespace) -> None:
    """Ask what the promise says.

    Raises:
        Broken: it is not kept.
        OSError: nobody answers.
    """
    service = Door(options.service)
    token = os.environ.get(TOKEN, "")
    credentials = {}
    if token:
        credentials = {options.header: f"Bearer {token}" if options.header == "authorization" else token}
    gateway = Door(options.gateway, host=options.host, headers=credentials) if options.gateway else None
    if options.promise == "ready":
        ready(service, options.model)
    elif options.promise == "golden":
        contract = json.loads(CONTRACT.read_bytes())
        golden(service, options.model, contract, others=False)
        if gateway is not None and (credentials or options.open):
            golden(gateway, options.model, contract, others=True)
    elif options.promise == "bad-input":
        bad_input(service, options.model)
    else:
        no_token(Door(options.gateway, host=options.host), options.model)


def main() -> int:
    """Ask until the promise is kept or the time is over; return 1 if it isn't kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("promise", choices=["ready", "golden", "bad-input", "no-token"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--service", required=True, help="URL of a variant's Service")
    parser.add_argument("--gateway", default="", help="URL of the gateway")
    parser.add_argument("--host", help="host name of the service at the gateway")
    parser.add_argument("--header", default="authorization", help="header that carries the token")
    parser.add_argument("--open", action="store_true", help="the gateway asks for no token")
    parser.add_argument("--within-s", type=float, default=60)
    options = parser.parse_args()
    last = time.monotonic() + options.within_s
    while True:
        try:
            keeps(options)
        except (Broken, OSError) as reason:
            if time.monotonic() > last:
                sys.stderr.write(f"{reason}\n")
                return 1
            time.sleep(1)
        else:
            sys.stdout.write(f"{options.promise}: kept\n")
            return 0


if __name__ == "__main__":
    sys.exit(main())
