"""The experiments of the two papers as declarations, and what runs them: see run.py."""
