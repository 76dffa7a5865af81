"""Say in one line why this machine can't run the stack, before anything is downloaded."""

# ruff: noqa: UP031 - must also run on the Pythons that it turns away

import platform
import sys


def complaint():
    """Return what is wrong, or an empty text."""
    version = "%d.%d" % sys.version_info[:2]
    if version not in ("3.11", "3.12"):
        return "Python 3.11 or 3.12 is needed, %s is %s; choose another with PYTHON=" % (sys.executable, version)
    system, machine = platform.system(), platform.machine()
    if system != "Linux" or machine not in ("x86_64", "aarch64"):
        return "Linux on x86_64 or aarch64 is needed (Envoy and XGBoost come as wheels for it), not %s on %s" % (
            system,
            machine,
        )
    libc, release = platform.libc_ver()
    if libc != "glibc" or tuple(map(int, release.split(".")[:2])) < (2, 31):
        return "glibc 2.31 or newer is needed, not %s" % (" ".join((libc, release)).strip() or "another C library")
    return ""


if __name__ == "__main__":
    sys.exit(complaint() or 0)
