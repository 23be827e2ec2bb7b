"""The spikes of a converted network beside those that its source made of the same input, and its scores beside the source's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tp_lava.convert.stages import Integrating, Reading, Source, Spiking
from tp_lava.convert.verification.flow import MEANT
from tp_lava.convert.verification.recording import Recording, Use
from tp_lava.data.events import Events
from tp_lava.divergence.forms import EngineForm, Trial
from tp_lava.divergence.replay import NeuronForm, Replay, arriving, replay, sent
from tp_lava.errors import ConversionError
from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Network
from tp_lava.learner import Learner

_ROUNDING = 2.0**-16  # of the largest number: what float32 sums in another order may part a potential and its threshold by
_SCORES = 1e-3


@dataclass(eq=False)
class SpikeCheck:
    """A network beside its source. silent: paths of populations that have not spiked so far; steps: how many were compared."""

    source: Source
    network: Network
    reading: Reading

    def __post_init__(self) -> None:
        self.form = EngineForm(Learner(self.network), "engine (float)")
        self.paths = [stage.path for stage in self.source.stages if isinstance(stage, Spiking)]
        self.silent, self.steps, self.asked = set(self.paths), 0, 0

    def compare(self, recording: Recording) -> None:
        """Raises ConversionError where spikes, or scores at the end, differ by more than rounding."""
        frames = recording.frames
        events = Events.from_dense(frames, graded=self.network.input_format is not None)
        (trial,) = self.form.trials([events])
        uses = self._uses(recording)
        self._check_binary(uses)
        self.asked += len(frames)
        for path, use in uses.items():
            if use is not None and use.left.any():
                self.silent.discard(path)
        differ = {number: steps for number, path in enumerate(self.paths) if (steps := self._differing(trial, uses[path], number)).size}
        if not differ:
            self.steps += len(frames)
            self._check_scores(trial, recording)
            return
        number = min(differ, key=lambda each: (differ[each][0], each))
        step = int(differ[number][0])
        self._check_near(number, step, trial, uses, events)
        self.steps += step

    def other_layers(self, recording: Recording) -> str:
        """Whether the module has other layers of neurons than the network, in words; "" where they correspond."""
        used, ends = _in_order(recording), sum(not isinstance(stage, Spiking) for stage in self.source.stages[-1:])
        if not len(self.paths) <= len(used) <= len(self.paths) + ends:
            return f"the module has {len(used)} layers of neurons, and the network {len(self.paths)}"
        there, here = [use.left.shape[1] for use in used][: len(self.paths)], [layer.size for layer in self.form.layers[: len(self.paths)]]
        return "" if there == here else f"layers of the module have {there} neurons, those of the network {here}"

    def _uses(self, recording: Recording) -> dict[str, Use | None]:
        """Path of each population -> the layer that makes its spikes."""
        made: dict[str, Use | None] = dict.fromkeys(self.paths)
        if not self.reading.whole:
            return dict(zip(self.paths, _in_order(recording), strict=False))
        for layer, use in zip(self.reading.layers, recording.uses, strict=True):
            paths = [layer.spikes] if layer.spikes else [stage.path for stage in layer.declared]
            made |= {path: use for path in paths if path in made}
        return made

    def _check_binary(self, uses: dict[str, Use | None]) -> None:
        """Refuse neurons that give several spikes a step: a unit's are of one size, and of size 1 where nothing says another."""
        for path, use in uses.items():
            if use is None or not use.left.any():
                continue
            usual = np.ones_like(use.left[0]) if not self.reading.whole else np.abs(use.left).max(axis=0)
            apart = (use.left != 0) & (np.abs(np.abs(use.left) - usual) > _SCORES * usual)
            if apart.any():
                step, unit = (int(place) for place in np.argwhere(apart)[0])
                found = f"it gives {use.left[step, unit]:.6g} in that step, where a spike is {usual[unit]:.6g}"
                remedy = f"use neurons of one spike a step (in sinabs spike_fn=SingleSpike), or {MEANT}"
                raise ConversionError(path, found, "several spikes in one step, as sinabs' MultiSpike makes", remedy, step, unit)

    def _differing(self, trial: Trial, use: Use | None, number: int) -> np.ndarray:
        """Steps in which a population's spikes differ."""
        if use is None:
            return np.empty(0, np.int64)
        return np.flatnonzero((trial.spikes[number] != (use.left != 0)).any(axis=1))

    def _check_near(self, number: int, step: int, trial: Trial, uses: dict[str, Use | None], events: Events) -> None:
        """Refuse a first difference unless every potential in it meets its threshold, but for rounding."""
        path, use = self.paths[number], uses[self.paths[number]]
        assert use is not None
        for neuron in np.flatnonzero(trial.spikes[number][step] != (use.left[step] != 0)).tolist():
            seen = self._replayed(number, step, neuron, trial, events)
            potential, threshold = seen.before_reset[0], seen.threshold[0]
            if abs(potential - threshold) > _ROUNDING * max(*seen.largest, threshold):
                here = trial.spikes[number][step, neuron]
                found = f"it spikes {'here' if here else 'there'} and not {'there' if here else 'here'}"
                found += f"; its potential here is {potential:.9g}, the threshold {threshold:.9g}"
                raise ConversionError(path, found, self._cause(path), f"compare their numbers, or {MEANT}", step, neuron)
            if potential == threshold and self._agrees_otherwise(number, uses, events):
                own = self.form.layers[number].neuron.comparison
                found, other = f"its potential meets the threshold {threshold:.9g} exactly", ">" if own == ">=" else ">="
                cause = f'different comparison: "{own}" here, and with "{other}" no spike differs'
                raise ConversionError(path, found, cause, f'say comparison="{other}", or {MEANT}', step, neuron)

    def _agrees_otherwise(self, number: int, uses: dict[str, Use | None], events: Events) -> bool:
        """Whether all spikes would be the same, did a population compare the other way."""
        name, populations = self.form.layers[number].name, []
        for population in self.network.populations:
            neuron = population.neuron
            if population.name == name:
                neuron = replace(neuron, comparison=">" if neuron.comparison == ">=" else ">=")
            populations.append(replace(population, neuron=neuron))
        network = replace(self.network, populations=tuple(populations))
        (trial,) = EngineForm(Learner(network), "engine (float)").trials([events])
        return not any(self._differing(trial, uses[path], each).size for each, path in enumerate(self.paths))

    def _cause(self, path: str) -> str:
        if not self.reading.whole:
            return "time constants, resets or comparisons that the file does not hold: see EXPORTERS in tp_lava.convert.nir"
        layer = next(layer for layer in self.reading.layers if path in (layer.spikes, *(stage.path for stage in layer.declared)))
        if layer.declared:
            return f"the neurons declared for {layer.path} are not those that it has, or it did not begin at rest"
        return "the layer before it, or its neurons, do something that their class does not say"

    def _replayed(self, number: int, step: int, neuron: int, trial: Trial, events: Events) -> Replay:
        layers = self.form.layers
        sent_by = {INPUT: events.to_dense()} | {
            layer.name: sent(layer.population, spikes) for layer, spikes in zip(layers, trial.spikes, strict=True)
        }
        side, own = NeuronForm.of(self.form, trial, number, neuron), trial.spikes[number]
        return replay(side, side, *arriving(layers[number], sent_by), own[:, neuron], step)

    def _check_scores(self, trial: Trial, recording: Recording) -> None:
        """The readout at the end of the sample, where it is a map or shows potentials."""
        used = [(layer, use) for layer, use in zip(self.reading.layers, recording.uses, strict=True) if use is not None]
        if not used or not self.reading.whole:
            return
        (layer, last), final = used[-1], self.source.stages[-1]
        if isinstance(final, Spiking) or not self.reading.chain:
            self._check_returned(trial, recording) if not self.reading.chain else None
            return
        if isinstance(final, Integrating):
            theirs = None if last.potential is None or layer.spikes != final.path else last.potential[-1]
        else:
            theirs = last.left.sum(axis=0)
        if theirs is None or len(theirs) > len(trial.scores):
            return
        ours = trial.scores[: len(theirs)]
        apart = np.abs(ours - theirs)
        if (apart > _SCORES * max(1.0, float(np.abs(theirs).max()))).any():
            neuron, step = int(apart.argmax()), len(recording.frames) - 1
            found = f"its score is {ours[neuron]:.6g} here and {theirs[neuron]:.6g} there"
            raise ConversionError(
                layer.path, found, "the readout does something else there", f"read its last layers, or {MEANT}", step, neuron
            )

    def _check_returned(self, trial: Trial, recording: Recording) -> None:
        """The scores beside what forward gives, summed over the steps, or its last potential."""
        shown = [np.asarray(each, np.float64) for each in recording.returned]
        possible = [found for each in shown for found in (each.sum(axis=0), each[-1]) if len(found) <= len(trial.scores)]
        if not possible:
            return
        apart = [np.abs(trial.scores[: len(each)] - each) - _SCORES * max(1.0, float(np.abs(each).max())) for each in possible]
        if min(float(each.max()) for each in apart) > 0:
            worst = min(apart, key=lambda each: float(each.max()))
            neuron, found = int(worst.argmax()), f"its scores are {trial.scores} here, and there {possible[0]}"
            cause, remedy = "forward goes on with what no readout does", f"return what the last layer gives, or {MEANT}"
            raise ConversionError("forward", found, cause, remedy, len(recording.frames) - 1, neuron)


def _in_order(recording: Recording) -> list[Use]:
    """What was used, in the order of use."""
    return sorted((use for use in recording.uses if use is not None), key=lambda use: use.began)
