"""Pictures. Every function takes the matplotlib Axes to draw on as its first argument and returns it.

The caller chooses the size, and shows or writes the figure, as in `plots.raster(plt.subplots()[1], outcome)`. Wrong input raises
InvalidValueError. Colours are those of Okabe and Ito, safe for the colour-blind: see `style`.
"""

from tp_lava.plots.accuracy import accuracy_against_bits as accuracy_against_bits
from tp_lava.plots.accuracy import accuracy_against_memory as accuracy_against_memory
from tp_lava.plots.accuracy import accuracy_over_samples as accuracy_over_samples
from tp_lava.plots.accuracy import accuracy_over_sessions as accuracy_over_sessions
from tp_lava.plots.accuracy import confusion as confusion
from tp_lava.plots.activity import events as events
from tp_lava.plots.activity import lanes as lanes
from tp_lava.plots.activity import raster as raster
from tp_lava.plots.activity import traces as traces
from tp_lava.plots.fixedpoint import RangeEntry as RangeEntry
from tp_lava.plots.fixedpoint import divergence as divergence
from tp_lava.plots.fixedpoint import quantisation as quantisation
from tp_lava.plots.fixedpoint import range_bars as range_bars
from tp_lava.plots.fixedpoint import rounding as rounding
from tp_lava.plots.fixedpoint import spikes_apart as spikes_apart
from tp_lava.plots.hardware import CoreEntry as CoreEntry
from tp_lava.plots.hardware import core_map as core_map
from tp_lava.plots.hardware import network as network
from tp_lava.plots.learning import contrast as contrast
from tp_lava.plots.learning import third_factor as third_factor
from tp_lava.plots.learning import third_factors as third_factors
from tp_lava.plots.learning import trace_histogram as trace_histogram
from tp_lava.plots.learning import weight_changes as weight_changes
from tp_lava.plots.learning import weight_histogram as weight_histogram
from tp_lava.plots.learning import weights_over_time as weights_over_time
from tp_lava.plots.maps import kernels as kernels
from tp_lava.plots.maps import maps as maps
from tp_lava.plots.style import COLOURS as COLOURS
