"""The functions of a C source: programs, their tables, and helpers of operations, each made once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from tp_lava.backends.c.program import CFunction, literal, program_function
from tp_lava.backends.scalar import tables_of
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Program
from tp_lava.templates import template

PACKAGE = "tp_lava.backends.c"


class Functions:
    """sources: of the functions asked for so far, in an order in which C takes them."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self._helpers = template(PACKAGE, "helpers.c.jinja").module
        self._names: dict[object, str] = {}
        self._counts = Counter[str]()

    def helper(self, kind: str, **parameters: object) -> str:
        """The name of a function of templates/helpers.c.jinja, for these parameters."""
        return self._named(kind, (kind, *parameters.items()), lambda name: getattr(self._helpers, kind)(name, **parameters))

    def program(self, program: Program, types: Mapping[str, str]) -> tuple[str, CFunction]:
        """A program as a function, and its name. types: C type of the array of each port. Raises InvalidValueError."""
        function = program_function(program, types, {table: self._table(table) for table in tables_of(program)})
        return self._named("program", function, lambda name: f"/* {program.name} */\n{function.source(name)}"), function

    def _table(self, table: Piecewise) -> str:
        segments = tuple(tuple(map(literal, row)) for row in zip(table.start, table.offset, table.slope, strict=True))
        return self.helper("table", told=str(table), segments=segments, shift=table.shift)

    def _named(self, kind: str, key: object, source: Callable[[str], str]) -> str:
        if key not in self._names:
            self._names[key] = f"{kind}{self._counts[kind]}"
            self._counts[kind] += 1
            self.sources.append(source(self._names[key]))
        return self._names[key]


def prelude(code: str) -> str:
    """The helpers of expressions that a source uses."""
    return template(PACKAGE, "prelude.c.jinja").render(code=code)
