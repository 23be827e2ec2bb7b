"""tp_lava: supervised, multi-layer, on-chip learning for Lava and Loihi-style neuromorphic hardware."""

from tp_lava import data as data
from tp_lava import lava as lava
from tp_lava.data.events import Events as Events
from tp_lava.data.events import Sample as Sample
from tp_lava.dynamics.neuron import LIF as LIF
from tp_lava.dynamics.surrogate import ArcTan as ArcTan
from tp_lava.dynamics.surrogate import FastSigmoid as FastSigmoid
from tp_lava.dynamics.surrogate import Triangle as Triangle
from tp_lava.errors import ArchiveError as ArchiveError
from tp_lava.errors import InvalidValueError as InvalidValueError
from tp_lava.errors import LavaRunError as LavaRunError
from tp_lava.errors import LavaUnavailableError as LavaUnavailableError
from tp_lava.errors import NumberRangeError as NumberRangeError
from tp_lava.errors import TpLavaError as TpLavaError
from tp_lava.fixedpoint import FixedPoint as FixedPoint
from tp_lava.learner import Learner as Learner
from tp_lava.network import Layer as Layer
from tp_lava.network import Network as Network
from tp_lava.outcome import Outcome as Outcome
from tp_lava.rules import TP as TP
