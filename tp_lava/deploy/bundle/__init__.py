"""A learner as a folder to take to Loihi 2: a Lava script, weights, learning rules, listings, C, test vectors and instructions.

See docs/bundle.md. Nothing in it was run on a chip.
"""

from tp_lava.deploy.bundle.writing import export_loihi2 as export_loihi2
