"""The command line: the names of the commands, and the handling of errors. The commands themselves are in commands/."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import Annotated, Any

import typer

from tp_lava.commands.comparing import compare_rules
from tp_lava.commands.demonstrating import demo
from tp_lava.commands.deploying import export, map_model, ranges, report
from tp_lava.commands.evaluating import evaluate
from tp_lava.commands.files import convert_file, inspect
from tp_lava.commands.finetuning import finetune
from tp_lava.commands.incremental import continual
from tp_lava.commands.informing import info
from tp_lava.commands.options import BAD_INPUT, FAILED, INTERRUPTED
from tp_lava.commands.quantising import quantise
from tp_lava.commands.streaming import stream
from tp_lava.commands.sweeping import sweep, tune
from tp_lava.commands.training import train
from tp_lava.errors import LavaRunError, TpLavaError, invalid, printable

app = typer.Typer(no_args_is_help=True)
_UsageError: Any = typer.BadParameter.__mro__[1]  # click's, which some versions of typer vendor


@app.callback()
def _main(
    modules: Annotated[
        list[str] | None, typer.Option("--import", help="Module with a neuron or a rule of your own, for files that name it.")
    ] = None,
) -> None:
    """On-chip learning for Lava and Loihi-style neuromorphic hardware.

    Exit codes: 0 done, 1 the run failed, 2 wrong input, 130 interrupted.
    """
    if modules:
        sys.path.insert(0, os.getcwd())  # as with python -m
    for name in modules or ():
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise invalid(
                "tp-lava", "--import", repr(name), "a module that can be imported", f"see its name and folder ({error})"
            ) from None


app.command("demo")(demo)
app.command("train")(train)
app.command("sweep")(sweep)
app.command("tune")(tune)
app.command("eval")(evaluate)
app.command("convert")(convert_file)
app.command("inspect")(inspect)
app.command("finetune")(finetune)
app.command("quantise")(quantise)
app.command("compare-rules")(compare_rules)
app.command("continual")(continual)
app.command("stream")(stream)
app.command("export")(export)
app.command("ranges")(ranges)
app.command("map")(map_model)
app.command("report")(report)
app.command("info")(info)


def main() -> None:
    """Entry point. Each warning and error is one line on standard error instead of a traceback; an error sets the exit code."""
    with warnings.catch_warnings():
        warnings.showwarning = _print_line
        sys.exit(_run())


def _run() -> int:
    """-> the exit code."""
    try:
        return app(prog_name="tp-lava", standalone_mode=False) or 0
    except _UsageError as error:
        return _failed(BAD_INPUT, _usage(error))
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        return _failed(BAD_INPUT, f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except OSError as error:
        return _failed(FAILED, f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except LavaRunError as error:
        return _failed(FAILED, str(error))
    except MemoryError as error:
        return _failed(FAILED, f"not enough memory ({error}); use a smaller network, fewer samples, or a machine with more")
    except TpLavaError as error:
        return _failed(BAD_INPUT, str(error))
    except (KeyboardInterrupt, typer.Abort):
        return _failed(INTERRUPTED, "interrupted")


def _usage(error: Any) -> str:
    """Its message, with a hint at --help; empty where the help was printed instead."""
    message, context = error.format_message().rstrip("."), getattr(error, "ctx", None)
    return message and f"{message}; see {context.command_path if context else 'tp-lava'} --help."


def _print_line(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"tp-lava: {printable(' '.join(str(message).split()))}", file=sys.stderr)


def _failed(code: int, message: str) -> int:
    if message:
        _print_line(message)
    return code


if __name__ == "__main__":
    main()
