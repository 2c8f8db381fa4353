"""HyperSpy's three kinds of axes: evenly spaced, a list of values, or a function of another axis."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.readers.described import Described, Named, candidate, is_spectral_name, place_image, roles, text_of
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name) for name in ("sqrt", "exp", "log", "log10", "log2", "sin", "cos", "tan", "abs")
}
_LONGEST = 1000  # characters of an expression


def hyperspy_described(array: Any, shape: Sequence[int], axes: Sequence[Any]) -> Described | None:
    """What HyperSpy's axes say; None if they say of no dimension that it is the signal.

    Args:
        array: what they describe.
        shape: of the array.
        axes: for each dimension a mapping with `name`, `units`, `navigate` and what gives its values.
    """
    signal = [dim for dim, axis in enumerate(axes) if not bool(axis.get("navigate", False))]
    named = [Named(text_of(axis.get("name")), text_of(axis.get("units"))) for axis in axes]
    found = roles(named)
    spectral = signal if len(signal) == 1 else [dim for dim, role in enumerate(found) if role == "spectral"]
    if len(spectral) != 1:
        return None
    dim = spectral[0]
    described = Described(array, dim)
    values = hyperspy_values(axes[dim], shape[dim])
    if values is not None:
        axis = candidate(named[dim].name or "axis", values, named[dim].unit)
        if axis.unit is not None or is_spectral_name(axis.name) or axes[dim].get("axis") is not None:
            described.axes = [axis]  # else channels that are counted, from wherever
    place_image(described, [None if i == dim else role for i, role in enumerate(found)])
    return described


def hyperspy_values(axis: Any, length: int) -> NDArray[np.float64] | None:
    """Positions along an axis as HyperSpy writes it.

    Args:
        axis: a mapping with `get`: `axis` (a list of values), or `expression`, its parameters and `x` (another axis),
            or `offset` and `scale`.
        length: of the dimension.

    Returns:
        (length,) float64; None if the axis says nothing of positions.

    Raises:
        UserError: if an expression is not understood.
    """
    values = axis.get("axis")
    if values is not None and not isinstance(values, str):
        return np.asarray(values, dtype=np.float64).ravel()
    expression = axis.get("expression")
    if expression is not None:
        inner = axis.get("x")
        x = np.arange(length, dtype=np.float64) if inner is None else hyperspy_values(inner, length)
        return np.broadcast_to(np.asarray(evaluate(str(expression), {"x": x}, axis), dtype=np.float64), length).copy()
    if axis.get("scale") is None and axis.get("offset") is None:
        return None
    first, step = float(axis.get("offset", 0)), float(axis.get("scale", 1))
    return np.asarray(first + step * np.arange(length))


def evaluate(expression: str, variables: dict[str, Any], parameters: Any) -> Any:
    """Value of a formula of numbers, names, + - * / ** and a few functions; nothing else is run.

    Raises:
        UserError: if there is anything else in it.

    >>> float(evaluate("a * x + b / 2", {"x": 3.0}, {"a": 2.0, "b": 1.0}))
    6.5
    """
    if len(expression) > _LONGEST:
        raise UserError(f"the formula of an axis has {len(expression)} characters, expected {_LONGEST} at most")
    try:
        with np.errstate(all="ignore"):
            return _value(ast.parse(expression, mode="eval").body, variables, parameters)
    except (SyntaxError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise UserError(f"the formula '{expression[:80]}' of an axis is not understood: {error}") from error


def _value(node: ast.expr, variables: dict[str, Any], parameters: Any) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    if isinstance(node, ast.Name):
        found = variables.get(node.id, parameters.get(node.id))
        if found is None and node.id == "pi":
            return np.pi
        if found is None:
            raise ValueError(f"no parameter '{node.id}'")
        return np.asarray(found, dtype=np.float64)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.operand, variables, parameters))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = (_value(side, variables, parameters) for side in (node.left, node.right))
        return _OPERATORS[type(node.op)](left, right)
    called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if isinstance(node, ast.Call) and called in _FUNCTIONS and len(node.args) == 1 and not node.keywords:
        return _FUNCTIONS[called](_value(node.args[0], variables, parameters))
    raise ValueError(f"'{ast.unparse(node)[:40]}' is no sum, product or known function")
