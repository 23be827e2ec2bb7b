"""A module as stages, whether forward was captured or is taken for a chain: layers by a ModuleReader, functions by functions.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tp_lava.convert.builder import Wire
from tp_lava.convert.captured.expressions import Expression, NotUnderstoodError, Steps, in_order
from tp_lava.convert.captured.functions import append, label
from tp_lava.convert.module_reader import LISTS, REFUSED, ModuleReader, is_neuron, names_of
from tp_lava.convert.stages import Reading, ReadLayer, Source, Spiking
from tp_lava.convert.values import Shape, refuse
from tp_lava.convert.verification.recording import CannotRunError, record
from tp_lava.dynamics.neuron import LIF
from tp_lava.errors import ConversionError, InvalidValueError

STEPS = 7  # of the run that is traced: a prime, which few layers have as a size
_RATE = 0.3
_OF_THE_SHAPE = frozenset(("input", "layer", "reshape"))


def read_chain(reader: ModuleReader, leaves: Sequence[tuple[str, Any]]) -> Source:
    """The stages of layers, each given what the one before it gave. Raises InvalidValueError."""
    ordered = [Expression("input", ())]
    for place in range(len(leaves)):
        ordered.append(Expression("layer", (), (ordered[-1],), key=place))
    return GraphReader(reader, leaves, ordered).read(chain=True)


class GraphReader:
    """Reads layers and functions in the order of use. reader: whose builder is filled; leaves: by the key of an expression."""

    def __init__(self, reader: ModuleReader, leaves: Sequence[tuple[str, Any]], ordered: Sequence[Expression]) -> None:
        self.reader, self.builder, self.leaves, self.ordered = reader, reader.builder, leaves, ordered
        self.users: dict[int, list[Expression]] = {id(each): [] for each in self.ordered}
        for expression in self.ordered:
            for given in expression.inputs:
                self.users[id(given)].append(expression)

    # Reading ----------------------------------------------------------------------------------
    def read(self, chain: bool = False) -> Source:
        """The stages. chain: whether forward is taken for one."""
        neurons, builder = self._declared(), self.builder
        wires: dict[int, Wire] = {}
        layers: list[ReadLayer] = []
        for expression in self.ordered:
            if expression.name == "layer":
                builder.resume(wires[id(expression.inputs[0])])
                layers.append(self.reader.append(*self.leaves[expression.key], tuple(neurons.get(id(expression), ()))))
            elif expression.name != "input":
                self._function(expression, wires)
            wires[id(expression)] = builder.wire(shared=len(self.users[id(expression)]) > 1)
        builder.source.reading = Reading(self.reader.root, tuple(layers), chain=chain)
        return builder.finish()

    def _function(self, expression: Expression, wires: Mapping[int, Wire]) -> None:
        try:
            append(self.builder, expression, wires)
        except NotUnderstoodError:
            raise
        except InvalidValueError as error:
            found, cause = f"forward calls {label(expression)}", str(error).rstrip(".")
            raise ConversionError(self._before(expression), found, cause, "use what can be converted there") from None

    def _before(self, expression: Expression) -> str:
        """The path of the layer nearest before a function."""
        while expression.inputs:
            expression = expression.inputs[0]
            if expression.name == "layer":
                return self.leaves[expression.key][0]
        return "the input"

    # Declared neurons -------------------------------------------------------------------------
    def _declared(self) -> dict[int, list[Spiking]]:
        """Of each layer's expression: the declared neurons behind it, or in its place; those of a map come after its normalisation."""
        reader, given = self.reader, self.reader.neurons
        layers = [each for each in self.ordered if each.name == "layer"]
        paths = {id(each): self.leaves[each.key][0] for each in layers}
        chosen: dict[int, Any] = {}
        tables = {"neurons": given if isinstance(given, Mapping) else {}, "standardised": reader.standardised, "factors": reader.factors}
        for name, table in tables.items():
            for path in set(table) - set(paths.values()):
                limit = f"a layer among {', '.join(sorted(paths.values()))[:120]}"
                raise refuse("model", name, repr(path)[:60], limit, "take names of named_modules()")
        if isinstance(given, Mapping):
            chosen = {key: given[path] for key, path in paths.items() if path in given}
        elif isinstance(given, LIF):
            for path, leaf in (self.leaves[each.key] for each in layers):
                if is_neuron(leaf):
                    raise refuse(path, "neurons", "one LIF for all layers", "None where layers have their own", "leave neurons out")
            weighted = {id(each) for each in layers if reader.is_weighted(*self.leaves[each.key])}
            chosen = {key: given for key in weighted if self._leads_to(key, weighted)}
        placed: dict[int, list[Spiking]] = {}
        expressions = {id(each): each for each in layers}
        for key, neuron in chosen.items():
            path, leaf = self.leaves[expressions[key].key]
            in_its_place, last = reader.kind(path, leaf) is None or is_neuron(leaf), expressions[key]
            while not in_its_place and len(users := self.users[id(last)]) == 1 and users[0].name == "layer":
                if not reader.is_folded(*self.leaves[users[0].key]):
                    break
                (last,) = users
            placed.setdefault(id(last), []).append(reader.declared(path if in_its_place else f"{path}.neurons", neuron))
        return placed

    def _leads_to(self, key: int, others: set[int]) -> bool:
        """Whether what a layer gives reaches another one of these."""
        waiting, seen = list(self.users[key]), set[int]()
        while waiting:
            expression = waiting.pop()
            if id(expression) in others:
                return True
            if id(expression) not in seen:
                seen.add(id(expression))
                waiting += self.users[id(expression)]
        return False


