"""Refuses circles of Python files and crowded folders: `check-python-imports.py FOLDER...`, one folder a program.

An import for types counts, and so does one within a function: both tie two files together as firmly as any other.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILES = 16
Graph = dict[str, set[str]]


def main() -> None:
    problems = [problem for folder in sys.argv[1:] for problem in find_problems(Path(folder))]
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


def find_problems(root: Path) -> Iterator[str]:
    files = {name_module(root, path): path for path in sorted(root.rglob("*.py"))}
    graph = {name: {*find_imports(name, path, files)} for name, path in files.items()}
    for circle in find_circles(graph):
        yield f"{root}: a circle of files: {' -> '.join(circle)}"
    for folder in sorted({path.parent for path in files.values()}):
        count = sum(path.parent == folder for path in files.values())
        if count > MAX_FILES:
            yield f"{folder}: {count} files, more than {MAX_FILES}"


def name_module(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_imports(name: str, path: Path, files: dict[str, Path]) -> Iterator[str]:
    """The program's own modules that this one names, wherever in the file."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            base = resolve(package, node)
            inner = [f"{base}.{alias.name}".lstrip(".") for alias in node.names]
            modules = [module for module in inner if module in files]
            # a package that only leads to a module is not what is meant
            yield from modules or ([base] if base in files else [])


def resolve(package: str, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def find_circles(graph: Graph) -> Iterator[list[str]]:
    """One circle for each import that closes one."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> Iterator[list[str]]:
        if name in way:
            yield [*way[way.index(name) :], name]
        elif name not in done:
            for target in sorted(graph[name]):
                yield from visit(target, [*way, name])
            done.add(name)

    for name in sorted(graph):
        yield from visit(name, [])


main()
