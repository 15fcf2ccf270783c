"""Closed laws of a world that the kernel enforces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt.errors import InvalidInput
from megdt_opt.timing.shaped import (
    LARGE_BURST_BYTE,
    SMALL_BURST_BYTE,
    QuotaBucket,
    WireLaw,
    WorkLaw,
    burst_byte,
    quota_wall_s,
)

PERIOD_S = 0.02
SHARES = st.floats(0.05, 1.0)


def walls(share, work_s, draws=4000):
    """Wall times of work after idling, over evenly spread phases."""
    phase = -PERIOD_S * (np.arange(draws) + 0.5) / draws
    return QuotaBucket(share, PERIOD_S, phase).work(np.zeros(draws), work_s)


@given(share=SHARES, periods=st.floats(0.01, 80.0))
def test_mean_over_the_phases_is_the_closed_law(share, periods):
    work_s = periods * share * PERIOD_S
    assert walls(share, work_s).mean() == pytest.approx(quota_wall_s(work_s, share, PERIOD_S), abs=1e-5)


@given(share=SHARES, work_s=st.floats(1e-4, 1.0))
def test_no_phase_is_faster_than_the_core_or_later_than_a_period_after_the_fluid(share, work_s):
    found = walls(share, work_s, 64)
    assert (found >= work_s - 1e-12).all()
    assert (found <= work_s / share + PERIOD_S * (1 - share) + 1e-9).all()


@given(share=SHARES, parts=st.lists(st.floats(1e-4, 0.05), min_size=2, max_size=6), seed=st.integers(0, 9))
def test_contiguous_stages_end_as_one_block(share, parts, seed):
    phase = np.random.default_rng(seed).uniform(-PERIOD_S, 0, 16)
    one, many = QuotaBucket(share, PERIOD_S, phase), QuotaBucket(share, PERIOD_S, phase)
    whole, at = one.work(np.zeros(16), sum(parts)), np.zeros(16)
    for part in parts:
        at = many.work(at, part)
    np.testing.assert_allclose(at, whole, atol=1e-9)


def test_a_rest_fills_the_bucket_again():
    bucket = QuotaBucket(0.25, PERIOD_S, np.zeros(1))
    first = bucket.work(np.zeros(1), 0.005)
    assert first[0] == pytest.approx(0.005)  # the whole quota, at once
    assert bucket.work(first, 0.001)[0] == pytest.approx(0.021)  # nothing is left before the next period
    assert bucket.work(np.array([0.05]), 0.001)[0] == pytest.approx(0.051)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_shares_outside_a_core_are_refused(share):
    with pytest.raises(InvalidInput, match="share"):
        quota_wall_s(0.1, share, PERIOD_S)


@given(size=st.integers(1, 300_000), fixed=st.integers(0, 200), each=st.integers(0, 64))
def test_bytes_on_the_wire_grow_with_the_message_and_stay_near_it(size, fixed, each):
    law = WireLaw(fixed_byte=fixed, per_record_byte=each)
    around = law.byte(size) - size
    assert law.byte(size + 1) > law.byte(size)
    assert fixed + each + 66 <= around <= fixed + (each + 66 * 12) * (size / 16384 + 1) + 66 * (fixed / 1448 + 1)


def test_wire_law_of_the_prototype():
    # grpc over mutual TLS 1.3 as counted at an interface: n + 31 + 31 records + 66 segments
    law = WireLaw(fixed_byte=31, per_record_byte=31)
    assert [law.byte(n) for n in (418, 12_000, 50_000)] == [418 + 62 + 66, 12_000 + 62 + 9 * 66, 50_000 + 155 + 35 * 66]
    assert law.seconds(400, 1e6, 1600) == 0.0  # within the saved burst
    assert law.seconds(12_000, 3e5, 1600) == pytest.approx(8 * (law.byte(12_000) - 1600) / 3e5)


def test_buckets_of_links():
    assert burst_byte(1e5) == SMALL_BURST_BYTE
    assert burst_byte(5e7) == LARGE_BURST_BYTE
    assert burst_byte(1e9) == 125_000


@given(a=st.floats(1e-3, 1e-1), b=st.floats(0, 1e-2))
def test_fit_finds_the_law_of_processor_seconds(a, b):
    shares = [0.8, 0.4, 0.2]
    law = WorkLaw.fit(shares, [a + b / s for s in shares])
    assert law.seconds(0.3) == pytest.approx(a + b / 0.3, rel=1e-6)
    assert WorkLaw.fit([0.4, 0.4], [a, a]).seconds(0.1) == pytest.approx(a)
