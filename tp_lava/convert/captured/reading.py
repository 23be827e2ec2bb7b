"""A captured forward as stages: each layer read as a module reader reads it, each function as functions.py has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tp_lava.convert.builder import Wire
from tp_lava.convert.captured import append, captured, label
from tp_lava.convert.captured.expressions import Expression, NotUnderstoodError
from tp_lava.convert.module_reader import ModuleReader
from tp_lava.convert.stages import Reading, ReadLayer, Source, Spiking
from tp_lava.dynamics.neuron import LIF
from tp_lava.errors import ConversionError, InvalidValueError

_OF_THE_SHAPE = frozenset(("input", "layer", "reshape"))


class ForwardReader:
    """Reads what forward does. reader: of the module, whose builder is filled. Raises NotUnderstoodError, CannotRunError."""

    def __init__(self, reader: ModuleReader) -> None:
        self.reader, self.root, self.builder = reader, reader.root, reader.builder
        self.leaves = list(self._candidates("", reader.root))
        self.layers = [self._layer(path, leaf) for path, leaf in self.leaves]
        shapes = tuple(self.builder.shape), self.builder.source.frame_shape
        self.ordered = captured(self.root, self.layers, *shapes)
        self.users: dict[int, list[Expression]] = {id(each): [] for each in self.ordered}
        for expression in self.ordered:
            for given in expression.inputs:
                self.users[id(given)].append(expression)

    def _candidates(self, path: str, module: Any) -> Iterator[tuple[str, Any]]:
        """Layers that are read as such; what others do is seen as functions."""
        name = path or type(module).__name__
        if self.reader.kind(name, module) or (self.reader.has_declared(name) and not module._modules):
            yield name, module
            return
        if self.reader.is_refused(module):
            raise NotUnderstoodError(name, "a layer without equal")
        for key, child in module._modules.items():
            if child is not None:
                yield from self._candidates(f"{path}.{key}" if path else key, child)

    def _layer(self, path: str, leaf: Any) -> ReadLayer:
        """What a run is to see of a layer: whether it goes from step to step."""
        reader = self.reader
        steps = reader.has_declared(path) or (isinstance(reader.neurons, LIF) and reader.is_weighted(path, leaf))
        declared = (Spiking(path, 0.0, 1.0),) if steps else ()
        return ReadLayer(path, leaf, path if reader.is_neuron(leaf) and not reader.has_declared(path) else None, declared)

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
            if number not in used and (self.reader.is_neuron(leaf) or leaf._parameters or self.reader.has_declared(path)):
                raise NotUnderstoodError(path, "a layer that is left over")
            if used.count(number) > 1 and (self.layers[number].declared or self.layers[number].spikes):
                raise NotUnderstoodError(path, "neurons in more than one place")

    # Reading ----------------------------------------------------------------------------------
    def read(self) -> Source:
        """The stages of forward."""
        self._check_used()
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
        builder.source.reading = Reading(self.root, tuple(layers), chain=False)
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
        if isinstance(given, Mapping):
            if set(given) - set(paths.values()):
                raise NotUnderstoodError("neurons", "declared for layers that forward does not call")
            chosen = {key: given[path] for key, path in paths.items() if path in given}
        elif isinstance(given, LIF):
            if any(reader.is_neuron(self.leaves[each.key][1]) for each in layers):
                raise NotUnderstoodError("neurons", "one LIF beside layers that have their own")
            weighted = {id(each) for each in layers if reader.is_weighted(*self.leaves[each.key])}
            chosen = {key: given for key in weighted if self._leads_to(key, weighted)}
        placed: dict[int, list[Spiking]] = {}
        expressions = {id(each): each for each in layers}
        for key, neuron in chosen.items():
            path, leaf = self.leaves[expressions[key].key]
            in_its_place, last = reader.kind(path, leaf) is None or reader.is_neuron(leaf), expressions[key]
            while not in_its_place and len(self.users[id(last)]) == 1 and self._is_folded(self.users[id(last)][0]):
                (last,) = self.users[id(last)]
            placed.setdefault(id(last), []).append(reader.declared(path if in_its_place else f"{path}.neurons", neuron))
        return placed

    def _is_folded(self, expression: Expression) -> bool:
        return expression.name == "layer" and self.reader.is_folded(*self.leaves[expression.key])

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
