"""Machine code kept on disk: found again by another process, and never used where it is damaged or could be another's."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from llvmlite import binding

import tp_lava as tpl
from tp_lava.backends import code_folder, cpu_code, cpu_loops
from tp_lava.backends.code_folder import Code, CodeFolder
from tp_lava.backends.cpu_llvm import machine_code
from tp_lava.backends.cpu_objects import load, stands_alone, undefined_symbols

KEY, CODE = "a" * 64, Code("begin", b"\x7fELF" + bytes(range(256)))
LEARN = """
    import hashlib, sys
    import numpy as np
    import tp_lava as tpl

    rng = np.random.default_rng(0)
    samples = [(tpl.Events.from_dense(rng.random((9, 12)) < 0.4), number % 3) for number in range(6)]
    digest = hashlib.sha256()
    for precision in ("float", "fixed"):
        for rule in (tpl.TP(0.02, 0.02, 3), tpl.EProp()):
            learner = tpl.Learner(tpl.Network.dense((12, 10, 3), recurrent=True, seed=1), rule, precision)
            learner.fit(samples)
            learner.fit(samples, batch=3)
            digest.update(b"".join(learner.memory[name].tobytes() for name in learner.weights))
    network = tpl.Network.sequential((1, 3, 4), [tpl.Conv2d(4, 2), tpl.Dense(6)], 3)
    learner = tpl.Learner(network, tpl.TESS(basis="walsh"), "fixed")
    learner.fit(samples)
    digest.update(b"".join(learner.memory[name].tobytes() for name in learner.weights))
    print(digest.hexdigest(), "numba" in sys.modules)
"""


@pytest.fixture
def folder(tmp_path):
    made = CodeFolder(tmp_path / "code")
    made.write(KEY, CODE)
    return made


def learned(**variables):
    """-> (digest of what another process has learned, whether it has imported Numba)."""
    environment = {name: value for name, value in os.environ.items() if name != code_folder.VARIABLE} | variables
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(LEARN)], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    digest, numba = run.stdout.split()
    return digest, numba == "True"


def test_another_process_finds_the_code_and_learns_the_same_bits(tmp_path):
    """By the loaded code, without Numba; without a folder; and anew where every file is damaged."""
    given = {code_folder.VARIABLE: str(tmp_path / "code")}
    digest, numba = learned(**given)
    assert numba
    assert learned(**given) == (digest, False)
    for file in (tmp_path / "code").iterdir():
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    assert learned(**given) == (digest, True)
    assert learned(**given) == (digest, False)
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": ""}
    assert learned(**home, **{code_folder.VARIABLE: "off"}) == (digest, True)
    assert not (tmp_path / "home").exists()


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(code_folder.VARIABLE, "")
    for cache, place in (("", tmp_path / ".cache"), ("relative", tmp_path / ".cache"), (str(tmp_path / "xdg"), tmp_path / "xdg")):
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
        found = code_folder.code_folder()
        assert found.path == place / "tp-lava"
        found.write(KEY, CODE)
        assert stat.S_IMODE(found.path.stat().st_mode) == 0o700
        assert stat.S_IMODE((found.path / KEY).stat().st_mode) == 0o600
    for off in ("off", "0", "no", "OFF"):
        monkeypatch.setenv(code_folder.VARIABLE, off)
        assert code_folder.code_folder() is None


def test_a_given_folder_that_others_may_open_is_an_error(monkeypatch, tmp_path):
    tmp_path.chmod(0o755)
    monkeypatch.setenv(code_folder.VARIABLE, str(tmp_path))
    with pytest.raises(tpl.InvalidValueError, match=r"TP_LAVA_CACHE: folder is .* is open to others \(mode 0755.*or set it to off"):
        code_folder.code_folder()


# Damage and hostile content ------------------------------------------------------------------------


def test_what_is_written_is_read(folder):
    assert folder.read(KEY) == CODE
    assert folder.read("b" * 64) is None
    assert folder.contents() == (1, (folder.path / KEY).stat().st_size)


def test_every_damage_is_seen(folder):
    file = folder.path / KEY
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert folder.read(KEY) is None
        file.write_bytes(whole[:place])
        assert folder.read(KEY) is None
    file.write_bytes(whole + b"\0")
    assert folder.read(KEY) is None
    folder.write(KEY, CODE)
    assert folder.read(KEY) == CODE


def test_a_file_of_another_name_is_not_taken(folder):
    os.rename(folder.path / KEY, folder.path / ("b" * 64))
    assert folder.read("b" * 64) is None


def _open_folder(folder):
    folder.path.chmod(0o770)


def _open_file(folder):
    (folder.path / KEY).chmod(0o620)


def _linked_folder(folder):
    folder.path.rename(folder.path.parent / "elsewhere")
    folder.path.symlink_to("elsewhere")


def _linked_file(folder):
    (folder.path / KEY).rename(folder.path / "elsewhere")
    (folder.path / KEY).symlink_to("elsewhere")


def _pipe(folder):
    (folder.path / KEY).unlink()
    os.mkfifo(folder.path / KEY, 0o600)


def _huge(folder):
    os.truncate(folder.path / KEY, code_folder.LARGEST_FILE + 1)


def _anothers_folder(folder):
    os.chown(folder.path, 4242, 4242)


def _anothers_file(folder):
    os.chown(folder.path / KEY, 4242, 4242)


@pytest.mark.parametrize("change", [_open_folder, _open_file, _linked_folder, _linked_file, _pipe, _huge, _anothers_folder, _anothers_file])
def test_what_others_could_have_written_is_not_read(folder, change):
    if change in (_anothers_folder, _anothers_file) and os.geteuid():
        pytest.skip("only root gives files away")
    change(folder)
    assert folder.read(KEY) is None
    if "folder" in change.__name__:
        before = sorted(os.listdir(folder.path))
        folder.write("b" * 64, CODE)
        assert sorted(os.listdir(folder.path)) == before
        assert str(folder.path) in folder.why_unusable()


def test_code_that_calls_what_is_not_there_is_refused():
    """LLVM would end the process."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    text = "declare void @no_such_function()\ndefine void @begin() {\n call void @no_such_function()\n ret void\n}"
    module = binding.parse_assembly(text)
    machine = binding.Target.from_default_triple().create_target_machine(codemodel="jitdefault", jit=True)
    made = machine.emit_object(module)
    assert list(undefined_symbols(made)) == ["no_such_function"]
    assert load(Code("begin", made)) is None
    assert load(Code("begin", b"no object at all")) is None
    assert load(Code("begin", made[:300])) is None


