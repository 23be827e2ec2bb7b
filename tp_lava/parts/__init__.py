"""A network taken apart as hardware has it: connections, populations, credits, labels and a readout.

Each part has operations and arrays of its own.

Run in step with each other, with what each needs handed on, the parts do what the engine does, bit for bit in fixed point.
"""
