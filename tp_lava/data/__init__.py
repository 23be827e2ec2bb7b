"""Data: recordings as Events, an embedded data set, and adapters. No network knowledge."""

from tp_lava.data.arrays import from_arrays as from_arrays
from tp_lava.data.arrays import load_samples as load_samples
from tp_lava.data.arrays import save_samples as save_samples
from tp_lava.data.binning import Arrival as Arrival
from tp_lava.data.binning import in_steps as in_steps
from tp_lava.data.camera import EventCamera as EventCamera
from tp_lava.data.class_names import class_names as class_names
from tp_lava.data.digits import digits as digits
from tp_lava.data.events import Events as Events
from tp_lava.data.events import Sample as Sample
from tp_lava.data.recordings import Recordings as Recordings
from tp_lava.data.recordings import from_nmnist as from_nmnist
from tp_lava.data.recordings import from_shd as from_shd
from tp_lava.data.recordings import from_spike_lists as from_spike_lists
from tp_lava.data.tonic import from_tonic as from_tonic
