"""Our source without the places where an optional feature asks whether it is on."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Mapping
from pathlib import Path

__all__ = ["HOOKS", "without"]

HOOKS: Mapping[str, tuple[str, ...]] = {
    "transformers/lead_transformer/calls.py": (
        "self._tracer is not None",
        "call.span is not None and self._tracer is not None",
    ),
    "transformers/lead_transformer/service.py": ("prediction.contributions is not None",),
    "transformers/lead_transformer/outputs.py": (
        "'reasons' in names and (not options.explain)",
        "'prediction_time_ms' in names and (not options.prediction_time)",
        "(('reasons', request.options.explain), ('prediction_time_ms', request.options.prediction_time))",
    ),
    "transformers/lead_transformer/v2_json.py": ("spec.binary",),
    "predictors/lead_predictor/frame_edge.py": ("frame.kind == Ask.CANCEL", "frame.kind == Ask.CONTRIBUTIONS"),
}
"""By file, the conditions of `if` and what `for` runs over: traces, explanations, their cancellation, prediction times,
binary outputs."""


def without(source: Path, target: Path) -> Path:
    """Copy our packages to `target` without the hooks; return it.

    Raises:
        LookupError: a hook is not where `HOOKS` says.
    """
    for package in ("lead_scoring", "transformers/lead_transformer", "predictors/lead_predictor"):
        shutil.copytree(source / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, hooks in HOOKS.items():
        path = target / name
        surgeon = _Surgeon(hooks)
        tree = ast.fix_missing_locations(surgeon.visit(ast.parse(path.read_text())))
        if missing := set(hooks) - surgeon.found:
            raise LookupError(f"{name} has no condition {min(missing)}")
        path.write_text(ast.unparse(tree))
    return target


class _Surgeon(ast.NodeTransformer):
    def __init__(self, hooks: tuple[str, ...]) -> None:
        self._hooks = hooks
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return self._cut(node, node.test)

    def visit_For(self, node: ast.For) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return self._cut(node, node.iter)

    def _cut(self, node: ast.If | ast.For, condition: ast.expr) -> ast.AST | list[ast.stmt]:
        text = ast.unparse(condition)
        if text not in self._hooks:
            return node
        self.found.add(text)
        return node.orelse
