"""The rules of the tests by hand, in float64 from their equations: a delta rule, and its variants by one part each."""

import numpy as np
from output_error_rule import OutputError


def learned_by_hand(network, rule, events, label):
    """The hidden weights and readout after one sample."""
    weights = {name: np.array(array, float) for name, array in network.weights.items()}
    classes, one_hot = network.n_classes, np.eye(network.n_classes)[label]
    states = {p.name: {key: np.zeros(p.size) for key in "vse"} for p in network.populations}
    pre = {c.name: {key: np.zeros(c.kind.n_inputs) for key in ("x1", "x2")} for c in network.connections}
    eligibility = {c.name: np.zeros(c.kind.weight_shape) for c in network.connections}
    potential, term = np.zeros(classes), rule.terms[0]
    for spikes in events.to_dense().astype(float):
        now, spoken = {"input": spikes}, {}
        for population in network.populations:
            before = {name: state["s"] for name, state in states.items()}
            arriving = 0.0
            for c in network.into(population):
                x = before[c.pre] if c.recurrent else now[c.pre]
                arriving = arriving + weights[c.name] @ x
                pre[c.name]["x0"] = x
                pre[c.name]["x1"] = rule.pre_decay * pre[c.name]["x1"] + x
                pre[c.name]["x2"] = rule.second_decay * pre[c.name]["x2"] + pre[c.name]["x1"]
            psi, e = _neurons(population, states[population.name], arriving)
            now[population.name] = states[population.name]["s"]
            spoken[population.name] = psi
            if not isinstance(rule, OutputError):
                signs = _signs(rule, network, population)
                delta = (signs @ e / population.size - one_hot) @ signs
                _change(network, population, rule, term, weights, pre, eligibility, psi, delta)
        potential, error = _read_out(network, rule, weights, states, potential, one_hot)
        if isinstance(rule, OutputError):
            for population in network.populations:
                delta = error @ _signs(rule, network, population)
                _change(network, population, rule, term, weights, pre, eligibility, spoken[population.name], delta)
    return weights


def _signs(rule, network, population):
    number = network.populations.index(population)
    return np.random.default_rng((rule.seed, number)).choice((-1, 1), (network.n_classes, population.size))


def _neurons(population, state, arriving):
    """One step. -> psi and the spike trace."""
    neuron = population.neuron
    before_reset = neuron.decay * state["v"] + arriving
    state["s"] = (before_reset >= neuron.threshold) * 1.0
    state["v"] = before_reset - neuron.threshold * state["s"]
    state["e"] = population.trace_decay * state["e"] + state["s"]
    return neuron.surrogate.profile(np.abs(before_reset - neuron.threshold)), state["e"]


def _change(network, population, rule, term, weights, pre, eligibility, psi, delta):
    for c in network.into(population):
        x = pre[c.name][{"spike": "x0", "trace": "x1", "second_trace": "x2"}[term.pre]]
        if term.filter:
            eligibility[c.name] = term.filter * eligibility[c.name] + np.outer(psi, x)
            weights[c.name] -= rule.rate * delta[:, None] * eligibility[c.name]
        else:
            weights[c.name] -= rule.rate * np.outer(delta * psi, x)


def _read_out(network, rule, weights, states, potential, one_hot):
    """The readout learns by the last population's trace. -> its potential and error."""
    last = states[network.readout.pre]
    potential = rule.readout.decay * potential + weights["readout"] @ last["s"]
    powers = np.exp(potential - potential.max())
    error = powers / powers.sum() - one_hot
    weights["readout"] -= rule.readout_rate * np.outer(error, last["e"])
    return potential, error
