"""Processes that do nothing but what Lava makes every Process do: the cost of its synchronisation, for tools/bench.py."""
