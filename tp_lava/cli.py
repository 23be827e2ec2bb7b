"""The command line: every command by its name. What they take and do is in commands/, one module each."""

from __future__ import annotations

import sys

import typer

from tp_lava.commands.comparing import compare_rules
from tp_lava.commands.converting import convert_file
from tp_lava.commands.demonstrating import demo
from tp_lava.commands.exporting import export
from tp_lava.commands.finetuning import finetune
from tp_lava.commands.inspecting import inspect
from tp_lava.commands.quantising import quantise
from tp_lava.errors import TpLavaError

app = typer.Typer(help="On-chip learning for Lava and Loihi-style neuromorphic hardware.", no_args_is_help=True)


@app.callback()
def _main() -> None:
    """On-chip learning for Lava and Loihi-style neuromorphic hardware."""


app.command("demo")(demo)
app.command("convert")(convert_file)
app.command("inspect")(inspect)
app.command("quantise")(quantise)
app.command("finetune")(finetune)
app.command("compare-rules")(compare_rules)
app.command("export")(export)


def main() -> None:
    """Entry point: errors of ours are one message and exit code 2, not a traceback."""
    try:
        app()
    except (TpLavaError, FileNotFoundError) as error:
        print(f"tp-lava: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
