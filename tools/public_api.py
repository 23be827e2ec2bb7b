"""The public names of tp_lava with their signatures, read from the source without importing anything.

    python tools/public_api.py            # writes tests/public_api.txt
    python tools/public_api.py --print

Public is what a package's __init__ re-exports (`from module import name as name`) or a module defines without a leading
underscore. Classes are listed with their fields, and with public methods and properties, inherited ones from tp_lava included.
tests/test_public_api.py compares the file with what this finds, so that no name or default changes by accident.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTING = ROOT / "tests" / "public_api.txt"
MODULES = tuple(
    f"tp_lava{name}"
    for name in (
        "",
        ".continual",
        ".incremental",
        ".data",
        ".lava",
        ".processes",
        ".torch",
        ".plots",
        ".deploy",
        ".deploy.loihi2",
        ".report",
        ".ranges",
        ".rules",
        ".graph.network",
        ".graph.connections",
        ".circuit",
        ".backends.protocol",
    )
)
Definition = tuple[str, ast.AST]  # the module it is in, and itself


def path_of(module: str) -> Path:
    """The file of a module or package."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@lru_cache
def _names(module: str) -> dict[str, ast.AST]:
    """Every name that a module has at its top -> what gives it."""
    names: dict[str, ast.AST] = {}
    for node in ast.parse(path_of(module).read_text()).body:
        match node:
            case ast.ImportFrom():
                names |= {alias.asname or alias.name: node for alias in node.names}
            case ast.ClassDef() | ast.FunctionDef():
                names[node.name] = node
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names[name] = node
    return names


def _public(module: str) -> Iterator[str]:
    for name, node in _names(module).items():
        re_exported = isinstance(node, ast.ImportFrom) and any(alias.asname == name for alias in node.names)
        if not name.startswith("_") and (re_exported or not isinstance(node, ast.ImportFrom)):
            yield name


def _found(module: str, name: str) -> Definition | None:
    """Where a name is defined within tp_lava; None for names of other packages and for modules."""
    node = _names(module).get(name)
    if not isinstance(node, ast.ImportFrom):
        return (module, node) if node else None
    if not node.module or not node.module.startswith("tp_lava") or node.module == module:
        return None
    original = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
    return _found(node.module, original)


def _signature(node: ast.FunctionDef, name: str = "") -> str:
    arguments = ast.unparse(node.args)
    for own in ("self", "cls"):
        arguments = arguments.removeprefix(own).removeprefix(", ") if arguments.split(",")[0] == own else arguments
    returned = f" -> {ast.unparse(node.returns)}" if node.returns and not name else ""
    return f"{name or node.name}({arguments}){returned}"


def _member(node: ast.AST) -> tuple[str, str] | None:
    """Name and description of a public member of a class."""
    match node:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return (name, ast.unparse(node)) if not name.startswith("_") else None
        case ast.FunctionDef(name=name) if not name.startswith("_"):
            kinds = [ast.unparse(decorator) for decorator in node.decorator_list]
            if "property" in kinds:
                return name, f"{name}{f': {ast.unparse(node.returns)}' if node.returns else ''}  (property)"
            if any(kind.endswith(".setter") for kind in kinds):
                return f"{name} =", f"{name} = ...  (can be set)"
            return name, _signature(node)
    return None


def _members(module: str, node: ast.ClassDef) -> dict[str, str]:
    """Of the class and of those of tp_lava that it inherits."""
    members = dict(filter(None, map(_member, node.body)))
    for base in node.bases:
        inherited = _found(module, ast.unparse(base).split("[")[0])
        if inherited and isinstance(inherited[1], ast.ClassDef):
            members |= {name: text for name, text in _members(inherited[0], inherited[1]).items() if name not in members}
    return members


def _initialiser(module: str, node: ast.ClassDef) -> str:
    """Parameters of a class's own or inherited __init__, if it has one written out."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return _signature(part, node.name)
    for base in node.bases:
        inherited = _found(module, ast.unparse(base).split("[")[0])
        if inherited and isinstance(inherited[1], ast.ClassDef):
            found = _initialiser(inherited[0], inherited[1])
            if found:
                return node.name + found[found.index("(") :]
    return ""


def _is_field(text: str) -> bool:
    return not text.endswith(")") and "(" not in text.split(":")[0].split("=")[0]


def _described(module: str, name: str) -> list[str]:
    definition = _found(module, name)
    match definition:
        case None:
            return [f"{name}  (module)"]
        case where, ast.ClassDef() as node:
            frozen = "".join(f"@{ast.unparse(decorator)} " for decorator in node.decorator_list)
            bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
            made = _initialiser(where, node)
            members = sorted(_members(where, node).values(), key=lambda text: "" if _is_field(text) else text)  # fields in order
            return [f"{frozen}class {name}{bases}", *(f"    {text}" for text in ([made] if made else []) + members)]
        case _, ast.FunctionDef() as node:
            return [f"def {_signature(node)}"]
        case _, node:
            return [ast.unparse(node)]


def listing() -> str:
    """All of it, one section a module."""
    lines: list[str] = []
    for module in MODULES:
        lines += ["", f"# {module}"]
        for name in sorted(_public(module)):
            lines += _described(module, name)
    return "\n".join(lines).lstrip() + "\n"


def main() -> None:
    """Write or print the listing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print it instead")
    if parser.parse_args().print:
        print(listing(), end="")
    else:
        LISTING.write_text(listing())
        print(f"{LISTING.relative_to(ROOT)}: {len(listing().splitlines())} lines")


if __name__ == "__main__":
    main()
