"""Where each tensor of a run comes from: the calls of layers and the functions between them, in the order in which they ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor

_Kind = TypeVar("_Kind")
_OWN = frozenset(("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "new_zeros", "new_ones", "new_empty", "new_full"))
# Functions that change the place of numbers, and those that change not even that.
MOVING = frozenset(
    (
        *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "expand", "repeat", "t"),
        *("permute", "transpose", "swapaxes", "movedim", "flip", "roll", "select", "narrow", "index_select", "__getitem__"),
        *("unbind", "split", "chunk", "tensor_split", "__iter__"),
    )
)
KEEPING = frozenset(["contiguous", "detach", "clone", "to", "float", "double", "cpu", "type_as", "requires_grad_"])
GIVEN = -1  # in place of a node's number: what the module was given


@dataclass(frozen=True)
class Ref:
    """A tensor that a node made, the `item`-th of its results. shape: of the tensor."""

    node: int
    item: int
    shape: tuple[int, ...]


@dataclass(eq=False)
class Node:
    """A call of the layer `key`, the `count`-th of that layer, or of a function (key None) at a line of a file.

    args, kwargs: with a Ref in place of every tensor whose origin is known; others are numbers of the module's own.
    """

    name: str
    key: int | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    place: str = ""
    count: int = 0

    def refs(self) -> Iterator[Ref]:
        """What it was given."""
        yield from refs_in((self.args, dict(self.kwargs)))


@dataclass(eq=False)
class Trace:
    """nodes: of one run; returned: what forward gave, refs in place of tensors (of each call, where steps were given one by one); begun:
    calls of the module; calls: of each layer.
    """

    nodes: list[Node] = field(default_factory=list)
    returned: Any = None
    steps: int = 0
    begun: int = 0
    calls: dict[int, int] = field(default_factory=dict)
    _made: dict[int, Ref] = field(default_factory=dict)
    _kept: list[Any] = field(default_factory=list)  # so that no other tensor gets the identity of one that is gone

    def begin(self, given: Tensor) -> None:
        """A call of the module."""
        self.begun += 1
        self._note(given, GIVEN)

    def end(self, returned: Any, steps: int) -> None:
        """All steps ran."""
        self.returned, self.steps = self._with_refs(returned), steps
        self._made.clear()
        self._kept.clear()

    def call(self, key: int, args: tuple[Any, ...], output: Any) -> Any:
        """A layer gave `output`. -> the same, no tensor of which is one that it was given."""
        count = self.calls.get(key, 0)
        self.calls[key] = count + 1
        node, given = Node("", key, self._with_refs(args), {}, count=count), {id(each) for each in _tensors(args)}
        output = _mapped(output, lambda tensor: tensor.clone() if id(tensor) in given else tensor)
        self.nodes.append(node)
        self._note(output, len(self.nodes) - 1)
        return output

    def function(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any, place: str) -> Any:
        """A function gave `result`. -> the same."""
        again = list(result) if name == "__iter__" else result
        node = Node(name, None, self._with_refs(args), self._with_refs(dict(kwargs)), place)
        if name not in _OWN and next(node.refs(), None) is not None and next(iter(_tensors(again)), None) is not None:
            self.nodes.append(node)
            self._note(again, len(self.nodes) - 1)
        return iter(again) if name == "__iter__" else result

    def _note(self, made: Any, node: int) -> None:
        for item, tensor in enumerate(_tensors(made)):
            self._made[id(tensor)] = Ref(node, item, tuple(tensor.shape))
            self._kept.append(tensor)

    def _with_refs(self, given: Any) -> Any:
        return _mapped(given, lambda tensor: self._made.get(id(tensor), tensor))


def refs_in(given: Any) -> Iterator[Ref]:
    """All refs in nested lists, tuples and dicts."""
    return _all_of(Ref, given)


def _tensors(given: Any) -> Iterator[Tensor]:
    return _all_of(Tensor, given)


def _all_of(kind: type[_Kind], given: Any) -> Iterator[_Kind]:
    if isinstance(given, kind):
        yield given
    elif isinstance(given, list | tuple | dict):
        for each in given.values() if isinstance(given, dict) else given:
            yield from _all_of(kind, each)


def _mapped(given: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same nested lists, tuples and dicts with each tensor changed."""
    if isinstance(given, Tensor):
        return change(given)
    if isinstance(given, tuple) and hasattr(given, "_fields"):
        return type(given)(*(_mapped(each, change) for each in given))
    if isinstance(given, list | tuple):
        return type(given)(_mapped(each, change) for each in given)
    if isinstance(given, dict):
        return {name: _mapped(each, change) for name, each in given.items()}
    return given
