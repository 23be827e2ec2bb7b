"""Circuits: a network and a rule as buffers with owners and the operations of a time step, in their order."""

from tp_lava.circuit.buffers import Buffer as Buffer
from tp_lava.circuit.buffers import Owner as Owner
from tp_lava.circuit.circuit import Circuit as Circuit
from tp_lava.circuit.operations import Accumulate as Accumulate
from tp_lava.circuit.operations import AccumulateProducts as AccumulateProducts
from tp_lava.circuit.operations import CountSteps as CountSteps
from tp_lava.circuit.operations import Delay as Delay
from tp_lava.circuit.operations import ListEvents as ListEvents
from tp_lava.circuit.operations import MarkEvents as MarkEvents
from tp_lava.circuit.operations import Operation as Operation
from tp_lava.circuit.operations import Pool as Pool
from tp_lava.circuit.operations import PresentLabels as PresentLabels
from tp_lava.circuit.operations import RunProgram as RunProgram
from tp_lava.circuit.operations import Unpool as Unpool
from tp_lava.circuit.operations import UpdateWeights as UpdateWeights
