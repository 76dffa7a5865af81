"""What goes into the images: the versions that were tested, by hash, from no registry, nothing that nobody imports."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

from tests.support.stack import ROOT

LIBRARY = Path(sysconfig.get_paths()["purelib"])
PREDICTOR = next((ROOT / "predictors" / ".venv" / "lib").glob("python3.*")) / "site-packages"
PARTS = {
    "transformers": (ROOT / "requirements.txt", LIBRARY),
    "predictors": (ROOT / "predictors" / "requirements.txt", PREDICTOR),
    "controllers": (ROOT / "requirements.txt", LIBRARY),
}
NOT_RUN = (
    "grpc/_runtime_protos.py",  # compiles .proto files that a program names at run time
    "kubernetes/aio/",  # left out by images/install
    "mlserver/batch_processing.py",  # `mlserver infer`, a client; with `mlserver/cli/`, which alone imports it
    "oauthlib/",  # RSA signatures, in functions that the Kubernetes client doesn't call
    "prometheus_client/aiohttp/",  # an exporter for aiohttp's servers
    "requests/help.py",  # prints versions for bug reports
    "tests/",  # left out by images/install
    "urllib3/contrib/pyopenssl.py",  # for Pythons without ssl
)
"""Modules that do import something left out, and why none of ours comes near them."""


def locked(path: Path) -> dict[str, frozenset[str]]:
    """Return hashes by `name==version; marker`."""
    joined = path.read_text().replace("\\\n", " ")
    lines = [line.split("--hash=") for line in joined.splitlines() if line and not line.startswith("#")]
    return {" ".join(line[0].split()): frozenset(part.strip() for part in line[1:]) for line in lines}


def names(path: Path) -> set[str]:
    """Return the names that a requirements file begins its lines with."""
    return {found.lower() for found in re.findall(r"^([A-Za-z0-9._-]+)", path.read_text(), re.MULTILINE)}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imports(module: bytes) -> Iterator[str]:
    """Yield the top-level packages that a module imports anywhere but where it expects an ImportError."""
    pending: list[ast.AST] = [ast.parse(module)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Try) and any("ImportError" in ast.dump(handler) for handler in node.handlers):
            pending += [*node.orelse, *node.finalbody]
            continue
        pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def provided(distribution: Distribution) -> set[str]:
    """Return the top-level packages of a distribution."""
    files = distribution.files or []
    return {file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py" and ".." not in file.parts}


@pytest.mark.parametrize("part", PARTS)
def test_an_image_has_the_versions_that_are_tested(part: str) -> None:
    image, development = locked(ROOT / part / "image-requirements.txt"), locked(PARTS[part][0])
    assert image
    bare = {requirement.partition(" ;")[0]: hashes for requirement, hashes in development.items()}
    for requirement, hashes in image.items():
        assert hashes
        assert hashes <= bare[requirement.partition(" ;")[0]], requirement


@pytest.mark.parametrize(
    "lock", [*(f"{part}/image-requirements.txt" for part in PARTS), "images/build-requirements.txt"]
)
def test_a_lock_names_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^--?(index|extra-index|find-links|trusted|i |f )", text, re.MULTILINE)


@pytest.mark.parametrize("part", PARTS)
def test_what_is_left_out_is_imported_by_nothing_that_is_kept(part: str) -> None:
    folder = PARTS[part][1]
    found = {canonical(distribution.name): distribution for distribution in distributions(path=[str(folder)])}
    left_out = names(ROOT / part / "image-left-out.txt") - {"xgboost"}  # xgboost-cpu provides it
    missing = set().union(*(provided(found[name]) for name in left_out))
    kept = [found[name] for name in names(ROOT / part / "image-requirements.txt") if name in found]
    assert len(kept) > 15
    word = re.compile("|".join(missing).encode())
    importers = {}
    for file in (file for distribution in kept for file in distribution.files or []):
        if file.suffix == ".py" and not any(part in str(file) for part in NOT_RUN):
            module = Path(str(file.locate())).read_bytes()
            if word.search(module) and (hit := missing & set(imports(module))):
                importers[str(file)] = hit
    assert importers == {}
