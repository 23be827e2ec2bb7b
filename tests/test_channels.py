"""Channels without threads: they bring what Lava's bring, in order, whichever end is ours."""

import threading
import time

import numpy as np
import pytest

from tp_lava.lava import make_importable

make_importable()
from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSendPort, PyPyChannel  # noqa: E402
from lava.magma.core.model.py.model import AbstractPyProcessModel  # noqa: E402
from lava.magma.runtime.message_infrastructure.multiprocessing import MultiProcessing  # noqa: E402

import tp_lava.processes  # noqa: E402, F401
from tp_lava.lava.channels import WithoutThreads, _ReceivePort, _SendPort  # noqa: E402

SIZE = 3  # messages that a channel holds


@pytest.fixture(scope="module")
def infrastructure():
    made = MultiProcessing()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def channel(infrastructure):
    """Function: classes of the two ends -> the ends, started; joined at the end."""
    made = []

    def make(sender=_SendPort, receiver=_ReceivePort):
        both = PyPyChannel(infrastructure, "from", "to", (2,), np.int32, SIZE)
        made.extend([both.src_port, both.dst_port])
        for end, kind in zip(made[-2:], (sender, receiver), strict=True):
            end.__class__ = kind
            end.start()
        return made[-2:]

    yield make
    for end in made:
        end.join()


@pytest.mark.parametrize("sender", [_SendPort, CspSendPort])
@pytest.mark.parametrize("receiver", [_ReceivePort, CspRecvPort])
def test_messages_arrive_in_order_whichever_end_is_ours(channel, sender, receiver, rng):
    send, receive = channel(sender, receiver)
    messages = rng.integers(-1000, 1000, (40, 2)).astype(np.int32)

    def send_all():
        for message in messages:
            send.send(message)

    thread = threading.Thread(target=send_all)
    thread.start()
    assert np.array_equal([receive.recv() for _ in messages], messages)
    thread.join(10)
    assert not thread.is_alive()


def test_a_full_channel_waits_and_an_empty_one_too(channel):
    send, receive = channel()
    assert send.thread is None
    assert receive.thread is None
    assert send.probe()
    assert not receive.probe()
    for number in range(SIZE):
        send.send(np.full(2, number, np.int32))
    assert receive.probe()
    assert not send.probe()
    assert receive.peek()[0] == 0 == receive.recv()[0]
    assert send.probe()
    send.send(np.full(2, SIZE, np.int32))
    waiting = threading.Thread(target=send.send, args=(np.full(2, SIZE + 1, np.int32),))
    waiting.start()
    time.sleep(0.05)
    assert waiting.is_alive()
    assert [receive.recv()[0] for _ in range(SIZE + 1)] == [1, 2, 3, 4]
    waiting.join(10)
    assert not waiting.is_alive()
    assert not receive.probe()


def test_every_model_of_ours_is_without_threads():
    def below(kind):
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    ours = [model for model in below(AbstractPyProcessModel) if model.__module__.startswith("tp_lava.")]
    assert len(ours) > 10
    assert all(issubclass(model, WithoutThreads) for model in ours)
