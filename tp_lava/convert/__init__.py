"""Networks of other programs: read into one intermediate form (stages.py), then made into a Network.

One module per format; each reads, says what became of every parameter, and refuses what cannot be carried over.
"""
