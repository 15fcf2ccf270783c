"""Random services and traces: every request has its own times, so that each is a user of its own."""

from __future__ import annotations

import numpy as np

from megdt_opt.online import Service, Trace


def draw(seed: int, *, requests: int = 60, links: bool = True, fading_db: float = 0.0) -> tuple[Service, Trace]:
    """Works and local times exponential, a tenth of the devices too weak, arrivals from rare to far too many."""
    rng = np.random.default_rng(seed)
    n = requests
    arrival = np.sort(rng.uniform(0, n * rng.uniform(0.3, 1.2), n))
    local = np.where(rng.random(n) < 0.1, np.inf, rng.exponential(rng.uniform(2, 10), n))
    up, down = rng.exponential(0.3, (2, n)) * links
    before, after = rng.exponential(0.2, (2, n)) * links
    service = Service(
        local_s=local,
        edge_s=rng.exponential(1, n),
        uplink_s=up,
        downlink_s=down,
        before_s=np.minimum(before, np.where(np.isinf(local), before, local)),
        after_s=after,
        propagation_s=0.01 * links,
        weight=rng.uniform(0.5, 2, n),
        deadline_s=rng.uniform(1, 10, n),
        compute_w=np.full(n, 4.0),
        transmit_w=np.full(n, 0.2),
        edge_w=250.0,
    )
    factor = None
    if fading_db:
        factor = 10 ** (fading_db / 10 * rng.standard_normal((int(arrival[-1]) + 1, n)))
    slot_s = 1.0 if fading_db else None
    return service, Trace(arrival_s=arrival, user=np.arange(n), users=n, slot_s=slot_s, link_factor=factor)
