"""`tp-lava info`: versions, the processor, and optional packages: what each enables and how to install it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any, NamedTuple

from tp_lava.backends.code_folder import OFF, VARIABLE, code_folder
from tp_lava.commands import options
from tp_lava.commands.printing import print_json, print_rows
from tp_lava.errors import TORCH_CPU_BUILD

_ALWAYS = ("numpy", "numba", "llvmlite", "safetensors", "scikit-learn", "matplotlib", "typer", "rich", "jinja2")
_FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "neon", "asimd", "sve")  # vector units, by LLVM's names
_COMPILERS = ("cc", "gcc", "clang")
_LAVA = 'pip install "tp-lava[lava]"'
_LAVA_LATER = f"{_LAVA} && pip install --no-deps --ignore-requires-python lava-nc==0.10.0"  # lava-nc says 3.10 only
_TORCH = f'pip install "tp-lava[torch]" (6 GB; without a GPU first: {TORCH_CPU_BUILD})'


class Package(NamedTuple):
    """An optional package. name: pip's."""

    name: str
    enables: str
    install: str


OPTIONAL = (
    Package("lava-nc", "Processes, tpl.lava.run, tp-lava demo, --in-lava", _LAVA if sys.version_info < (3, 11) else _LAVA_LATER),
    Package("torch", "tp_lava.torch, converting modules and .pt files, all of compare-rules", _TORCH),
    Package("nir", "converting NIR graphs and .nir files, tpl.to_nir", 'pip install "tp-lava[nir]"'),
    Package("h5py", "SHD's .h5 files, SLAYER's .net files, tpl.lava.Recorder(path=...)", 'pip install "tp-lava[hdf5]"'),
    Package("distributed", "tp-lava sweep --scheduler", 'pip install "tp-lava[sweep]"'),
    Package("optuna", "tp-lava sweep --search, tp-lava tune", 'pip install "tp-lava[sweep]"'),
    Package("tonic", "tonic's data sets, by tpl.data.from_tonic", "pip install tonic"),
)
_COMPILER = Package("C compiler", "building what tp-lava export writes", "gcc or clang, by your system's package manager")


def info(as_json: options.AsJson = False) -> None:
    """Versions, the processor, and optional packages: which are installed, what each enables and how to install it."""
    optional = [{**package._asdict(), "version": _version(package.name)} for package in OPTIONAL]
    optional.append({**_COMPILER._asdict(), "version": next(filter(None, map(shutil.which, _COMPILERS)), None)})
    system, processor, code = platform.platform(), _processor(), kept_code()
    if as_json:
        print_json({"versions": versions(), "system": system, "processor": processor, "optional": optional, "compiled_code": code})
        return
    print_rows("versions", [{"": name, "version": version or "not installed"} for name, version in versions().items()])
    print(f"{system}, {processor['name']}, {processor['cores']} cores, of which {processor['usable']} usable")
    print(f"vector units: {', '.join(processor['features']) or 'none known'}")
    print(f"compiled code: {code['folder'] or 'not kept'}{_kept(code)}")
    print_rows("optional", [{"": row["name"], "version": row["version"] or "-", "enables": row["enables"]} for row in optional], left=3)
    for row in optional:
        if row["version"] is None:
            print(f"to install {row['name']}: {row['install']}")


def kept_code() -> dict[str, Any]:
    """Where compiled code is kept between processes: folder (None: it is not), files, bytes, and why the folder is not used, or None."""
    folder = code_folder()
    if folder is None:
        return {"folder": None, "files": 0, "bytes": 0, "unused_because": None}
    files, size = folder.contents()
    return {"folder": str(folder.path), "files": files, "bytes": size, "unused_because": folder.why_unusable()}


def _kept(code: Mapping[str, Any]) -> str:
    if code["folder"] is None:
        return f" ({VARIABLE}={OFF})"
    return f", not used: {code['unused_because']}" if code["unused_because"] else f", {code['files']} files, {code['bytes'] / 1e6:.1f} MB"


def versions() -> Mapping[str, str | None]:
    """Versions of tp_lava, Python and the packages that results may depend on; None where not installed. Imports nothing."""
    packages = (*_ALWAYS, "lava-nc", "torch")
    return {"tp-lava": _version("tp-lava"), "python": platform.python_version(), **{name: _version(name) for name in packages}}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> dict[str, Any]:
    """The processor as seen by LLVM, which Numba compiles with."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = {"cores": os.cpu_count(), "usable": usable}
    return {"name": binding.get_host_cpu_name(), **cores, "features": [name for name in _FEATURES if features.get(name)]}
