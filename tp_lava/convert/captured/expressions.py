"""What forward computes in one step, as expressions: taken from the trace of a run, whose loop over time is left out.

A tensor holds one step or all of them ("fold"), step by step: position t * n + unit. Functions that move numbers are run on the positions
themselves, so that what they do is known whatever they are called: nothing, the choice of a step, or a choice of units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tp_lava.convert.values import Shape
from tp_lava.convert.verification.trace import GIVEN, KEEPING, MOVING, Node, Ref, Trace, refs_in

_ADDING = frozenset(("add", "add_", "__radd__", "__iadd__"))
_REDUCING = frozenset(("sum", "mean"))


class NotUnderstoodError(Exception):
    """Something of forward that has no equal here. place: what and in which line."""

    def __init__(self, place: str, cause: str) -> None:
        super().__init__(f"{place}: {cause}")
        self.place, self.cause = place, cause


@dataclass(eq=False)
class Expression:
    """A value in a step. name: "input", "layer", "reshape", "select", or of the function; use: of a layer in several places, which;
    args, kwargs: with an Expression in place of each value; units: of "select"; shape: (n,) or (channels, height, width).
    """

    name: str
    shape: Shape
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    key: int = -1
    use: int = 0
    place: str = ""
    units: np.ndarray | None = None

    @property
    def inputs(self) -> list[Expression]:
        """The expressions it is made of."""
        return [*_expressions((self.args, dict(self.kwargs)))]


@dataclass(frozen=True)
class _Value:
    expression: Expression
    fold: int


class Steps:
    """The last step of a trace. size: units of the input."""

    def __init__(self, trace: Trace, input_shape: Shape) -> None:
        self.trace, self.steps, self.size = trace, trace.steps, math.prod(input_shape)
        self.given = Expression("input", tuple(input_shape))
        self._known: dict[tuple[int, int], _Value] = {}

    def output(self) -> Expression:
        """What forward gives. Raises NotUnderstoodError."""
        returned = self.trace.returned
        if self.trace.begun == self.steps > 1:
            returned = returned[-1]
        found: dict[int, Expression] = {}
        for ref in refs_in(returned if isinstance(returned, list | tuple | dict) else [returned]):
            value = self._value(self._last_step(ref)[0])
            found[id(value.expression)] = value.expression
        within = {id(inner) for each in found.values() for inner in in_order(each) if inner is not each}
        last = [each for key, each in found.items() if key not in within]
        if len(last) != 1:
            what = "no tensor that comes from its input" if not last else f"{len(last)} results, from {' and '.join(map(described, last))}"
            raise NotUnderstoodError("forward", f"it gives {what}, where a network has one readout")
        return last[0]

    # Time -------------------------------------------------------------------------------------
    def _step_of(self, node: Node) -> int | None:
        """The step of a layer's call; None: the call was for all steps."""
        count = self.trace.calls[node.key] if node.key is not None else 0
        return None if count % self.steps or count < self.steps else node.count // (count // self.steps)

    def _use_of(self, node: Node) -> int:
        assert node.key is not None
        count = self.trace.calls[node.key]
        return node.count if self._step_of(node) is None else node.count % (count // self.steps)

    def _last_step(self, ref: Ref) -> tuple[Ref, bool]:
        """Of a result of all steps, stacked or summed, that of the last one. -> (it, whether there was more than one)."""
        node = self.trace.nodes[ref.node] if ref.node != GIVEN else None
        if node is None or node.key is not None:
            return ref, False
        given = list(node.refs())
        if node.name in ("stack", "cat", "concat") and len(given) == self.steps > 1 and len({each.shape for each in given}) == 1:
            return self._last_step(given[-1])[0], True
        if node.name in _ADDING and len(given) == 2:
            first, second = (self._fronts(each) for each in given)
            if first and second and max(first) < max(second) == self.steps - 1:
                return self._last_step(given[1])[0], True
        if len(given) == 1 and (node.name in _REDUCING or node.name in ("div", "mul", "add") or node.name in MOVING | KEEPING):
            found, several = self._last_step(given[0])
            if several or (node.name in _REDUCING and math.prod(ref.shape) * self.steps == math.prod(given[0].shape)):
                return found, True
        return ref, False

    def _fronts(self, ref: Ref) -> set[int]:
        """Steps of the calls that a value comes from, without what was before them."""
        node = self.trace.nodes[ref.node] if ref.node != GIVEN else None
        if node is None:
            return set()
        if node.key is not None:
            step = self._step_of(node)
            return set() if step is None else {step}
        return set().union(*(self._fronts(each) for each in node.refs()))

    # Values -----------------------------------------------------------------------------------
    def _value(self, ref: Ref) -> _Value:
        if (ref.node, ref.item) not in self._known:
            self._known[ref.node, ref.item] = self._made(ref)
        return self._known[ref.node, ref.item]

    def _made(self, ref: Ref) -> _Value:
        if ref.node == GIVEN:
            return _Value(self.given, max(1, math.prod(ref.shape) // self.size))
        node = self.trace.nodes[ref.node]
        if node.key is not None:
            return self._layer(node, ref)
        if node.name in KEEPING or node.name in MOVING:
            return self._moved(node, ref)
        if (
            node.name in ("stack", "cat", "concat")
            and len(given := list(node.refs())) == self.steps > 1
            and [*map(self._fronts, given)] == [{step} for step in range(self.steps)]
        ):
            return _Value(self._value(given[-1]).expression, self.steps)
        values = [self._value(each) for each in node.refs()]
        folds = {value.fold for value in values}
        if len(folds) > 1:
            raise NotUnderstoodError(_named(node), "what it is given holds one step here and all steps there")
        fold = folds.pop()
        args, kwargs = (self._with_expressions(each) for each in (node.args, dict(node.kwargs)))
        return _Value(Expression(node.name, step_shape(ref.shape, fold), args, kwargs, place=node.place), fold)

    def _layer(self, node: Node, ref: Ref) -> _Value:
        if not node.args or not isinstance(node.args[0], Ref):
            raise NotUnderstoodError("forward", "a layer is given numbers that do not come from its input")
        step = self._step_of(node)
        if step is not None and step != self.steps - 1:
            raise NotUnderstoodError("forward", "it uses what a layer gave in an earlier step; use a recurrent layer, such as RLeaky")
        below, use = self._value(node.args[0]), self._use_of(node)
        known = self._known.get((-2 - (node.key or 0), use))
        if known is None:
            expression = Expression("layer", step_shape(ref.shape, below.fold), (below.expression,), key=node.key or 0, use=use)
            known = self._known[-2 - (node.key or 0), use] = _Value(expression, below.fold)
        return known

    def _moved(self, node: Node, ref: Ref) -> _Value:
        first = node.args[0] if node.args else None
        if not isinstance(first, Ref):
            raise NotUnderstoodError(_named(node), "it is called with names of arguments")
        value = self._value(first)
        n = math.prod(first.shape) // value.fold
        positions = torch.arange(math.prod(first.shape)).reshape(first.shape)
        if node.name in MOVING:
            rest = [torch.empty(each.shape) if isinstance(each, Ref) else each for each in node.args[1:]]
            method = "unbind" if node.name == "__iter__" else node.name
            moved = getattr(positions, method)(*rest, **node.kwargs)
            positions = moved if isinstance(moved, torch.Tensor) else moved[ref.item]
        units, fold = _units(positions.numpy(), n, value.fold)
        if units is None:
            raise NotUnderstoodError(_named(node), "it moves numbers between steps")
        shape = step_shape(ref.shape, fold)
        same = np.array_equal(units, np.arange(n))
        if same and shape == value.expression.shape:
            return _Value(value.expression, fold)
        name = "reshape" if same else "select"
        return _Value(Expression(name, shape, (value.expression,), place=f"{node.name} ({node.place})", units=units), fold)

    def _with_expressions(self, given: Any) -> Any:
        if isinstance(given, Ref):
            return self._value(given).expression
        if isinstance(given, list | tuple):
            return tuple(self._with_expressions(each) for each in given)
        if isinstance(given, dict):
            return {name: self._with_expressions(each) for name, each in given.items()}
        return given


def _units(positions: np.ndarray, n: int, fold: int) -> tuple[np.ndarray | None, int]:
    """Positions among `fold` steps of n units -> (units in a step, or None where steps are mixed, steps that are left)."""
    flat = positions.ravel()
    if fold == 1:
        return flat, 1
    steps, units = flat // n, flat % n
    if len(flat) and (steps == steps[0]).all():
        return units, 1
    if len(flat) % fold == 0:
        rows = units.reshape(fold, -1)
        if (rows == rows[0]).all() and (steps.reshape(fold, -1) == np.arange(fold)[:, None]).all():
            return rows[0], fold
    return None, fold


def step_shape(shape: Shape, fold: int) -> Shape:
    """The shape of one step of a tensor, without axes of the batch and of time: (channels, height, width) or (n,), where it is either."""
    for count in (3, 1):
        if len(shape) >= count and math.prod(shape[: len(shape) - count]) == fold:
            return tuple(shape[len(shape) - count :])
    return tuple(size for size in shape[max(0, len(shape) - 2) :]) if math.prod(shape[:-2]) == fold else (math.prod(shape) // fold,)


def in_order(last: Expression) -> list[Expression]:
    """All expressions that one is made of, each after its own, the one itself last."""
    found: dict[int, Expression] = {}
    waiting: list[tuple[Expression, bool]] = [(last, False)]
    while waiting:
        expression, seen = waiting.pop()
        if id(expression) in found:
            continue
        if seen:
            found[id(expression)] = expression
            continue
        waiting.append((expression, True))
        waiting += [(each, False) for each in reversed(expression.inputs)]
    return list(found.values())


def described(expression: Expression) -> str:
    """Of an expression, for errors."""
    return f"layer {expression.key}" if expression.name == "layer" else f"{expression.name} ({expression.place})"


def _named(node: Node) -> str:
    return f"{node.name} ({node.place})"


def _expressions(given: Any) -> list[Expression]:
    if isinstance(given, Expression):
        return [given]
    if isinstance(given, list | tuple):
        return [found for each in given for found in _expressions(each)]
    if isinstance(given, dict):
        return [found for each in given.values() for found in _expressions(each)]
    return []
