"""Run a command that can't outlive the process that started it: ``python leash.py PARENT_PID COMMAND…``.

Linux sends the signal itself (`prctl(PR_SET_PDEATHSIG)`), so not even a runner killed with SIGKILL leaves an orphan.
A script rather than a `preexec_fn`, which would run Python between fork and exec. Becomes the command: same pid.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the command; ends with 1 if the parent is gone already."""
    parent, *command = arguments
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 # nosec B606 - the runner's own commands


if __name__ == "__main__":
    main(sys.argv[1:])
