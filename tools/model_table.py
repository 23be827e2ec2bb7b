"""Which feature exists in which form, found by asking the code: every combination is built, none is run.

    python tools/model_table.py            # writes docs/model-table.md
    python tools/model_table.py --print

A form is a function that builds one case and lets the project's own errors through; a case is a network, a rule and how it is
optimised. What is refused is told in the words of the error. Needs Lava and PyTorch. A new form is one entry of FORMS.
"""

from __future__ import annotations

import argparse
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import tp_lava as tpl
from tp_lava.deploy import map_network
from tp_lava.deploy.c import export_c, library_of
from tp_lava.errors import TpLavaError, invalid
from tp_lava.graph.connections import AllToAll
from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Connection, Network
from tp_lava.rules import BaseRule, TargetProjection

PAGE = Path(__file__).resolve().parents[1] / "docs" / "model-table.md"
SIZES = (6, 5, 3)
_EACH = (0.5, 0.6, 0.7, 0.8, 0.9)  # one number for each hidden neuron
_STEPWISE = tpl.TESS(basis="walsh", update="step")
_HEAD = """# What works where

A row is a feature, a column a form in which a network runs. The table is made by building every combination and asking whether
it is refused: `python tools/model_table.py`, with Lava and PyTorch installed. A test compares this page with what the code says
now. The numbers in brackets are the reasons, below.

| form | |
|---|---|
| float, fixed | `tpl.Learner`, the engine |
| Lava | the whole network as one Process, `tpl.lava.run(...)`, in both number systems ([schedules](continual.md#in-lava): `play_in_lava`) |
| Lava, layers | one Process per part, `layers=True`, in both number systems |
| LearningDense | the hidden weights in stock Lava's learning engine, `layers="stock"`, in both number systems |
| PyTorch | `tp_lava.torch` |
| C | `tp_lava.deploy.export_c` |
| Loihi 2 | on paper: `tp_lava.deploy.map_network` finds no public limit broken, its learning engine's among them |

In fixed point the engine, Lava and C learn the same weights, bit for bit; of LearningDense see [processes.md](processes.md).
"""


@dataclass(frozen=True)
class Case:
    """What is built. settings: further keyword arguments of whatever learns, by the Learner's names."""

    network: Network
    rule: BaseRule | None = field(default_factory=lambda: tpl.TP(contrast=2))
    settings: Mapping[str, Any] = field(default_factory=dict)


# Forms ------------------------------------------------------------------------------------------


def _engine(precision: str) -> Callable[[Case], object]:
    return lambda case: tpl.Learner(case.network, case.rule, precision, **case.settings)  # type: ignore[arg-type]


