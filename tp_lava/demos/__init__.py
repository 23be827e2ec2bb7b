"""Demonstrations: a network trained in PyTorch adapts to another sensor, and an untrained one learns from scratch."""
