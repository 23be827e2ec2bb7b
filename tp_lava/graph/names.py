"""Names of weights, populations and buffers: made here, and nowhere taken apart."""

from __future__ import annotations

INPUT = "input"  # the population of the network's inputs
READOUT = "readout"  # weights of the readout, and the population they reach
READOUT_BIAS = "readout_bias"


def hidden(number: int) -> str:
    """Hidden population `number`, and the weights that reach it from the population before."""
    return f"hidden{number}"


def recurrent(number: int) -> str:
    """Weights from hidden population `number` to itself, one step later."""
    return f"recurrent{number}"


def bias(number: int) -> str:
    """Biases of hidden population `number`."""
    return f"bias{number}"


def further(number: int, pre: str, place: int) -> str:
    """Weights that reach hidden population `number` from another population than the first, or by connection `place` from there."""
    return f"{hidden(number)}_from_{pre}{f'_{place}' if place else ''}"


def of_rule(weights: str, population: str) -> str:
    """Weights of such a name that a rule brings along, into another population than the first."""
    return f"{weights}_{population}"


RELAY = "relay"  # a population that hands on spikes of several others in the same step, for the readout sees one population
