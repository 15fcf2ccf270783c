"""A small cell of made-up users, timed by a made-up profile."""

from __future__ import annotations

from typing import Any

import numpy as np

from megdt_opt import Scenario, TimingProfile
from megdt_opt.program.stages import Kind
from megdt_opt.timing.profile import Cell, Provenance

STEPS = 6


def make_profile() -> TimingProfile:
    rng = np.random.default_rng(0)

    def cell(kind: Kind, median_s: float, **more: Any) -> Cell:
        samples = median_s * (1 + 0.01 * rng.standard_normal(12))
        return Cell(kind=kind, batch=1, samples_s=tuple(float(s) for s in samples), **more)

    cells = [
        cell(Kind.ENCODE_PROMPT, 0.001),
        cell(Kind.DECODE, 0.02),
        cell(Kind.SENSE, 0.015),
        cell(Kind.FUSE, 0.0002),
        cell(Kind.DENOISE, 0.05),
        *(cell(Kind.DENOISE, 0.02 + 0.03 * rows / 16, rows=rows, rows_total=16) for rows in (6, 8, 10, 12, 14)),
        *(cell(kind, 0.002, codec=c) for c in ("png", "jpeg") for kind in (Kind.COMPRESS, Kind.DECOMPRESS)),
    ]
    provenance = Provenance(
        created="2026-11-23T00:00:00+00:00",
        source="measured",
        hardware={"kind": "cpu", "processor": "made up for a test", "cores": 2},
        software={"python": "3", "torch": "2", "os": "linux"},
        precision="fp32",
        method="made up for a test",
        weights="random",
        threads=1,
        warmup=1,
        latent_shape=(4, 16, 16),
        image_shape=(64, 64, 3),
    )
    return TimingProfile(
        device="here",
        model="small",
        provenance=provenance,
        cells=tuple(cells),
        image_byte_samples={"png": (5000, 5200, 5100), "jpeg": (1500, 1400)},
    )


def scenario(*users: dict[str, Any], **more: Any) -> Scenario:
    base = {
        "device": {"profile": "here", "stretch": 4.0, "compute_power_w": 2.0},
        "downlink_efficiency": "3 bit/s/Hz",
        "uplink_efficiency": "2 bit/s/Hz",
    }
    return Scenario(
        model="small",
        steps=STEPS,
        edge={"profile": "here"},
        channel={"downlink": "40 kHz", "uplink": "40 kHz", "propagation": "5 ms"},
        users=[{**base, "name": f"u{k}", **user} for k, user in enumerate(users)],
        **more,
    )
