"""Loihi 2: neuron programs as listings of its publicly listed instructions, and an emulator of those listings.

A listing is for review and for counting, in a syntax of our own (see listing.py); it cannot be assembled. The emulator carries out
the listing's instructions and equals the interpreter bit for bit. See docs/loihi2.md.
"""

from tp_lava.backends.loihi2.circuits import CircuitListings as CircuitListings
from tp_lava.backends.loihi2.circuits import Loihi2 as Loihi2
from tp_lava.backends.loihi2.circuits import Placement as Placement
from tp_lava.backends.loihi2.circuits import circuit_listings as circuit_listings
from tp_lava.backends.loihi2.circuits import emulate_step as emulate_step
from tp_lava.backends.loihi2.compiling import compile_program as compile_program
from tp_lava.backends.loihi2.emulator import emulate as emulate
from tp_lava.backends.loihi2.learning_engine import learning_string as learning_string
from tp_lava.backends.loihi2.learning_engine import loihi_string as loihi_string
from tp_lava.backends.loihi2.listing import REGISTERS as REGISTERS
from tp_lava.backends.loihi2.listing import Counts as Counts
from tp_lava.backends.loihi2.listing import Listing as Listing
