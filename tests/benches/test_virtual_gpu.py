"""A virtual device computes while the host goes on, one pass after the other."""

from time import thread_time

import pytest
import torch

from benches.virtual_gpu import LAUNCH, Copy, Device

HOST = 0.05  # seconds that the host may take for all of a test


def spend(seconds: float) -> None:
    end = thread_time() + seconds
    while thread_time() < end:
        pass


def test_passes_follow_each_other_and_the_host_waits_only_where_it_asks() -> None:
    device = Device(1.0)
    device.launch(1.0)
    device.launch(2.0)
    assert device.idle + 3 == pytest.approx(device.free) and device.idle < HOST
    assert device.now() < HOST + 2 * LAUNCH
    device.wait(device.free)
    assert 3 <= device.now() < 3 + HOST
    device.wait(1.0)  # long ago
    assert device.now() < 3 + HOST


def test_the_device_is_idle_while_the_host_computes_and_its_time_may_count_more_often() -> None:
    device = Device(10.0)
    device.launch(1.0)
    device.wait(device.free)
    before = device.now(), device.idle
    spend(0.02)
    device.launch(1.0)
    assert device.now() - before[0] >= 0.2
    assert device.idle - before[1] == pytest.approx(device.free - 1 - before[0], abs=0.01)


def test_what_stands_for_the_device_is_no_time_of_the_host() -> None:
    device = Device(1.0)
    before = device.now()
    with device:
        inside = device.now()
        spend(0.1)
        assert device.now() == inside
    assert device.now() - before < HOST


def test_ids_are_there_when_the_device_has_computed_them() -> None:
    device = Device(1.0)
    device.launch(1.0)
    copied = Copy(torch.tensor([5, 6]), device)
    device.launch(1.0)
    assert not copied.is_there
    assert copied.wait() == [5, 6]
    assert copied.is_there and 1 <= device.now() < 1 + HOST