def _takes(thing: Callable, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a thing has no parameter for."""
    for name in settings:
        if name not in inspect.signature(thing).parameters:
            raise invalid(thing.__qualname__.split(".")[0], name, "given", "left out", "it has none: plain SGD at constant rates")


def _process(case: Case, **options: object) -> Any:
    from tp_lava.processes import OnChipLearner

    by_host = () if options.get("stock") else ("schedule",)  # play_in_lava sets its rates
    _takes(OnChipLearner.__init__, {name: value for name, value in case.settings.items() if name not in by_host})
    return OnChipLearner(case.network, case.rule, **options)  # type: ignore[arg-type]


def _in_lava(case: Case) -> None:
    _process(case)
    for precision in ("float", "fixed"):
        _engine(precision)(case)


def _in_layers(case: Case, stock: bool = False) -> None:
    from tp_lava.models.hierarchy import SubOnChipLearnerFixed, SubOnChipLearnerFloat

    for opened in (SubOnChipLearnerFloat, SubOnChipLearnerFixed):
        opened(_process(case, stock=stock))


def _in_torch(case: Case) -> None:
    from tp_lava import torch as tt

    module, rule, settings = tt.SpikingNetwork(case.network), case.rule, dict(case.settings)
    if "schedule" in settings:
        _takes(tt.fit, {"schedule": settings.pop("schedule")})
    if rule is not None:
        tt.trainer_of(rule)(module, rule, **settings)


def _in_c(case: Case) -> None:
    _takes(export_c, {name: value for name, value in case.settings.items() if name == "schedule"})
    library_of(tpl.Learner(case.network, case.rule, "fixed", **case.settings), "network")


def _on_loihi2(case: Case) -> None:
    _takes(map_network, case.settings)
    map_network(case.network, case.rule).require()


FORMS: Mapping[str, Callable[[Case], object]] = {
    "float": _engine("float"),
    "fixed": _engine("fixed"),
    "Lava": _in_lava,
    "Lava, layers": _in_layers,
    "LearningDense": lambda case: _in_layers(case, stock=True),
    "PyTorch": _in_torch,
    "C": _in_c,
    "Loihi 2": _on_loihi2,
}

# Features ---------------------------------------------------------------------------------------


def _dense(sizes: tuple[int, ...] = SIZES, **options: Any) -> Network:
    return Network.dense(sizes, **options)


def _biased(**options: Any) -> Network:
    network = _dense(**options)
    return network.with_weights({"bias0": np.full(SIZES[1], 0.1), "readout_bias": np.full(SIZES[-1], 0.1)})


def _maps(*layers: Any, **options: Any) -> Network:
    """Layers over (1, 6, 6) inputs, below one from all to all."""
    return Network.sequential((1, 6, 6), (*layers, tpl.Dense(5)), 3, **options)


def _joined(recurrent: bool = False) -> Network:
    """Two layers and a connection more: from the input to the second or, recurrent, from the second back to the first."""
    chain = _dense((SIZES[0], SIZES[1], 5, SIZES[-1]))
    first, second = (population.name for population in chain.populations)
    pre, post = (second, first) if recurrent else (INPUT, second)
    more = Connection("more", pre, post, AllToAll(chain.size_of(pre), chain.size_of(post)), recurrent)
    weights = {**chain.weights, "more": np.full(more.kind.weight_shape, 0.1)}
    return replace(chain, connections=(*chain.connections, more), weights=weights)


def _delayed() -> Network:
    """One delay a unit into the layer, and a recurrent connection that is delayed too."""
    network = _dense(recurrent=True, delays=np.arange(SIZES[0]))
    back = tpl.Delays.of(2, SIZES[1])
    return replace(network, connections=tuple(replace(c, delays=back) if c.recurrent else c for c in network.connections))


def _family() -> dict[str, BaseRule]:
    """The rules beside TP and TESS, and one of parts."""
    return {
        "S-TLLR, random feedback": tpl.STLLR(),
        "S-TLLR, error carried back": tpl.STLLR(feedback="backward"),
        "ETLP": tpl.ETLP(),
        "DECOLLE": tpl.DECOLLE(),
        "OTTT, error carried back": tpl.OTTT(),
        "OTTT, random feedback": tpl.OTTT(feedback="random"),
        "SLTT, error carried back": tpl.SLTT(),
        "SLTT, random feedback": tpl.SLTT(feedback="random"),
        "e-prop, random feedback": tpl.EProp(),
        "e-prop, filtered: a state per synapse": tpl.EProp(filter=0.9),
        "e-prop, symmetric feedback": tpl.EProp(feedback="symmetric"),
        "OSTL, error carried back": tpl.OSTL(),
        "OSTL, random feedback": tpl.OSTL(feedback="random"),
        "OSTTP": tpl.OSTTP(),
        "of parts: target projection, spike trace": tpl.Rule(TargetProjection(), (tpl.Term("spike_trace", "spike"),)),
    }


def _neurons() -> dict[str, Case]:
    neurons = {
        "LIF, TP's": tpl.LIF(),
        "LIF, TESS's": tpl.TESS.neuron(),
        'comparison ">"': tpl.LIF(comparison=">"),
        'reset "zero"': tpl.LIF(reset="zero"),
        "reset by another amount": tpl.LIF(reset_by=0.5),
        "synaptic current": tpl.LIF(current_decay=0.5),
        "no leak (decay 1)": tpl.LIF(decay=1.0),
        "surrogate Triangle": tpl.LIF(surrogate=tpl.Triangle()),
        "surrogate FastSigmoid": tpl.LIF(surrogate=tpl.FastSigmoid()),
        "one decay and threshold a neuron": tpl.LIF(_EACH, _EACH),
        "adaptive threshold": tpl.LIF(adaptation=0.1),
        "refractory time": tpl.LIF(refractory=2),
    }
    return {name: Case(_dense(neuron=neuron)) for name, neuron in neurons.items()} | {
        "one trace decay a neuron": Case(_dense(trace_decay=[_EACH])),
        "adaptive threshold, e-prop: a state per synapse": Case(_dense(neuron=tpl.LIF(adaptation=0.1)), tpl.EProp()),
        "all of these, TESS": Case(_dense(neuron=tpl.LIF(_EACH, adaptation=0.1, refractory=2)), _STEPWISE),
        "biases": Case(_biased()),
        "biases, TESS (it learns them)": Case(_biased(), _STEPWISE),
        "bias of the current": Case(_biased(neuron=tpl.LIF(current_decay=0.5, bias_to="current"))),
    }


def _networks() -> dict[str, Case]:
    plain, deep = _dense(), _dense((6, 5, 4, 3))
    return {
        "infers, no rule": Case(plain, None),
        "two hidden layers, TP": Case(deep),
        "two hidden layers, TESS": Case(deep, _STEPWISE),
        "recurrent, TP": Case(_dense(recurrent=True)),
        "recurrent, TESS": Case(_dense(recurrent=True), _STEPWISE),
        "leaky scores": Case(replace(plain, readout_decay=0.9)),
        "a connection that skips a layer": Case(_joined()),
        "feedback from a layer above": Case(_joined(recurrent=True)),
        "graded input": Case(replace(plain, input_format=tpl.Format(8, 4))),
        "delays, TP": Case(_delayed()),
        "delays, TESS": Case(_delayed(), _STEPWISE),
        "copies of the input at several delays": Case(_dense(delays=np.arange(0, 12, 4)[:, None])),
        "one delay a synapse": Case(_dense(delays=tpl.SynapticDelays.of(np.arange(30).reshape(5, 6)))),
    }


def _convolutions() -> dict[str, Case]:
    convolution = tpl.Conv2d(2, 3, padding=1)
    maps = {
        "learns, weights shared": _maps(convolution),
        "learns, not shared": _maps(tpl.LocalConv2d(2, 3)),
        "strides, dilation, groups": _maps(convolution, tpl.Conv2d(4, 2, stride=2, dilation=2, groups=2)),
        "after a sum pooling of the input": _maps(tpl.SumPool2d(2), convolution),
        "maximum pooling": _maps(convolution, tpl.MaxPool2d(2)),
        "average pooling": _maps(convolution, tpl.AvgPool2d(2)),
        "sum pooling": _maps(convolution, tpl.SumPool2d(2)),
        "adaptive average pooling": _maps(convolution, tpl.AdaptiveAvgPool2d(2)),
        "standardised weights": _maps(replace(convolution, standardised=True)),
        "graded input": _maps(convolution, input_format=tpl.Format(8, 4)),
        "one decay a channel": _maps(replace(convolution, neuron=tpl.LIF((0.9, 0.8)))),
    }
    return {
        "infers": Case(_maps(tpl.SumPool2d(2), convolution), None),
        "frozen, a layer above learns": Case(_maps(convolution), tpl.TP((0.0, 1e-3), contrast=2)),
        **{
            f"{name}, {type(rule).__name__}": Case(network, rule)
            for name, network in maps.items()
            for rule in (tpl.TP(contrast=2), _STEPWISE)
        },
        "S-TLLR, random feedback": Case(maps["learns, weights shared"], tpl.STLLR()),
        "S-TLLR, error carried back": Case(_maps(convolution, tpl.MaxPool2d(2)), tpl.STLLR(feedback="backward")),
        "S-TLLR, error carried back through maps": Case(maps["strides, dilation, groups"], tpl.STLLR(feedback="backward")),
        "OSTTP: a state per synapse": Case(maps["learns, weights shared"], tpl.OSTTP()),
    }


def _rules() -> dict[str, BaseRule]:
    return {
        "TP, K = 2": tpl.TP(contrast=2),
        "TP, K = all": tpl.TP(contrast="all"),
        "TP, label projection learns": tpl.TP(contrast=2, train_target=True),
        "TP, applied at a sample's end": tpl.TP(contrast=2, update="sequence"),
        "TP, readout alone learns": tpl.TP(rate=0.0, contrast=2),
        "TP, no readout: Match": tpl.TP(contrast=2, readout=tpl.Match()),
        "TESS, each step": _STEPWISE,
        "TESS, applied at a sample's end": tpl.TESS(basis="walsh"),
        "TESS, published basis": tpl.TESS(update="step"),
        "TESS, causal term alone": replace(_STEPWISE, acausal=0.0),
        "TESS, acausal term alone": replace(_STEPWISE, causal=0.0),
        "TESS, error from traces": replace(_STEPWISE, activity="trace", temperature=0.05),
        "TESS, last steps alone": replace(_STEPWISE, learn_last=3),
        **_family(),
    }


def _readouts() -> dict[str, tpl.Readout]:
    return {
        "leaky (TP's default)": tpl.Readout(decay=0.98),
        "as published with TP": tpl.Readout(),
        "as published with TESS": tpl.Readout(decay=0.0, features="spike"),
        "normalised, temperature": tpl.Readout(temperature=0.5, normalised=True),
        "spike counts, once a sample": tpl.Readout(features="count", learn_last=1),
    }


def _optimisers() -> dict[str, dict[str, Any]]:
    return {
        "plain SGD": {},
        "SGD with momentum": {"optimiser": tpl.SGD(0.9)},
        "Adam": {"optimiser": tpl.Adam()},
        "one per layer": {"optimiser": {"hidden0": tpl.Adam(), "readout": tpl.SGD()}},
        "schedule Cosine": {"schedule": tpl.Cosine(3)},
        "schedule Plateau": {"schedule": tpl.Plateau()},
    }


def _features() -> dict[str, dict[str, Case]]:
    """Group -> feature -> a case that has it."""
    plain = _dense()
    return {
        "Neuron": _neurons(),
        "Network": _networks(),
        "Convolutions": _convolutions(),
        "Rule": {name: Case(plain, rule) for name, rule in _rules().items()},
        "Readout": {name: Case(plain, tpl.TP(contrast=2, readout=readout)) for name, readout in _readouts().items()},
        "Optimiser": {name: Case(plain, settings=settings) for name, settings in _optimisers().items()},
    }


# The page ---------------------------------------------------------------------------------------


def _answer(form: Callable[[Case], object], case: Case, reasons: dict[str, int]) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            form(case)
    except TpLavaError as error:
        return f"no [{reasons.setdefault(str(error), len(reasons) + 1)}]"
    return "yes"


def page() -> str:
    """The page's text."""
    lines, reasons = [_HEAD], dict[str, int]()
    for group, features in _features().items():
        lines += [f"## {group}", "", f"| | {' | '.join(FORMS)} |", "|---" * (len(FORMS) + 1) + "|"]
        for name, case in features.items():
            lines.append(f"| {name} | {' | '.join(_answer(form, case, reasons) for form in FORMS.values())} |")
        lines.append("")
    lines += ["## Reasons", "", "In the words of the error that whoever asks for it gets.", ""]
    lines += [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write or print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print it instead")
    if parser.parse_args().print:
        print(page(), end="")
    else:
        PAGE.write_text(page())
        print(f"wrote docs/{PAGE.name}")


if __name__ == "__main__":
    main()
