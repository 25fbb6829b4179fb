"""Runs a Python program with fresh globals and writes the value of its last expression: `run_python.py SOURCE NAME
VALUE_FILE`."""

import ast
import glob
import linecache
import os
import sys

MAX_VALUE_CHARACTERS = 16_000


def main() -> None:
    source_path, name, value_path = sys.argv[1:]
    with open(source_path, encoding="utf-8") as file:
        source = file.read()
    # As in a local sandbox: the working folder and what install_packages put into it come first.
    sys.path[0] = ""
    sys.path[1:1] = [os.path.realpath(path) for path in glob.glob(".venv/lib/python3*/site-packages")]
    sys.argv = [name]
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    tree = ast.parse(source, name)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    variables = {"__name__": "__main__", "__file__": name, "__builtins__": __builtins__}
    sys.modules["__main__"].__dict__.update(variables)
    variables = sys.modules["__main__"].__dict__
    exec(compile(tree, name, "exec"), variables)
    if not isinstance(last, ast.Expr):
        return
    value = eval(compile(ast.Expression(last.value), name, "eval"), variables)
    if value is not None:
        with open(value_path, "w", encoding="utf-8") as file:
            file.write(repr(value)[:MAX_VALUE_CHARACTERS])


main()
