"""A PyTorch module run on spikes: what arrives at each of its layers, what leaves it, and which operations ran in between.

Modules take time in several ways; each is tried, and the first counts in which every layer with a state is called once a step:
the whole sample, time first (steps, 1, ...) or second (1, steps, ...) or without a batch (steps, ...); one step at a time (1, ...),
or without a batch; or one picture (1, ...) that forward itself presents step after step.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tp_lava.convert.stages import Reading, ReadLayer
from tp_lava.convert.verification.substitutes import Substitute, hands_its_state_on, rest, takes_sequences, took_all_steps
from tp_lava.convert.verification.trace import KEEPING, MOVING, Trace

_FOREIGN_FILES = (f"{Path(torch.__file__).parent}/", f"{Path(__file__).parent}/")  # whose lines say nothing about forward


@dataclass(frozen=True)
class Operation:
    """A function of PyTorch that forward calls beside its layers. place: file and line."""

    name: str
    place: str

    @property
    def computes(self) -> bool:
        """Whether it makes other numbers, not only other shapes."""
        return self.name not in _NOT_COMPUTING

    def __str__(self) -> str:
        return f"{self.name} ({self.place})"


@dataclass(frozen=True, eq=False)
class Use:
    """A layer in one place of the order of use. arrived, left: (T, n); potential: (T, n), of neurons that show theirs; operations:
    that ran after the layer used before it; began: its place among all calls.
    """

    arrived: np.ndarray
    left: np.ndarray
    potential: np.ndarray | None
    operations: tuple[Operation, ...]
    began: int


@dataclass(frozen=True, eq=False)
class Recording:
    """One sample. frames: (T, n) that arrived; uses: of each layer read, None where it was never called; counts: calls that do not
    fit the steps, by path; returned: (T, m) or (1, m) tensors that forward gave; operations: after the last layer.
    """

    frames: np.ndarray
    uses: tuple[Use | None, ...]
    counts: Mapping[str, int]
    returned: tuple[np.ndarray, ...]
    operations: tuple[Operation, ...]
    trace: Trace | None = None


class CannotRunError(Exception):
    """A module that cannot be run on spikes; its text says why."""


@dataclass
class _Call:
    arrived: Tensor
    operations: tuple[Operation, ...]
    began: int
    left: Any = None
    potential: Any = None


@dataclass(eq=False)
class Attempt:
    """One run of a copy of the module. substitutes: path of a layer -> the neurons that take its place or stand behind it; forced:
    random numbers from which neurons hand on spikes that are not theirs; trace: to be filled with where each tensor comes from.
    """

    reading: Reading
    substitutes: Mapping[str, Substitute]
    forced: np.random.Generator | None = None
    trace: Trace | None = None
    unwrap: bool = False
    calls: dict[int, list[_Call]] = field(default_factory=dict)
    pending: list[Operation] = field(default_factory=list)
    states: dict[int, Any] = field(default_factory=dict)  # of neurons that are given theirs, and forward gives none
    depth: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        self.module = resting_copy(self.reading.module)
        numbers = {id(module): number for number, module in enumerate(self.reading.module.modules())}
        copies = list(self.module.modules())
        self.keys = [numbers[id(layer.leaf)] for layer in self.reading.layers]
        for key, layer in dict(zip(self.keys, self.reading.layers, strict=True)).items():
            copies[key].register_forward_pre_hook(self._before(key))
            copies[key].register_forward_hook(self._after(key, layer))
        for substitute in self.substitutes.values():
            substitute.rest()

    def _before(self, key: int) -> Callable[..., Any]:
        def hook(module: Any, args: tuple[Any, ...]) -> Any:
            self.depth += 1
            self.calls.setdefault(key, []).append(_Call(args[0].detach().clone(), tuple(self.pending), self.count))
            self.pending.clear()
            self.count += 1
            handed = hands_its_state_on(module) and (len(args) < 2 or args[1] is None)
            return (args[0], self.states.get(key)) if handed else None

        return hook

    def _after(self, key: int, layer: ReadLayer) -> Callable[..., Any]:
        substitute = self.substitutes.get(layer.path)

        def hook(module: Any, args: tuple[Any, ...], output: Any) -> Any:
            first, call = output[0] if isinstance(output, tuple) else output, self.calls[key][-1]
            if hands_its_state_on(module):
                self.states[key] = output[1]
            if substitute is not None:
                output = first = substitute(args[0] if layer.replaced else first)
            if self.forced is not None and (layer.spikes is not None or layer.declared):
                first = torch.from_numpy(self.forced.random(tuple(first.shape)) < 0.5).to(first.dtype)
                output = (first, *output[1:]) if isinstance(output, tuple) else first
            call.left, call.potential = first.detach().clone(), getattr(module, "mem", None)
            if isinstance(output, tuple) and not isinstance(call.potential, Tensor):
                call.potential = output[-1]
            call.potential = call.potential.detach().clone() if isinstance(call.potential, Tensor) else None
            self.depth -= 1
            output = first if self.unwrap else output
            return output if self.trace is None else self.trace.call(key, args, output)

        return hook

    # What came of it --------------------------------------------------------------------------
    def stateful(self) -> list[int]:
        """Keys of the layers that have a state and were called."""
        states = [key for key, layer in zip(self.keys, self.reading.layers, strict=True) if layer.spikes is not None or layer.declared]
        return [key for key in dict.fromkeys(states) if key in self.calls]

    def fit(self, steps: int) -> float:
        """The share of what has a state that went through so many steps."""
        fitting = [self._rows(key, 0, steps, strict=True) is not None for key in self.stateful()]
        return float(np.mean(fitting)) if fitting else 0.0

    def _rows(self, key: int, place: int, steps: int, strict: bool = False) -> list[_Call] | None:
        """The calls of a layer's use, one for all steps or one a step; None where they fit no steps."""
        calls, uses = self.calls.get(key, []), self.keys.count(key)
        layer, one_call = self.reading.layers[self.keys.index(key)], len(calls) == uses
        if strict and takes_sequences(layer.leaf) and not layer.declared:
            return [calls[place]] if one_call and took_all_steps(layer.leaf, calls[place].left, steps) else None
        if len(calls) == steps * uses:
            return calls[place::uses]
        return [calls[place]] if not strict and one_call and _leading(calls[place].left, steps) else None

    def recording(self, frames: np.ndarray, returned: Any, constant: bool) -> Recording:
        """What was seen. constant: whether layers called once stand before the loop over steps, and give the same in each."""
        steps, seen, counts, places = len(frames), [], {}, dict.fromkeys(self.keys, 0)
        for key, layer in zip(self.keys, self.reading.layers, strict=True):
            place, calls = places[key], self.calls.get(key, [])
            places[key] += 1
            rows = self._rows(key, place, steps)
            if rows is None and constant and len(calls) == self.keys.count(key):
                rows = [calls[place]] * steps
            if rows is None and calls:
                counts[layer.path] = len(calls)
            seen.append(_use(rows, steps) if rows else None)
        outputs = tuple(_matrix(found) for found in _tensors(returned))
        if self.trace is not None:
            self.trace.end(returned, steps)
        return Recording(frames, tuple(seen), counts, outputs, tuple(self.pending), self.trace)


