"""The defects of lava-nc 0.10.0 in docs/lava-defects.md, each shown. A test that fails says which work-around can go."""

import gc
import importlib
import importlib.metadata
import inspect
import logging
import os
import signal
import subprocess
import sys
import time
from multiprocessing import shared_memory
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tp_lava.lava import Session, make_importable

make_importable()
from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs  # noqa: E402
from lava.magma.core.decorator import implements, requires, tag  # noqa: E402
from lava.magma.core.learning.learning_rule import Loihi2FLearningRule, Loihi3FLearningRule  # noqa: E402
from lava.magma.core.learning.utils import float_to_literal  # noqa: E402
from lava.magma.core.model.py.connection import LearningConnectionModelBitApproximate  # noqa: E402
from lava.magma.core.model.py.model import AbstractPyProcessModel, PyLoihiProcessModel  # noqa: E402
from lava.magma.core.model.sub.model import AbstractSubProcessModel  # noqa: E402
from lava.magma.core.process.ports import ports  # noqa: E402
from lava.magma.core.process.process import ProcessServer  # noqa: E402
from lava.magma.core.process.variable import Var, VarServer  # noqa: E402
from lava.magma.core.resources import CPU  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol  # noqa: E402
from lava.proc.dense.models import PyDenseModelFloat  # noqa: E402
from lava.proc.dense.process import Dense, LearningDense  # noqa: E402
from lava.proc.io.source import RingBuffer  # noqa: E402
from lava.proc.lif.process import LIF  # noqa: E402

STEPS = 40
SEGMENTS = f"d{os.getpid():x}_"  # how the shared memory made here is named, so that other tests do not take it for theirs


def mended(what):
    """What a failing test says."""
    return f"this defect of lava-nc seems mended: {what}"


@pytest.fixture(autouse=True, scope="module")
def lava_as_it_was():
    """Lava's lists of Processes and Vars, and the loggers it adds to, as before these tests."""
    compiler = logging.getLogger("lava.magma.compiler.compiler")
    kept = [(ProcessServer(), "processes"), (VarServer(), "vars"), (logging.getLogger(), "handlers"), (compiler, "handlers")]
    before = [list(getattr(owner, name)) for owner, name in kept]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_memory, "_SHM_NAME_PREFIX", f"/{SEGMENTS}")
        yield
    for segment in segments():
        segment.unlink()
    for (owner, name), value in zip(kept, before, strict=True):
        setattr(owner, name, value)


def segments():
    """The shared memory of this file's Lava runs; those killed leave theirs."""
    return list(Path("/dev/shm").glob(f"{SEGMENTS}*"))


def small_dense():
    return Dense(weights=np.ones((1, 2)))


# The run time: scripts of their own, since they hang, crash or leave orphans --------------------------

