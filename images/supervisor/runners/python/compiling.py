"""Source to code objects: the statements, and the last expression apart."""

from __future__ import annotations
import __future__

import ast
import types

CO_COROUTINE = 0x80
FUTURE_FLAGS = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})
COMPILE_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def decode(code: bytes, file: str) -> str:
    try:
        return code.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SyntaxError(f"the code is not UTF-8: {error.reason}", (file, 1, 1, "")) from None


def compile_parts(source: str, file: str) -> list[types.CodeType]:
    """The statements, then the last one apart if it is an expression."""
    tree = compile(source, file, "exec", COMPILE_FLAGS | ast.PyCF_ONLY_AST, dont_inherit=True)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    body = compile(tree, file, "exec", COMPILE_FLAGS, dont_inherit=True)
    if last is None:
        return [body]
    flags = COMPILE_FLAGS | (body.co_flags & FUTURE_FLAGS)
    return [body, compile(ast.Expression(last.value), file, "eval", flags, dont_inherit=True)]
