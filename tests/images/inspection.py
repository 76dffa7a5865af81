"""Look at an image from inside, with nothing but its own Python: prints what there is as JSON.

Runs in a container of the image, as its user, with a read-only root and `/tmp` and `/run/lead` mounted; the words that
follow are host names that no file may have.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LEAD = Path("/opt/lead")
WRITABLE = ("/tmp", "/run/lead")  # noqa: S108 - mounted for this
SETTINGS = ("/etc/pip.conf", "/opt/lead/pip.conf", "/opt/lead/uv.toml", "/etc/uv/uv.toml")
LEFTOVERS = {"tests", "__pycache__.tests", ".git", ".cache", "pip", "hatchling", "cyclonedx_py", "uv"}
SOURCES = (".c", ".h", ".cpp", ".hpp", ".pyx", ".pxd", ".a", ".o", ".whl")
COMPILERS = ("cc", "gcc", "g++", "clang", "make", "ld", "as", "cmake", "cargo", "rustc")


def main(hosts: list[str]) -> dict[str, Any]:
    """Return the findings."""
    files = list(walk(Path("/"), {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}))
    ours = [path for path in files if path.is_relative_to(LEAD)]
    return {
        "user": os.getuid(),
        "base_bytes": size(path for path in files if not path.is_relative_to(LEAD)),
        "own_bytes": size(ours),
        "writable": [
            folder for folder in ("/", "/opt/lead", "/etc", "/var", "/usr", *WRITABLE) if writes(Path(folder))
        ],
        "leftovers": [str(p) for p in ours if p.suffix in SOURCES or LEFTOVERS & set(p.relative_to(LEAD).parts)],
        "temporary": [str(p) for p in files if p.parts[1] in ("build", "tmp", "root") and not p.is_dir()],
        "compilers": [name for name in COMPILERS if shutil.which(name)],
        "uncompiled": [str(p) for p in ours if p.suffix == ".py" and p.parent.name != "bin" and not compiled(p)],
        "indexes": [str(path) for path in map(Path, SETTINGS) if path.exists() and "://" in path.read_text()],
        "registries": sorted(registries(files, hosts)),
        "environment": sorted(os.environ),
        "python": platform.python_version(),
        "distributions": [[found.name, found.version] for found in importlib.metadata.distributions(path=site())],
        "debian": list(debian()),
        "sbom": [json.loads(path.read_text()) for path in sorted((LEAD / "share" / "sbom").iterdir())],
    }


def walk(folder: Path, mounts: set[str]) -> Iterator[Path]:
    """Yield every file and folder of the image itself, of what this user may see."""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if str(path) in mounts or path.parts[1] in ("proc", "sys", "dev"):
                continue
            yield path
            if entry.is_dir(follow_symlinks=False) and os.access(path, os.R_OK | os.X_OK):
                yield from walk(path, mounts)


def size(paths: Iterator[Path] | list[Path]) -> int:
    """Return the bytes that regular files take, those with several names once."""
    found = {(s.st_dev, s.st_ino): s.st_size for s in map(os.lstat, paths) if stat.S_ISREG(s.st_mode)}
    return sum(found.values())


def writes(folder: Path) -> bool:
    """Return whether a file can be made there."""
    try:
        (folder / "probe").write_bytes(b"")
    except OSError:
        return False
    (folder / "probe").unlink()
    return True


def compiled(module: Path) -> bool:
    """Return whether there is bytecode that is used as it stands: no time or hash is compared (PEP 552, flags 0b01)."""
    try:
        path = module.parent / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc"
        return path.read_bytes()[4:8] == b"\x01\0\0\0"
    except OSError:
        return False


def registries(files: list[Path], hosts: list[str]) -> Iterator[str]:
    """Yield the notes of where a package came from, and the files that name one of the hosts."""
    words = [host.encode() for host in hosts]
    for path in files:
        if path.name in ("direct_url.json", ".netrc"):
            yield str(path)
        if words and path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
            body = path.read_bytes()
            yield from (str(path) for word in words if word in body)


def site() -> list[str]:
    """Return where the image's packages are."""
    return [path for path in sys.path if path.startswith(str(LEAD)) and path.endswith("site-packages")]


def debian() -> Iterator[str]:
    """Yield the base's installed packages as `name=version`."""
    for paragraph in Path("/var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            yield f"{fields['Package']}={fields['Version']}"


if __name__ == "__main__":
    json.dump(main(sys.argv[1:]), sys.stdout)
