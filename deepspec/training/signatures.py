"""What a class is built from, read from its source file: names, types, defaults and their descriptions.

The options of `fit` belong to classes whose modules import torch and Lightning, which takes seconds. Whoever asks for
help waits for neither, because the sources are only parsed here and never run.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass, replace
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Parameter:
    """One argument of a class, as its source has it."""

    name: str
    kind: str
    """Its type: the values between braces where it takes few, else the annotation."""
    default: str | None
    """As it is written in YAML; None where there is none."""
    description: str
    """Of its line under `Args:`, or the text below it in a dataclass; empty if there is none."""
    parts: list[Parameter]
    """What its own class is built from, where that is a class of this package."""


def parameters_of(module: str, name: str) -> list[Parameter]:
    """The parameters of a class of this package, in order.

    Args:
        module: such as `deepspec.schedules`.
        name: the class: a dataclass, or one with an `__init__`.

    Raises:
        LookupError: there is no such module or class.
    """
    source = _Source(module)
    found = source.classes.get(name)
    if found is None:
        raise LookupError(f"{module} has no class {name}")
    return _fields(found, source) if _is_dataclass(found) else _arguments(found, source)


class _Source:
    """A parsed module."""

    def __init__(self, module: str) -> None:
        # Not by importlib, which imports the packages that a module is in.
        path = PACKAGE.joinpath(*module.split(".")[1:])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not file.is_file():
            raise LookupError(f"no module {module}")
        tree = ast.parse(file.read_text(encoding="utf-8"))
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self.assigned = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self.imported = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE.name
            for alias in node.names
        }

    def find(self, name: str) -> tuple[_Source, str] | None:
        """The module that defines a class or a name for a type, by the imports; None if it is none of this package."""
        if name in self.classes or name in self.assigned:
            return self, name
        if name not in self.imported:
            return None
        module, original = self.imported[name]
        assert module is not None
        return _Source(module).find(original)


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def _fields(node: ast.ClassDef, source: _Source) -> list[Parameter]:
    """Of a dataclass: its annotated names, each with the text below it or that under `Args:`."""
    described = _described(ast.get_docstring(node) or "")
    found = []
    for line, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            text = described.get(line.target.id, "")
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                text = inspect.cleandoc(str(following.value.value))
            found.append(_parameter(line.target.id, line.annotation, line.value, text, source))
    return found


def _arguments(node: ast.ClassDef, source: _Source) -> list[Parameter]:
    """Of a class with an `__init__`: its arguments, each with its text under `Args:` of the class."""
    described = _described(ast.get_docstring(node) or "")
    init = next(part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__")
    given = init.args.args[1:]
    defaults = [*[None] * (len(given) - len(init.args.defaults)), *init.args.defaults]
    given, defaults = [*given, *init.args.kwonlyargs], [*defaults, *init.args.kw_defaults]
    return [
        _parameter(argument.arg, argument.annotation, default, described.get(argument.arg, ""), source)
        for argument, default in zip(given, defaults, strict=True)
    ]


def _parameter(
    name: str, annotation: ast.expr | None, default: ast.expr | None, text: str, source: _Source
) -> Parameter:
    kind, parts = ("", list[Parameter]()) if annotation is None else _type(annotation, source)
    if isinstance(default, ast.Call):
        given = dict(zip([part.name for part in parts], default.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in default.keywords if keyword.arg is not None}
        parts = [replace(part, default=_in_yaml(given.get(part.name)) or part.default) for part in parts]
    return Parameter(name, kind, _in_yaml(default), " ".join(text.split()), parts)


def _type(annotation: ast.expr, source: _Source) -> tuple[str, list[Parameter]]:
    """How a type is shown, and what it consists of if it is a dataclass of this package."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        (left, left_parts), (right, right_parts) = (_type(side, source) for side in (annotation.left, annotation.right))
        return f"{left} | {right}".replace("None", "null"), left_parts + right_parts
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        values = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        return f"{{{','.join(str(ast.literal_eval(value)) for value in values)}}}", []
    if isinstance(annotation, ast.Name) and (found := source.find(annotation.id)):
        home, name = found
        if name in home.assigned:
            return _type(home.assigned[name], home)
        if _is_dataclass(home.classes[name]):
            return name, _fields(home.classes[name], home)
    return ast.unparse(annotation), []


def _in_yaml(default: ast.expr | None) -> str | None:
    """A default as it is written in YAML; empty where it is an object, whose own parts tell theirs."""
    if default is None:
        return None
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return ""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def _described(docstring: str) -> dict[str, str]:
    """The texts under `Args:` of a Google-style docstring, by name."""
    section = re.search(r"^Args:\n(.*?)(?:\n\n\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if section is None:
        return {}
    pairs = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section[1], re.MULTILINE)
    return dict(pairs)
