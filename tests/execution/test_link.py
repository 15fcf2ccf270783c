"""Pacing: the schedule exactly, the clock loosely."""

from __future__ import annotations

import threading
import time

import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.clock import Stopped, Turns, wait_until
from megdt_opt.execution.link import Link
from megdt_opt.execution.link_check import check_link

pytestmark = pytest.mark.alone  # times of the link


@pytest.mark.parametrize("size", [0, 1, 1024, 4096, 100_000, 2_000_000])
def test_schedule_covers_the_payload_at_the_rate(size):
    link = Link(rate_bit_per_s=2e6, propagation_s=0.01, chunk_s=0.02)
    schedule = link.schedule(size)
    assert [begin for _, begin, _ in schedule] == [0, *(end for _, _, end in schedule)][: len(schedule)]
    assert sum(end - begin for _, begin, end in schedule) == size
    for after_s, begin, end in schedule:
        assert after_s == pytest.approx(8 * begin / 2e6)
        assert end - begin <= 5000
    assert len({round((end - begin) / 2) for _, begin, end in schedule}) <= 2
    assert link.duration_s(size) == pytest.approx(8 * size / 2e6 + 0.01)


def test_pieces_leave_on_schedule_and_join_to_the_payload():
    link, data = Link(rate_bit_per_s=4e6), bytes(range(256)) * 256
    start_s = time.monotonic()
    stamped = [(time.monotonic() - start_s, piece) for piece in link.pieces(data, start_s, threading.Event())]
    assert b"".join(p for _, p in stamped) == data
    for (at_s, _), (due_s, _, _) in zip(stamped, link.schedule(len(data)), strict=True):
        assert due_s <= at_s < due_s + 0.2


def test_waiting_ends_when_the_run_is_given_up():
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(Stopped):
        wait_until(time.monotonic() + 30, stop)
    with pytest.raises(Stopped):
        wait_until(0.0, stop)


def test_turns_go_to_the_earliest_slot():
    turns, stop, order = Turns(), threading.Event(), []

    def take(due_s):
        with turns.turn(due_s, stop):
            order.append(due_s)

    with turns.turn(0.0, stop):
        threads = [threading.Thread(target=take, args=(due_s,)) for due_s in (3.0, 1.0, 2.0)]
        for thread in threads:
            thread.start()
        while len(turns._waiting) < 3:
            time.sleep(0.001)
    for thread in threads:
        thread.join(5)
    assert order == [1.0, 2.0, 3.0]


def test_a_turn_is_not_awaited_after_the_end():
    turns, stop = Turns(), threading.Event()
    with turns.turn(0.0, threading.Event()):
        stop.set()
        with pytest.raises(Stopped), turns.turn(1.0, stop):
            pass
    with turns.turn(0.0, threading.Event()):
        pass


def test_the_link_can_be_checked_at_any_size(cluster):
    cases = [(400, 1e6), (4096, 1e6), (100_000, 2e7)]
    found = check_link(cluster, "edge", "u1", cases, samples=2, propagation_s=0.003)
    for check, (size, rate) in zip(found, cases, strict=True):
        assert abs(check.size_byte - size) <= 8
        assert check.expected_s == pytest.approx(8 * check.size_byte / rate + 0.003)
        assert len(check.measured_s) == len(check.error_percent) == 2
        # never early; late only by what a crowded machine does
        assert all(
            error > -0.01 and m < check.expected_s + 0.5
            for error, m in zip(check.error_percent, check.measured_s, strict=True)
        )
    with pytest.raises(InvalidInput):
        check_link(cluster, "edge", "u1", [(10, 1e6)])
