"""List what an image holds as CycloneDX 1.6 JSON: the Python packages of its venv, Python itself, the base's packages.

usage: sbom.py NAME VENV    (inside the image, with cyclonedx-bom installed)
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

DPKG = Path("/var/lib/dpkg/status")
OS_RELEASE = Path("/etc/os-release")


def main(name: str, venv: str) -> str:
    """Return the document.

    Raises:
        SystemExit: the base is none of Debian's kind, so that its packages can't be listed, or the result breaks the
            schema.
    """
    if not DPKG.exists():
        raise SystemExit(f"sbom: no {DPKG}: expected a base image made of Debian packages")
    system = dict(line.split("=", 1) for line in OS_RELEASE.read_text().splitlines() if "=" in line)
    document = python_packages(venv)
    document["metadata"]["component"] = {"type": "container", "bom-ref": name, "name": name}
    document["components"] += [interpreter(venv), *debian_packages(DPKG.read_text(), system["ID"].strip('"'))]
    text = json.dumps(document, indent=1, sort_keys=True)
    if (error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise SystemExit(f"sbom: {error}")
    return text


def python_packages(venv: str) -> dict[str, Any]:
    """Return what the venv has installed, as cyclonedx-py lists it."""
    words = ["environment", "--output-reproducible", "--spec-version", "1.6", "--output-format", "JSON", venv]
    done = subprocess.run([sys.executable, "-m", "cyclonedx_py", *words], check=True, capture_output=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def interpreter(venv: str) -> dict[str, Any]:
    """Return the Python that runs the venv: where the base compiled it itself, no package of it names it."""
    words = [f"{venv}/bin/python", "-c", "import platform; print(platform.python_version())"]
    version = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603
    return component(PackageURL("generic", None, "python", version))


def debian_packages(status: str, namespace: str) -> Iterator[dict[str, Any]]:
    """Yield the installed packages of a dpkg status file."""
    for paragraph in status.split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if str(fields["Status"]).endswith(" installed"):
            yield component(
                PackageURL("deb", namespace, fields["Package"], fields["Version"], {"arch": fields["Architecture"]})
            )


def component(url: PackageURL) -> dict[str, Any]:
    """Return a component that its package URL tells all about."""
    text = url.to_string()
    return {"type": "library", "bom-ref": text, "name": url.name, "version": url.version, "purl": text}


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:]) + "\n")
