"""What the habits look at: every module of ours, read once."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "distwright"
DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Module:
    """A module of src or tests. name: dotted."""

    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        """Give its dotted name."""
        below = self.path.relative_to(ROOT / "src" if self.path.is_relative_to(SOURCE) else ROOT)
        return ".".join(below.with_suffix("").parts).removesuffix(".__init__")

    def at(self, node: ast.AST) -> str:
        """Say where a node is, as an editor reads it."""
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"

    def defined(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
        """Yield everything with a name of its own."""
        for node in ast.walk(self.tree):
            if isinstance(node, DEFINED):
                yield node


@cache
def modules(folder: Path = SOURCE) -> tuple[Module, ...]:
    """Read all modules below a folder, sorted."""
    return tuple(Module(path, ast.parse(path.read_text())) for path in sorted(folder.rglob("*.py")))