PRELUDE = """
import multiprocessing, os, time
from multiprocessing import shared_memory
shared_memory._SHM_NAME_PREFIX = "/SEGMENTS"
from tp_lava.lava import make_importable
make_importable()
import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyAsyncProcessModel, PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.run_conditions import RunContinuous, RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.magma.core.sync.protocols.async_protocol import AsyncProtocol
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

class Talker(AbstractProcess):
    def __init__(self):
        super().__init__()
        self.out, self.var = OutPort(shape=(1,)), Var(shape=(1,), init=7)

class Listener(AbstractProcess):
    def __init__(self):
        super().__init__()
        self.inp = InPort(shape=(1,))

@implements(proc=Talker, protocol=LoihiProtocol)
@requires(CPU)
class PyTalker(PyLoihiProcessModel):
    out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, int)
    var: np.ndarray = LavaPyType(np.ndarray, int)
    def run_spk(self):
        if self.time_step == 3:
            at_step_3()
        self.out.send(np.ones(1))

@implements(proc=Talker, protocol=AsyncProtocol)
@requires(CPU)
class PyTalkerAsync(PyAsyncProcessModel):
    out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, int)
    var: np.ndarray = LavaPyType(np.ndarray, int)
    def run_async(self):
        at_step_3()

@implements(proc=Listener, protocol=LoihiProtocol)
@requires(CPU)
class PyListener(PyLoihiProcessModel):
    inp: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)
    def run_spk(self):
        self.inp.recv()

def at_step_3():
    pass

def fail():
    raise ValueError("broken")

def die():
    os.kill(os.getpid(), 9)

def say(*words):
    print(*words, flush=True)

talker, listener, alone = Talker(), Listener(), Talker()
talker.out.connect(listener.inp)
both = Loihi2SimCfg(exception_proc_model_map={talker: PyTalker, listener: PyListener})
""".replace("SEGMENTS", SEGMENTS)
SCRIPTS = {
    "exception": "at_step_3 = fail; say('ready'); talker.run(RunSteps(9), both); say('returned')",
    "asynchronous exception": "at_step_3 = fail; say('ready'); "
    "alone.run(RunSteps(1), Loihi2SimCfg(exception_proc_model_map={alone: PyTalkerAsync})); say('returned')",
    "killed child": "at_step_3 = die; say('ready'); talker.run(RunSteps(9), both); say('returned')",
    "stop after an exception": "at_step_3 = fail\n"
    "try:\n    alone.run(RunSteps(9), Loihi2SimCfg(exception_proc_model_map={alone: PyTalker}))\n"
    "except RuntimeError as error:\n    say('ready', 'broken' in str(error))\n"
    "alone.stop(); say('returned')",
    "pause": "talker.run(RunContinuous(), both); time.sleep(0.1); got = talker.var.get(); talker.pause(); say('ready', got)\n"
    "talker.run(RunSteps(2)); say('returned')",
    "no stop": "talker.run(RunSteps(2), both); say('ready')",
    "run after stop": "talker.run(RunSteps(2), both); talker.stop(); say('ready'); talker.run(RunSteps(2)); say('returned')",
    "killed parent": "talker.run(RunContinuous(), both); say('ready', *(c.pid for c in multiprocessing.active_children())); die()",
}
HANGING = {
    "exception": "the checks of children in tp_lava/lava/child_processes.py (check) and runtime.py",
    "asynchronous exception": "the checks of children in tp_lava/lava/child_processes.py (check) and runtime.py",
    "killed child": "the checks of children in tp_lava/lava/child_processes.py (check) and runtime.py",
    "stop after an exception": "the killing of children after a failure in tp_lava/lava/runtime.py (end)",
    "pause": "handle_pause in tp_lava/lava/child_processes.py",
    "no stop": "the ending of open sessions at exit in tp_lava/lava/shutdown.py",
}


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def ended():
    """Of each script, two seconds after the last was ready: the words it said, whether it returned, exit code, orphans."""
    command = [sys.executable, "-W", "ignore", "-c"]
    started = {
        name: subprocess.Popen(
            [*command, PRELUDE + code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        )
        for name, code in SCRIPTS.items()
    }
    try:
        words = {name: process.stdout.readline().split()[1:] for name, process in started.items()}
        time.sleep(2)
        started["run after stop"].wait(60)
        codes = {name: process.poll() for name, process in started.items()}
        orphans = [pid for pid in map(int, words["killed parent"]) if is_alive(pid)]
    finally:
        for process in started.values():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                assert process.poll() is not None
            process.wait()
    returned = {name: "returned" in process.stdout.read() for name, process in started.items()}
    for process in started.values():
        process.stdout.close()
    return SimpleNamespace(words=words, returned=returned, codes=codes, orphans=orphans)


@pytest.mark.parametrize("name", HANGING)
def test_hangs(name, ended):
    hung = ended.codes[name] is None and not ended.returned[name]
    assert hung, mended(f"remove {HANGING[name]}")


def test_an_exception_is_not_told(ended):
    assert ended.words["stop after an exception"] == ["False"], mended(
        "run() tells the cause; remove the relay of causes in tp_lava/lava/child_processes.py (raise_cause)"
    )


def test_a_var_read_while_running_is_none(ended):
    assert ended.words["pause"] == ["None"], mended("Var.get works while it runs; tell so in docs/lava-defects.md")


def test_run_after_stop_crashes(ended):
    assert ended.codes["run after stop"] == -signal.SIGSEGV, mended("run after stop no longer crashes; tell so in docs/lava-defects.md")


def test_children_outlive_a_killed_parent(ended):
    assert ended.orphans, mended("children go with their parent; remove the prctl of tp_lava/lava/child_processes.py")


# Importing ------------------------------------------------------------------------------------------


def import_fails(code):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 takes any default")
def test_unhashable_defaults_stop_the_import():
    said = import_fails("import lava.magma.compiler.var_model")
    assert "mutable default" in said, mended("remove _hashable_dataclasses in tp_lava/lava/shim.py")


def test_the_start_method_is_set_whatever_was_chosen():
    where = "lava.magma.runtime.message_infrastructure.multiprocessing"
    said = import_fails(f"import multiprocessing; multiprocessing.set_start_method('fork'); import {where}")
    assert "context has already been set" in said, mended("remove _start_method_chosen in tp_lava/lava/shim.py")


def test_reshape_uses_an_argument_numpy_has_dropped():
    source = inspect.getsource(ports)
    assert "newshape=" in source, mended("numpy need no longer stay below 2.4 in pyproject.toml")


def test_the_wheel_brings_a_package_named_tests():
    files = importlib.metadata.files("lava-nc") or ()
    assert any(file.parts[0] == "tests" for file in files), mended("docs/lava-defects.md need no longer mention it")


# Processes ------------------------------------------------------------------------------------------


def test_every_process_adds_a_handler_to_the_root_logger():
    before = len(logging.getLogger().handlers)
    small_dense()
    assert len(logging.getLogger().handlers) == before + 1, mended("remove _remove_handler in tp_lava/lava/cleanup.py")


def test_processes_and_vars_are_kept_for_ever():
    dense = small_dense()
    name = dense.name
    del dense
    gc.collect()
    assert any(process.name == name for process in ProcessServer().processes), mended("remove forget in tp_lava/lava/cleanup.py")


def test_with_gives_none():
    assert small_dense().__enter__() is None, mended("`with process as p` works; tell so in docs/lava-defects.md")


def test_a_process_that_never_came_to_be_is_stopped(monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_type))
    process = object.__new__(Dense)
    del process
    gc.collect()
    assert unraisable == [AttributeError], mended("remove _runtime = None in tp_lava/processes/base.py")


