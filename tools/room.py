"""What room for weights to grow costs, and what it is good for: the shipped digits quantised with a rule, then taught a mirrored sensor.

    uv run python tools/room.py
    uv run python tools/room.py --bits 8 4 --epochs 10

Prints a table for docs/howto/quantise.md: for each number of bits and each room_to_learn the test accuracy before,
and that on the new sensor after learning it from 5 recordings a digit.
"""

from __future__ import annotations

import argparse
import warnings

import tp_lava as tpl
from tp_lava.data.sensors import through
from tp_lava.finetuning import few
from tp_lava.pretrained import pretrained

ROOMS = (1.0, 2.0, 4.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 6, 5, 4, 3])
    parser.add_argument("--epochs", type=int, default=20)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", tpl.QuantisationWarning)  # that few bits silence a layer is what is to be seen
    print("| bits | " + " | ".join(f"room {room:g}" for room in ROOMS) + " |")
    print("|---" * (len(ROOMS) + 1) + "|")
    for bits in asked.bits:
        print(f"| {bits} | " + " | ".join(measured(bits, room, asked.epochs) for room in ROOMS) + " |", flush=True)


def measured(bits: int, room: float, epochs: int) -> str:
    """-> "before, after"."""
    train, test = tpl.data.digits()
    rule = tpl.TP(1e-3, 5e-4, contrast="all")
    q = tpl.quantise(tpl.convert(pretrained()), train[:64], weight_bits=bits, rule=rule, room_to_learn=room, check_ranges=False)
    new, new_test = through("mirrored", few(train, shots=5)), through("mirrored", test)
    tuned = tpl.finetune(q.network, new, new_test, rule=rule, old_test=test, precision=q.fixed, epochs=epochs)
    return f"{tuned.old_before:.3f}, {tuned.after:.3f}"


if __name__ == "__main__":
    main()
