"""From text in LLVM's intermediate representation to object code: what needs no Numba."""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import binding

from tp_lava.backends.code_folder import Code
from tp_lava.backends.cpu_objects import FUNCTION, stands_alone
from tp_lava.backends.cpu_operation import Source

_SPEED = 3  # of 0..3


@cache
def _machine(near: bool = False) -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target, features = binding.Target.from_triple(binding.get_process_triple()), binding.get_host_cpu_features().flatten()
    how = {"codemodel": "small", "reloc": "pic"} if near else {"codemodel": "jitdefault"}
    return target.create_target_machine(binding.get_host_cpu_name(), features, opt=_SPEED, jit=True, **how)


def parsed(text: str) -> Any:
    """A module of this machine. Raises RuntimeError for text that is none."""
    module = binding.parse_assembly(f'target triple = "{binding.get_process_triple()}"\n{text}')
    module.data_layout = str(_machine().target_data)
    module.verify()
    return module


def optimised(source: Source) -> Any:
    """The module of a source, as its machine code is made of it."""
    module = parsed(source.text)
    options = binding.create_pipeline_tuning_options(speed_level=_SPEED)
    options.loop_vectorization = options.slp_vectorization = False  # it has the vectors that it is to have
    builder = binding.create_pass_builder(_machine(), options)
    builder.getModulePassManager().run(module, builder)
    return module


def machine_code(source: Source) -> Code:
    """An operation's code. If it calls nothing, its constants are where 32 bits reach them, which cpu_objects sees to: that is faster."""
    near = _machine(near=True).emit_object(optimised(source))
    return Code(FUNCTION, near if stands_alone(near) else _machine().emit_object(optimised(source)))


def assembly(source: Source) -> str:
    """The same for people to read."""
    return _machine().emit_assembly(optimised(source))
