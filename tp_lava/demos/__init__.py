"""Demonstrations: a PyTorch-trained network meets another sensor, and a blank one learns from scratch."""
