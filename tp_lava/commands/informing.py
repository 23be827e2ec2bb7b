"""`tp-lava info`: what is installed here, what that enables, and how to install the rest."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any, NamedTuple

from tp_lava.commands.options import AsJson
from tp_lava.commands.printing import print_json, print_rows

_ALWAYS = ("numpy", "numba", "llvmlite", "safetensors", "scikit-learn", "matplotlib", "typer", "rich", "jinja2")
_FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "neon", "asimd", "sve")  # vector units, by LLVM's names
_COMPILERS = ("cc", "gcc", "clang")
_LAVA = 'pip install "tp-lava[lava]"'
_LAVA_LATER = f"{_LAVA} && pip install --no-deps --ignore-requires-python lava-nc==0.10.0"  # lava-nc says 3.10 only


class Package(NamedTuple):
    """What tp_lava works without. name: as pip knows it."""

    name: str
    enables: str
    install: str


OPTIONAL = (
    Package("lava-nc", "Processes, tpl.lava.run, tp-lava demo, --in-lava", _LAVA if sys.version_info < (3, 11) else _LAVA_LATER),
    Package("torch", "tp_lava.torch, converting modules and .pt files, all of compare-rules", 'pip install "tp-lava[torch]"'),
    Package("nir", "converting NIR graphs and .nir files, tpl.to_nir", 'pip install "tp-lava[nir]"'),
    Package("h5py", "SHD's .h5 files, SLAYER's .net files, tpl.lava.Recorder(path=...)", 'pip install "tp-lava[hdf5]"'),
    Package("tonic", "tonic's data sets, by tpl.data.from_tonic", "pip install tonic"),
)
_COMPILER = Package("C compiler", "building what tp-lava export writes", "gcc or clang, by your system's package manager")


def info(as_json: AsJson = False) -> None:
    """Versions, processor, and which optional packages are here, what each enables and how to install it."""
    told = gathered()
    if as_json:
        print_json(told)
        return
    processor = told["processor"]
    print_rows("versions", [{"": name, "version": version or "not installed"} for name, version in told["versions"].items()])
    print(f"{told['system']}, {processor['name']}, {processor['cores']} cores, of which {processor['usable']} usable")
    print(f"vector units: {', '.join(processor['features']) or 'none known'}")
    shown = [{"": row["name"], "version": row["version"] or "-", "enables": row["enables"]} for row in told["optional"]]
    print_rows("optional", shown, left=3)
    for row in told["optional"]:
        if row["version"] is None:
            print(f"to install {row['name']}: {row['install']}")


def gathered() -> dict[str, Any]:
    """All of it, as JSON-able values."""
    optional = [{**package._asdict(), "version": _version(package.name)} for package in OPTIONAL]
    optional.append({**_COMPILER._asdict(), "version": next(filter(None, map(shutil.which, _COMPILERS)), None)})
    return {"versions": dict(versions()), "system": platform.platform(), "processor": _processor(), "optional": optional}


def versions() -> Mapping[str, str | None]:
    """Of tp_lava, Python and what results may depend on; None where it is not installed. Nothing is imported."""
    packages = (*_ALWAYS, "lava-nc", "torch")
    return {"tp-lava": _version("tp-lava"), "python": platform.python_version(), **{name: _version(name) for name in packages}}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> dict[str, Any]:
    """As LLVM, which Numba compiles with, sees it."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = {"cores": os.cpu_count(), "usable": usable}
    return {"name": binding.get_host_cpu_name(), **cores, "features": [name for name in _FEATURES if features.get(name)]}
