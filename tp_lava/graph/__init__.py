"""The network: populations, connections, names."""