def test_a_failed_compile_spoils_the_process():
    dense = small_dense()
    with pytest.raises(AssertionError, match="No ProcessModels found with tag|No .*tag"):
        dense.compile(Loihi2SimCfg(select_tag="nonsense"))
    with pytest.raises(Exception, match="compiled already") as caught:  # else mended: docs/lava-defects.md
        dense.compile(Loihi2SimCfg(select_tag="floating_pt"))
    assert type(caught.value).__name__ == "ProcessAlreadyCompiled"


# Choosing a model -----------------------------------------------------------------------------------


def models(*kinds):
    """Sub and leaf ProcessModels of Dense, in order: ("sub", tag) or ("leaf", tag)."""
    made = []
    for kind, name in kinds:
        base = AbstractSubProcessModel if kind == "sub" else PyLoihiProcessModel
        model = type(f"{kind}_{name}", (base,), {})
        model = implements(proc=Dense, protocol=LoihiProtocol)(model)
        made.append(tag(name)(model if kind == "sub" else requires(CPU)(model)))
    return made


def test_one_sub_model_is_chosen_whatever_its_tag():
    sub, leaf = models(("sub", "floating_pt"), ("leaf", "fixed_pt"))
    chosen = Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True).select(small_dense(), [sub, leaf])
    assert chosen is sub, mended("hierarchical Processes need not define one sub model for all tags")


def test_sub_models_after_leaf_models_are_not_found():
    listed = models(("leaf", "floating_pt"), ("sub", "floating_pt"), ("sub", "fixed_pt"))
    with pytest.raises(IndexError):  # else mended: sub models need no longer be defined before leaf models
        Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True).select(small_dense(), listed)
    ordered = [listed[1], listed[2], listed[0]]
    assert Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True).select(small_dense(), ordered) is listed[2]


def test_models_of_another_module_are_not_found():
    elsewhere = ModuleType("elsewhere")
    elsewhere.PyDenseModelFloat = PyDenseModelFloat
    found = ProcGroupDiGraphs._find_proc_models_in_module(small_dense(), elsewhere)
    assert found == [], mended("models need not be put into the module of their Process in tp_lava/models/register.py")


def test_a_subclass_does_not_inherit_models():
    class Finer(Dense):
        pass

    module = sys.modules[PyDenseModelFloat.__module__]
    finer, dense = Finer(weights=np.ones((1, 2))), small_dense()
    assert PyDenseModelFloat in ProcGroupDiGraphs._find_proc_models_in_module(dense, module)
    found = ProcGroupDiGraphs._find_proc_models_in_module(finer, module)
    assert found == [], mended("subclasses of a Process inherit its models; tell so in docs/lava-defects.md")


