"""Run the transformer and count the bytecode instructions of ours in every call: the same however busy the machine is.

Run: ``python -m bench.bytecode COUNTS --model-dir …``, with the transformer's own arguments; each scoring request adds
a line with its number to the file COUNTS.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

_OURS = ("lead_transformer", "lead_scoring")


class _Count:
    def __init__(self) -> None:
        self.instructions = 0

    def enter(self, frame: FrameType, event: str, _argument: Any) -> Any:  # noqa: ARG002 - the tracer's signature
        if not any(package in frame.f_code.co_filename for package in _OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, _frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "opcode":
            self.instructions += 1
        return self._step


def _note(counts: Path, instructions: int) -> None:
    with counts.open("a") as out:
        out.write(f"{instructions}\n")


def main() -> int:
    """Serve until told to stop."""
    counts = Path(sys.argv.pop(1))
    from lead_transformer.__main__ import main as serve
    from lead_transformer.rest import RestApp

    answer = RestApp.__call__

    async def counted(app: RestApp, scope: Any, receive: Any, send: Any) -> None:
        count = _Count()
        sys.settrace(count.enter)
        try:
            await answer(app, scope, receive, send)
        finally:
            sys.settrace(None)
            if scope["method"] == "POST":
                _note(counts, count.instructions)

    RestApp.__call__ = counted  # type: ignore[method-assign]
    return serve()


if __name__ == "__main__":
    sys.exit(main())