class ForwardReader(GraphReader):
    """Reads what forward does. Raises NotUnderstoodError, CannotRunError."""

    def __init__(self, reader: ModuleReader) -> None:
        self.reader = reader
        leaves = list(self._candidates("", reader.root))
        self.layers = [self._layer(path, leaf) for path, leaf in leaves]
        ordered = captured(reader.root, self.layers, tuple(reader.builder.shape), reader.builder.source.frame_shape)
        super().__init__(reader, leaves, ordered)

    def read(self, chain: bool = False) -> Source:
        """The stages of forward."""
        self._check_used()
        return super().read(chain)

    def _candidates(self, path: str, module: Any) -> Iterator[tuple[str, Any]]:
        """Layers that are read as such; what others do is seen as functions."""
        name = path or type(module).__name__
        if self.reader.kind(name, module) or (self.reader.has_declared(name) and not module._modules):
            yield name, module
            return
        if names_of(module) & set(REFUSED) - LISTS:
            raise NotUnderstoodError(name, "a layer without equal")
        for key, child in module._modules.items():
            if child is not None:
                yield from self._candidates(f"{path}.{key}" if path else key, child)

    def _layer(self, path: str, leaf: Any) -> ReadLayer:
        """What a run is to see of a layer: whether it goes from step to step."""
        reader = self.reader
        steps = reader.has_declared(path) or (isinstance(reader.neurons, LIF) and reader.is_weighted(path, leaf))
        declared = (Spiking(path, 0.0, 1.0),) if steps else ()
        return ReadLayer(path, leaf, path if is_neuron(leaf) and not reader.has_declared(path) else None, declared)

    # What it is -------------------------------------------------------------------------------
    def is_chain(self) -> bool:
        """Whether forward calls the layers one after the other, in the order in which they were made, and does nothing else."""
        before = None
        for expression in self.ordered:
            if expression.name not in _OF_THE_SHAPE or (expression.name == "reshape" and len(expression.shape) != 1):
                return False
            if expression.inputs != ([] if before is None else [before]):
                return False
            before = expression
        try:
            made = [leaf for path, leaf in self.reader.leaves() if self.reader.is_needed(path, leaf)]
        except InvalidValueError:
            return False
        used = [self.leaves[each.key] for each in self.ordered if each.name == "layer"]
        return [id(leaf) for leaf in made] == [id(leaf) for path, leaf in used if self.reader.is_needed(path, leaf)]

    def _check_used(self) -> None:
        """Refuse layers left over, and those with a state in two places."""
        used = [each.key for each in self.ordered if each.name == "layer"]
        for number, (path, leaf) in enumerate(self.leaves):
            if number not in used and (is_neuron(leaf) or leaf._parameters or self.reader.has_declared(path)):
                raise NotUnderstoodError(path, "a layer that is left over")
            if used.count(number) > 1 and (self.layers[number].declared or self.layers[number].spikes):
                raise NotUnderstoodError(path, "neurons in more than one place")


def captured(module: Any, layers: Sequence[ReadLayer], input_shape: Shape, frame_shape: Shape | None = None) -> list[Expression]:
    """The expressions of one step of forward, in order. layers: all that may be called, each once; `key` of an expression is the place
    among them; frame_shape: of a step as the module takes it. Raises NotUnderstoodError, CannotRunError.
    """
    reading = Reading(module, tuple(layers))
    spikes = np.random.default_rng(0).random((STEPS, *(frame_shape or input_shape))) < _RATE
    trace = record(reading, {}, spikes.astype(np.float32), traced=True).trace
    if trace is None:
        raise CannotRunError("its run was not traced")
    ordered = in_order(Steps(trace, input_shape).output())
    numbers = {id(part): number for number, part in enumerate(module.modules())}
    places = {numbers[id(layer.leaf)]: place for place, layer in enumerate(layers)}
    for expression in ordered:
        if expression.name == "layer":
            expression.key = places[expression.key]
    if ordered[0].name != "input":
        raise NotUnderstoodError("forward", "its result does not come from its input")
    return ordered