def _use(rows: list[_Call], steps: int) -> Use:
    potentials = [row.potential for row in rows]
    shown = None if any(potential is None for potential in potentials) else potentials
    first = rows[0]
    return Use(
        _stacked([row.arrived for row in rows], steps),
        _stacked([row.left for row in rows], steps),
        _stacked(shown, steps) if shown and (len(rows) == steps or _leading(shown[0], steps)) else None,
        first.operations,
        first.began,
    )


class _Watch(TorchFunctionMode):
    """Notes what forward calls beside its layers, with the line it calls it in."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__()
        self._attempt = attempt

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", str(func))
        if not self._attempt.depth and name not in _ASKING:
            self._attempt.pending.append(Operation(name, _line()))
        if not self._attempt.depth and self._attempt.trace is not None:
            return self._attempt.trace.function(name, args, kwargs or {}, result, _line())
        return result


# Functions that make no tensor of numbers.
_ASKING = frozenset(
    (
        *("__get__", "__set__", "__len__", "__iter__", "__bool__", "__int__", "__float__"),
        *("size", "dim", "numel", "is_complex", "is_floating_point"),
    )
)
_NOT_COMPUTING = MOVING | KEEPING | {"stack", "zeros", "zeros_like", "ones", "empty"}


def _line() -> str:
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_FOREIGN_FILES):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


# Ways in which modules take time ----------------------------------------------------------------


def record(
    reading: Reading,
    substitutes: Mapping[str, Substitute],
    frames: np.ndarray,
    forced: np.random.Generator | None = None,
    traced: bool = False,
) -> Recording:
    """The module on one sample. frames: (T, *shape) float32; forced: see Attempt; traced: whether to follow tensors. Raises
    CannotRunError.
    """
    reason = "its layers are not called once a step, whether it is given whole samples or single steps"
    first: Exception | None = None
    partly: Recording | None = None
    ways = (_whole(1), _steps(1), _whole(0), _whole(), _steps(), _steps(1, unwrap=True))
    for way in ways:
        try:
            found, fit = next(way(frames, reading, substitutes, forced, Trace() if traced else None), (None, 0.0))
        except CannotRunError:
            raise
        except Exception as error:  # whatever forward raises for what it was not made for
            first = error if first is None or way is ways[1] else first
            continue
        if found is not None and fit == 1:
            return found
        partly = partly or (found if fit > 0 else None)
    if partly is not None:  # layers that forward calls more than once a step
        return partly
    if first is not None:
        text = str(first).strip().splitlines()
        reason = f"forward raises {type(first).__name__}{f' ({text[0][:160]})' if text else ''}"
    raise CannotRunError(reason)


_Way = Callable[..., Iterator[tuple[Recording, float]]]


def _whole(*axes: int) -> _Way:
    """All steps in one call, with axes of length 1 put in at these places."""

    def whole(frames: np.ndarray, *given: Any) -> Iterator[tuple[Recording, float]]:
        attempt = Attempt(*given)
        returned = _called(attempt, np.expand_dims(frames, axes))
        yield attempt.recording(frames.reshape(len(frames), -1), returned, constant=False), attempt.fit(len(frames))

    return whole


def _steps(*axes: int, unwrap: bool = False) -> _Way:
    """A call a step, or one that presents the first step again and again."""

    def stepwise(frames: np.ndarray, *given: Any) -> Iterator[tuple[Recording, float]]:
        attempt, returned = Attempt(*given), []
        attempt.unwrap = unwrap
        for step, frame in enumerate(frames):
            returned.append(_called(attempt, frame[None] if axes else frame))
            presented = {len(attempt.calls[key]) // attempt.keys.count(key) for key in attempt.stateful()} if step == 0 else {1}
            if len(presented) == 1 and (steps := presented.pop()) > 1:
                repeated = np.repeat(frame.reshape(1, -1), steps, axis=0)
                yield attempt.recording(repeated, returned[0], constant=True), attempt.fit(steps)
                return
        yield attempt.recording(frames.reshape(len(frames), -1), returned, constant=False), attempt.fit(len(frames))

    return stepwise


def _called(attempt: Attempt, given: np.ndarray) -> Any:
    parameter = next((p for p in attempt.module.parameters() if p.is_floating_point()), None)
    tensor = torch.from_numpy(np.ascontiguousarray(given)).to(torch.float32 if parameter is None else parameter.dtype)
    if attempt.trace is not None:
        attempt.trace.begin(tensor)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _Watch(attempt):  # forward may draw: the caller's numbers stay
        return attempt.module(tensor)


def resting_copy(module: Any) -> Any:
    """A copy on the CPU, as after eval(), with the neurons of known libraries at rest. Raises CannotRunError."""
    held: dict[int, Any] = {}
    for part in module.modules():
        for value in (*vars(part).values(), *part._buffers.values()):
            if isinstance(value, Tensor) and value.grad_fn is not None:  # which PyTorch does not copy
                held[id(value)] = value.detach().clone()
    try:
        copied = copy.deepcopy(module, held).cpu().eval()
        rest(copied)
    except Exception as error:
        raise CannotRunError(
            f"it cannot be copied ({type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''})"
        ) from None
    return copied


# Tensors as arrays ------------------------------------------------------------------------------


def _leading(tensor: Any, steps: int) -> bool:
    """Whether a tensor's first axis, or its second behind a batch of one, is the steps."""
    shape = tuple(tensor.shape)
    return shape[:1] == (steps,) or shape[:2] == (1, steps)


def _stacked(tensors: list[Tensor], steps: int) -> np.ndarray:
    """(T, n)."""
    whole = tensors[0] if len(tensors) == 1 and steps > 1 else torch.stack([tensor.reshape(-1) for tensor in tensors])
    return _matrix(whole.reshape(steps, -1))


def _matrix(tensor: Tensor) -> np.ndarray:
    array = tensor.detach().float().numpy()
    return array if array.ndim == 2 else array.reshape(1, -1)


def _tensors(returned: Any) -> list[Tensor]:
    """The tensors that forward gave; those of steps stacked, (T, m)."""
    if isinstance(returned, Tensor):
        return [returned.reshape(len(returned), -1)] if returned.ndim > 1 else [returned.reshape(1, -1)]
    if isinstance(returned, list) and returned and all(isinstance(one, Tensor) for one in returned):
        return [torch.stack([one.reshape(-1) for one in returned])] if len({one.numel() for one in returned}) == 1 else []
    if isinstance(returned, list) and returned and all(isinstance(one, tuple) for one in returned):
        return [found for each in zip(*returned, strict=False) for found in _tensors(list(each))]
    if isinstance(returned, tuple | list):
        return [found for one in returned for found in _tensors(one)]
    return []
