"""A network on Loihi 2: the count of every neuron program and the place of everything else, or one program's listing.

    uv run python tools/listings.py digits --rule tp
    uv run python tools/listings.py digits --rule tess --program hidden0_third_factors
    uv run python tools/listings.py network.tplava --registers 6 --branch-free --notes

What a listing is, and is not: docs/loihi2.md.
"""

from __future__ import annotations

import argparse
import sys
import warnings

import tp_lava as tpl
from tp_lava.backends.loihi2 import REGISTERS, circuit_listings
from tp_lava.commands.named import fine_tuning_rule, model_named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a .tplava file, any file that convert takes, or digits or digits_0_to_8, which ship")
    parser.add_argument("--rule", choices=("tp", "tess", "none"), default="tp")
    parser.add_argument("--program", help="print the listing of this one")
    parser.add_argument("--registers", type=int, default=REGISTERS)
    parser.add_argument("--branch-free", action="store_true", help="selects in place of skips and jumps")
    parser.add_argument("--notes", action="store_true", help="how each operation goes where it goes")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rule = None if args.rule == "none" else fine_tuning_rule(args.rule, None, None)
    inference, learning = tpl.Learner(model_named(args.model, 0), rule, "fixed").circuits
    made = circuit_listings(learning or inference, registers=args.registers, branch_free=args.branch_free)
    if args.program is None:
        print(made.table(), end="")
        for p in made.placements if args.notes else ():
            print(f"{p.what}: {p.place}; {p.note}")
    elif args.program in made.listings:
        print(made.listings[args.program].text(), end="")
    else:
        sys.exit(f"no program {args.program}; there are {', '.join(made.listings)}")


if __name__ == "__main__":
    main()
