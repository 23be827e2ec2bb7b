"""The parts of a graph run in step without Lava: each Lava step part by part, as far as what it waits for has come."""

from collections import defaultdict, deque

import numpy as np

from tp_lava.parts.graph import SINK, SOURCE
from tp_lava.parts.messages import ALL_ROWS, LAST_STEP, LEFT, NO_LABEL, NO_SAMPLE
from tp_lava.parts.part import make_part


class SteppedParts:
    """parts by name; step() is a Lava step of all."""

    def __init__(self, graph, seed=0):
        self.graph = graph
        self.parts = {name: make_part(graph, spec, seed) for name, spec in graph.parts.items()}
        self._queues = defaultdict(deque)
        self._receivers = defaultdict(list)
        for sender, receiver in graph.links:
            self._receivers[sender].append(receiver)

    def present(self, samples, learn=True):
        """-> the scores after each sample."""
        flags = np.broadcast_to(learn, len(samples))
        scores, steps = [], [step for sample, flag in zip(samples, flags, strict=True) for step in self._steps(sample, flag)]
        nothing = np.zeros(self.graph.circuit.network.n_inputs, np.int32), NO_SAMPLE
        for spikes, message in [*steps, *[nothing] * self.graph.lag]:
            self._send(f"{SOURCE}.s_out", spikes)
            self._send(f"{SOURCE}.sample_out", message)
            self._step()
            score, sample = (self._queues[f"{SINK}.{port}"].popleft() for port in ("score_in", "sample_in"))
            if sample[LEFT] == LAST_STEP:
                scores.append(score.copy())
        return np.array(scores)

    def _steps(self, sample, learned):
        events, label = sample
        for step, spikes in enumerate(events.to_dense()):
            left = events.n_steps - step
            yield spikes.astype(np.int32), np.array([step == 0, label if learned else NO_LABEL, left, ALL_ROWS], np.int32)
            for _ in range(self.graph.period - 1):
                yield np.zeros_like(spikes, np.int32), NO_SAMPLE

    def _send(self, port, values):
        for receiver in self._receivers[port]:
            self._queues[receiver].append(np.array(values))

    def _step(self):
        waiting = {name: self._process(name) for name in self.parts}
        wanted = {name: next(steps) for name, steps in waiting.items()}
        while waiting:
            ready = [name for name, port in wanted.items() if self._queues[port]]
            assert ready, f"everyone waits: {wanted}"
            for name in ready:
                try:
                    wanted[name] = waiting[name].send(self._queues[wanted[name]].popleft())
                except StopIteration:
                    del waiting[name], wanted[name]

    def _process(self, name):
        """What models/part.py does in a step; yields the port it waits at."""
        part = self.parts[name]
        spec = part.spec
        if spec.sample_from and not spec.sample_delay:
            part.receive((yield f"{name}.sample_in"))
        if spec.kind != "label" and spec.sends_samples:
            self._send(f"{name}.sample_out", part.message())
        for stage in spec.stages:
            arriving = {}
            for port in (p.name for p in spec.inputs if p.stage == stage.name and not p.delay):
                arriving[port] = yield f"{name}.{port}"
            part.run(stage, arriving)
            for output in (o for o in spec.outputs if o.stage == stage.name):
                self._send(f"{name}.{output.name}", part.outgoing(output))
        late = {}
        for port in (p.name for p in spec.inputs if p.delay):
            late[port] = yield f"{name}.{port}"
        if spec.sample_delay:
            sample = yield f"{name}.sample_in"
            part.receive(sample)
        part.finish(late)
        if spec.kind == "label":
            self._send(f"{name}.sample_out", part.message())


def memory_of(parts):
    """Name of a buffer -> its array, of what the parts have of their own."""
    found = {}
    for part in parts.values():
        received = {name for each in part.spec.inputs for name in each.buffers}
        found |= {name: part.memory[here] for name, here in part.spec.names.items() if name not in received}
    return found
