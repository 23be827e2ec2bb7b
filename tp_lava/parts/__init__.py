"""A network taken apart as hardware has it: connections, populations, credits, labels, readout, each with arrays of its own.

Run in step with each other, with what each needs handed on, the parts do what the engine does, bit for bit in fixed point.
"""