def test_files_beside_a_process_are_run_again(tmp_path, monkeypatch):
    package = tmp_path / "beside_a_process"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "process.py").write_text(
        "from lava.magma.core.process.process import AbstractProcess\nclass Lonely(AbstractProcess):\n    pass\n"
    )
    (package / "script.py").write_text(
        "from pathlib import Path\nwith Path(__file__).with_suffix('.log').open('a') as log:\n    log.write('x')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    process = importlib.import_module("beside_a_process.process").Lonely()
    with pytest.raises(Exception, match="No ProcessModels found"):
        ProcGroupDiGraphs._find_proc_models(process)
    times = len((package / "script.log").read_text())
    assert times > 1, mended("packages of Processes may hold other files; tell so in docs/lava-defects.md")


# Vars -----------------------------------------------------------------------------------------------


class Recorded:
    """A message port that keeps what is sent and gives what was put in."""

    def __init__(self, *messages):
        self.messages, self.sent = [np.array([message]) for message in messages], []

    def recv(self):
        return self.messages.pop(0)

    def send(self, message):
        self.sent.append(message)


def fake_model(var, *messages):
    """As much of a ProcessModel as Lava's own _get_var and _set_var touch."""
    incoming = Recorded(0, *messages)
    return SimpleNamespace(
        var_id_to_var_map={0: "var"}, var=var, service_to_process=incoming, process_to_service=Recorded(), on_var_update=lambda: None
    )


def set_var(array, *values):
    """Lava's own _set_var fills `array` with values."""
    AbstractPyProcessModel._set_var(fake_model(array, len(values), *values))
    return array


def test_a_var_is_set_in_the_order_of_its_memory():
    filled = set_var(np.zeros((2, 3)).T, 1, 2, 3, 4, 5, 6)  # a view as OnChipLearner's weights are
    wanted = np.arange(1, 7).reshape(3, 2)
    assert not np.array_equal(filled, wanted), mended("remove _set_var in tp_lava/models/base.py")
    np.testing.assert_array_equal(filled.T.ravel(), wanted.ravel())


def test_too_few_values_and_fractions_are_taken_silently():
    np.testing.assert_array_equal(set_var(np.zeros(3, np.int32), 2.7, 1.2), [2, 1, 0], mended("Var.set checks; see docs/lava-defects.md"))


def test_a_var_is_read_element_by_element():
    model = fake_model(np.ones((10, 20)))
    AbstractPyProcessModel._get_var(model)
    assert len(model.process_to_service.sent) == 1 + 200, mended("Var.get is fast; shared memory is no longer needed for reading weights")


def test_before_a_run_a_var_gives_its_initial_value_unbroadcast():
    assert np.ndim(Var(shape=(3,), init=0).get()) == 0, mended("Vars of ours need not be initialised with whole arrays")


# The learning engine --------------------------------------------------------------------------------


def rule(dw, exact=True, **options):
    made = Loihi3FLearningRule(dw=dw, t_epoch=1, **options)
    if exact:
        made.y1_tau = made.y2_tau = made.y3_tau = 1e18
    return made


def measure(tag, connections, extra=()):
    """Run Lava; connections: name -> (weights, rule, y1 at step 1, spike at step 1 of the neuron). -> name -> LearningDense's Vars.

    The one input spikes at step 1; for names that begin with "all" at every step, and y1 comes at every step.
    """
    once = np.zeros((1, STEPS))
    once[0, 0] = 1
    number = int if tag == "fixed_pt" else float
    first, always, one = RingBuffer(data=once.astype(int)), RingBuffer(data=np.ones((1, 1), int)), RingBuffer(data=np.ones((1, 1), number))
    made = {name: LearningDense(weights=np.array(w, float), learning_rule=r) for name, (w, r, _, _) in connections.items()}
    processes = [first, always, one, *made.values()]
    for name, (w, _, y, back) in connections.items():
        steady, ones = name.startswith("all"), np.ones((len(w), 1))
        (always if steady else first).s_out.connect(made[name].s_in)
        factor = RingBuffer(data=(y * (ones if steady else ones @ once)).astype(number))
        factor.s_out.connect(made[name].s_in_y1)
        if back:
            spike = RingBuffer(data=(ones @ once).astype(int))
            spike.s_out.connect(made[name].s_in_bap)
            processes.append(spike)
        if len(w) == 1:
            one.s_out.connect(made[name].s_in_y3)  # in no rule; makes one network of all
        processes.append(factor)
    lif = LIF(shape=(1,), bias_mant=1, bias_exp=3, du=0, dv=0, vth=100_000)
    made["two traces"].a_out.connect(lif.a_in)
    with Session(lif, Loihi2SimCfg(select_tag=tag), (*processes, lif)) as session:
        shared = [segment.stat().st_size for segment in segments()]
        session.run(STEPS, 60)
        weights = {name: dense.weights.get() for name, dense in made.items()}
        return SimpleNamespace(weights=weights, x1=made["one"].x1.get(), v=float(lif.v.get()[0]), shared=shared)


TWO_TRACES = {"x1_impulse": 16, "x1_tau": 1e18}


@pytest.fixture(scope="module")
def in_float():
    return measure(
        "floating_pt",
        {
            "one": ([[0]], rule("2^0*x0*y1", exact=False), 1, False),
            "exact": ([[0]], rule("2^0*x0*y1"), 1, False),
            "two traces": ([[0]], rule("2^0*u0*x1*y1", **TWO_TRACES), 1, False),
            "all": ([[0]], rule("2^0*x0*y1"), 1, False),
        },
    )


@pytest.fixture(scope="module")
def in_fixed():
    column = [[0]] * 5
    return measure(
        "fixed_pt",
        {
            "one": ([[3]], rule("2^0*x0*y1"), 1, False),
            "two traces": ([[0]], rule("2^0*u0*x1*y1", **TWO_TRACES), 1, False),
            "negative": ([[0]], rule("2^0*x0*y1"), -5, False),
            "negative with a spike": ([[0]], rule("2^0*x0*y1"), -5, True),
            "all, many rows": (column, rule("2^-2*x0*y1", rng_seed=1), 1, False),
            "all, many rows, other seed": (column, rule("2^-2*x0*y1", rng_seed=99), 1, False),
            "all": ([[0]], rule("2^0*x0*y1"), 10, False),
        },
    )


def test_a_third_factor_decays_on_arrival(in_float):
    assert in_float.weights["exact"][0, 0] == 1
    once = in_float.weights["one"][0, 0]
    assert once == pytest.approx(np.exp(-1 / 65535), abs=1e-12), mended(
        "y1_tau and y2_tau of a Loihi3FLearningRule need not be set to 1e18"
    )


def test_a_trace_without_time_constant_is_not_a_number(in_float):
    assert np.isnan(in_float.x1).all(), mended("x1_tau may stay 0 in float where a rule uses x1")


def test_products_of_two_traces_are_smaller_in_fixed_point(in_float, in_fixed):
    assert in_float.weights["two traces"][0, 0] == pytest.approx(16)
    assert in_fixed.weights["two traces"][0, 0] == 2, mended("rules with x1*y1 need no factor of 8 between float and fixed point")


def test_rounding_is_the_same_for_all_synapses_and_seeds(in_fixed):
    one, other = in_fixed.weights["all, many rows"], in_fixed.weights["all, many rows, other seed"]
    shared = np.all(one == one[0, 0]) and np.all(one == other)  # 40 updates of 1/4
    assert shared, mended("the neuron need not round the third factor to whole weight units for a stock LearningDense")


def test_learning_leaves_weights_that_the_chip_cannot_hold(in_fixed):
    assert in_fixed.weights["one"][0, 0] == 3, mended(
        "signed weights stay even; a unit of third factor must be 2 (3 became 2 at the start, then 2 + 1)"
    )
    assert in_fixed.weights["all"][0, 0] == 255, mended(
        "the largest weight is no longer 255, beyond the 8-bit range -256..254 of even weights"
    )


def test_a_negative_third_factor_passes_unless_the_neuron_spikes(in_fixed):
    assert in_fixed.weights["negative"][0, 0] == -5, mended(
        "negative third factors are refused, as on the chip; tp_lava uses two rails anyway"
    )
    assert in_fixed.weights["negative with a spike"][0, 0] == 0


def test_a_var_is_always_read_as_float64(in_fixed):
    assert in_fixed.weights["one"].dtype == np.float64, mended("Var.get keeps the type; tell so in docs/lava-defects.md")


def test_a_bias_exponent_is_ignored_in_float(in_float, in_fixed):
    assert in_fixed.v == STEPS * 8
    assert in_float.v == STEPS, mended("the float LIF takes bias_exp; tell so in docs/lava-defects.md")


def test_a_channel_takes_64_messages_of_memory(in_float):
    assert min(in_float.shared) >= 64 * 4, mended("channels are small; see pypy_channel_size in docs/lava-defects.md")


def test_half_a_trace_impulse_is_always_rounded_up():
    whole, fraction = LearningConnectionModelBitApproximate._decompose_impulses(np.array([16.25, 16.5]))
    draws = np.arange(128)  # the engine draws 7 bits, against 8 of the fraction
    means = [
        LearningConnectionModelBitApproximate._add_impulse(np.zeros(1), draws, w, f).mean() for w, f in zip(whole, fraction, strict=True)
    ]
    assert means == [16.5, 17.0], mended("impulses with a fraction may be used in fixed point")


def test_literals_and_decimations_are_misread():
    assert float_to_literal(2.5) == "(2) * 2 ^ 0", mended("float_to_literal may be used")
    assert Loihi2FLearningRule(dw="u10*x1*y1").decimate_exponent == 1, mended("decimations of 10 and more may be used")
