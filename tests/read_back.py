"""Where a text of ours is read back: string operations on fields that hold a sentence, and on what is bound from them.

A text flows from a field into a local name, into a loop over its parts, and into the parameters of a function of the
product that is called with it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

TEXT_FIELDS = {
    "title", "text", "reason", "close_reason", "body", "message", "about", "why", "label", "trouble", "problem",
    "explanation", "summary",
}  # fmt: skip
TEXT_PARAMETERS = TEXT_FIELDS - {"text", "message"}
"""Parameters that hold a text by their name. "text" and "message" are also what a parser reads: a text of ours comes
into them by a call."""
PARSERS = {
    "startswith", "endswith", "partition", "rpartition", "removeprefix", "removesuffix", "replace", "split", "rsplit",
    "find", "rfind", "index", "rindex", "count",
}  # fmt: skip
PATTERN_METHODS = {"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
NO_TEXT = {
    "len", "bool", "int", "any", "all", "isinstance", "hash", "enumerate", "zip", "isoformat", "timestamp",
    "derived_key",
}  # fmt: skip
"""Functions and methods whose result is no text."""


def texts_read_back(modules: Mapping[str, ast.Module]) -> Iterator[tuple[str, str]]:
    """Module and operation, for each operation that looks into a text."""
    scopes = [scope for module, tree in modules.items() for scope in _scopes(module, tree.body)]
    by_name = defaultdict[str, list[_Scope]](list)
    for scope in scopes:
        by_name[scope.name].append(scope)
    changed = scopes
    while changed:
        changed = list({id(called): called for scope in changed for called in _pass_texts(scope, by_name)}.values())
    for scope in scopes:
        yield from ((scope.module, operation) for operation in _operations(scope))


class _Scope:
    """A function or method, or a statement outside; a nested function is a part of the one around it. `passed`: the
    parameters into which a call passes a text."""

    def __init__(self, module: str, statement: ast.stmt) -> None:
        self.module, self.nodes = module, list(ast.walk(statement))
        self.name, self.parameters = "", list[str]()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            parameters = [node.arg for node in (*statement.args.posonlyargs, *statement.args.args)]
            self.name, self.parameters = statement.name, parameters[parameters[:1] in (["self"], ["cls"]) :]
        self.calls = [node for node in self.nodes if isinstance(node, ast.Call)]
        self.bound = [pair for node in self.nodes for pair in _bound(node)]
        named = {node.arg for node in self.nodes if isinstance(node, ast.arg)}
        self.passed = named & TEXT_PARAMETERS

    @property
    def names(self) -> set[str]:
        """The names that hold a text."""
        names = set(self.passed)
        while new := {name for name, value in self.bound if name not in names and is_text(value, names)}:
            names |= new
        return names


def _pass_texts(scope: _Scope, by_name: Mapping[str, list[_Scope]]) -> Iterator[_Scope]:
    """The functions into which a call passes a text by a parameter that was not known to hold one."""
    names = scope.names
    for call in scope.calls:
        match call.func:
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if name in by_name:
                named = by_name[name]
            case _:
                continue
        called = [other for other in named if other.module == scope.module] or named
        given = [
            *zip(called[0].parameters, call.args, strict=False),
            *((word.arg, word.value) for word in call.keywords),
        ]
        passed = {parameter for parameter, value in given if parameter and is_text(value, names)}
        if len(called) == 1 and not passed <= called[0].passed:
            called[0].passed |= passed
            yield called[0]


def is_text(node: ast.AST, names: Iterable[str] = ()) -> bool:
    """True for a field or name that holds a text, also in an f-string, a sum, a choice, or a call with or on it."""
    match node:
        case ast.Name(id=name):
            return name in names
        case ast.Attribute(attr=name):
            return name in TEXT_FIELDS
        case ast.JoinedStr(values=parts):
            return any(isinstance(part, ast.FormattedValue) and is_text(part.value, names) for part in parts)
        case ast.BinOp(left=one, right=other) | ast.IfExp(body=one, orelse=other):
            return is_text(one, names) or is_text(other, names)
        case ast.BoolOp(values=parts):
            return any(is_text(part, names) for part in parts)
        case ast.Call(func=ast.Attribute(value=value, attr="join"), args=[joined]):
            return is_text(value, names) or is_text(joined, names)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return name not in NO_TEXT and any(is_text(argument, names) for argument in arguments)
        case ast.Call(func=ast.Attribute(attr=name)) if name in NO_TEXT:
            return False
        case ast.Call(func=ast.Attribute(value=value)) | ast.Subscript(value=value) | ast.NamedExpr(value=value):
            return is_text(value, names)
    return False


def _scopes(module: str, statements: Iterable[ast.stmt]) -> Iterator[_Scope]:
    for statement in statements:
        if isinstance(statement, ast.ClassDef):
            yield from _scopes(module, statement.body)
        else:
            yield _Scope(module, statement)


def _bound(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Each name with the value that it is bound to, or that a loop takes it from."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _pairs(target, value)
        case ast.NamedExpr(target=target, value=value) | ast.AnnAssign(target=target, value=ast.expr() as value):
            yield from _pairs(target, value)
        case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
            yield from _pairs(target, value)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case ast.Tuple(elts=targets), ast.Tuple(elts=values):
            for one, other in zip(targets, values, strict=False):
                yield from _pairs(one, other)
        case ast.Tuple(elts=targets), ast.Call():  # "head, _, tail = text.partition(...)"
            for one in targets:
                yield from _pairs(one, value)


def _operations(scope: _Scope) -> Iterator[str]:
    names = scope.names
    for node in scope.nodes:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("re"), attr=name), args=arguments):
                yield from [f"re.{name}"] if any(is_text(argument, names) for argument in arguments) else []
            case ast.Call(func=ast.Attribute(value=ast.Name(id=pattern), attr=name), args=arguments) if (
                pattern.isupper() and name in PATTERN_METHODS
            ):
                yield from [name] if any(is_text(argument, names) for argument in arguments) else []
            case ast.Call(args=[ast.Constant("\n")]):
                continue  # the lines of a text are its layout
            case ast.Call(func=ast.Attribute(attr=name, value=value)) if name in PARSERS and is_text(value, names):
                yield name
            case ast.Compare(ops=operations, comparators=others):
                pairs = zip(operations, others, strict=True)
                yield from (
                    "in" for how, other in pairs if isinstance(how, ast.In | ast.NotIn) and is_text(other, names)
                )