# Writers -------------------------------------------------------------------------------------------


def test_code_that_calls_nothing_has_its_constants_near():
    """A loop that clears arrays calls the C library, a step of calls nothing."""
    assert stands_alone(machine_code(cpu_loops._ONCE).object)
    assert not stands_alone(machine_code(cpu_loops._EACH_SAMPLE).object)
    assert not stands_alone(CODE.object)
    assert not stands_alone(b"MZ")


def test_readers_see_whole_files_while_many_write(folder):
    codes = [Code("begin", bytes([number]) * 50_000) for number in range(4)]
    over = threading.Event()

    def write(code):
        while not over.is_set():
            folder.write(KEY, code)

    writers = [threading.Thread(target=write, args=(code,)) for code in codes]
    for writer in writers:
        writer.start()
    try:
        for _ in range(300):
            assert folder.read(KEY) in (CODE, *codes)
    finally:
        over.set()
        for writer in writers:
            writer.join()
    assert os.listdir(folder.path) == [KEY]


def test_a_full_disk_is_no_error(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    folder.write("b" * 64, CODE)
    assert os.listdir(folder.path) == [KEY]


def test_what_was_used_longest_ago_makes_room(tmp_path, monkeypatch):
    folder = CodeFolder(tmp_path / "code")
    keys = [digit * 64 for digit in "0123"]
    for age, key in enumerate(keys):
        folder.write(key, CODE)
        os.utime(folder.path / key, (age, age))
    (folder.path / ".left").write_bytes(b"")
    os.utime(folder.path / ".left", (0, 0))
    assert folder.read(keys[0]) == CODE  # used now
    size = (folder.path / keys[0]).stat().st_size
    monkeypatch.setattr(code_folder, "LARGEST_FOLDER", 3 * size)
    CodeFolder(folder.path).write("4" * 64, CODE)
    assert sorted(os.listdir(folder.path)) == [keys[0], keys[2], keys[3], "4" * 64]


# Keys ----------------------------------------------------------------------------------------------


def test_a_key_is_of_source_versions_processor_and_settings(monkeypatch, tmp_path):
    source = cpu_loops._ONCE

    def key():
        cpu_code._surroundings.cache_clear()
        return cpu_code.key_of(source)

    first = key()
    assert first == key()
    assert len(first) == 2 * hashlib.sha256().digest_size
    assert cpu_code.key_of(cpu_loops._WITH_KEY) != first
    own = tmp_path / "own.py"
    own.write_text("x = 1")
    with monkeypatch.context() as changed:
        changed.setattr(cpu_code, "_OWN_SOURCES", (*cpu_code._OWN_SOURCES, own))
        second = key()
        own.write_text("x = 2")
        assert len({first, second, key()}) == 3
    for what, value in (
        ((binding, "get_host_cpu_name"), lambda: "another"),
        ((binding, "get_host_cpu_features"), lambda: binding.targets.FeatureMap({"another": True})),
        ((cpu_code.metadata, "version"), lambda name: "99"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(*what, value)
            assert key() != first
    with monkeypatch.context() as changed:
        changed.setenv("NUMBA_OPT", "1")
        assert key() != first
    with monkeypatch.context() as changed:
        changed.chdir(tmp_path)
        (tmp_path / ".numba_config.yaml").write_text("opt: 1")
        assert key() != first
    with monkeypatch.context() as changed:

        def missing(name):
            raise cpu_code.metadata.PackageNotFoundError(name)

        changed.setattr(cpu_code.metadata, "version", missing)
        assert key() is None
    cpu_code._surroundings.cache_clear()


# Ctrl-C --------------------------------------------------------------------------------------------


def test_an_interrupt_while_code_is_made_comes_after_it():
    done = []

    def make():
        with cpu_code.interrupts_held():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            done.append("made")

    with pytest.raises(KeyboardInterrupt):
        make()
    assert done == ["made"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with cpu_code.interrupts_held():
        pass


def test_threads_hold_back_nothing():
    """Signals are handled by the main thread alone."""
    found = []

    def run():
        with cpu_code.interrupts_held():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


INTERRUPTED = """
    import time
    import tp_lava as tpl

    learner = tpl.Learner(tpl.Network.dense((4, 3, 3)), tpl.TP(contrast=2))
    print("begin", flush=True)
    learner.share()
    time.sleep(30)
"""


@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.1])
def test_ctrl_c_while_numba_compiles_ends_the_process(seconds):
    script, environment = textwrap.dedent(INTERRUPTED), {**os.environ, code_folder.VARIABLE: "off"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], **pipes, env=environment) as process:
        assert process.stdout.readline() == "begin\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
