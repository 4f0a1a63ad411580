"""Splits a Python file into blocks: the body of each function, and all other code."""

from __future__ import annotations

import ast
import zlib
from typing import Dict, List, NamedTuple

REST = ""
"""The key for all code outside of function bodies, such as imports and signatures."""


class CodeBlock(NamedTuple):
    """A block of code: the checksum of its syntax tree, and its first and last line."""

    checksum: int
    first: int
    last: int


class _Splitter(ast.NodeTransformer):
    """Removes the bodies of functions from a syntax tree, inner functions first."""

    def __init__(self) -> None:
        self.blocks: Dict[str, CodeBlock] = {}
        self._names: List[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._names.append(node.name)
        self.generic_visit(node)
        self._names.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._take(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self._take(node)
        return node

    def _take(self, node: "ast.FunctionDef | ast.AsyncFunctionDef") -> None:
        self._names.append(node.name)
        self.generic_visit(node)
        key = ".".join(self._names)
        self._names.pop()
        while key in self.blocks:  # a property and its setter
            key += "'"
        first = min(line for line in _lines(node.body[0]))
        self.blocks[key] = CodeBlock(
            _checksum(node.body), first, node.end_lineno or first
        )
        node.body = [ast.Pass()]


def split(source: str) -> Dict[str, CodeBlock]:
    """Return the blocks of a file; the key is the function's qualified name, or REST.

    A file that cannot be parsed is one block.
    """
    last = source.count("\n") + 1
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {REST: CodeBlock(zlib.crc32(source.encode()), 1, last)}
    splitter = _Splitter()
    rest = splitter.visit(tree)
    return {**splitter.blocks, REST: CodeBlock(_checksum(rest.body), 1, last)}


def by_line(blocks: Dict[str, CodeBlock]) -> Dict[int, str]:
    """For each line in a function, return the key of the innermost function."""
    keys: Dict[int, str] = {}
    widest_first = sorted(blocks, key=lambda key: blocks[key].first - blocks[key].last)
    for key in widest_first:
        if key != REST:
            keys.update(
                dict.fromkeys(range(blocks[key].first, blocks[key].last + 1), key)
            )
    return keys


def _checksum(body: "List[ast.stmt]") -> int:
    return zlib.crc32(ast.dump(ast.Module(body, [])).encode("utf-8", "surrogatepass"))


def _lines(node: ast.stmt) -> List[int]:
    return [node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]
