"""The experiments of the two papers as configurations, and the program that runs them: see run.py."""
