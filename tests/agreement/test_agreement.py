"""All routes reach the same optimum on shared instances; the script runs 200 of them."""

from __future__ import annotations

import pytest
from agreement import ROUTES, run


@pytest.mark.slow
def test_twenty_instances_by_all_routes() -> None:
    tallies = run(20, seed=0, routes=ROUTES)
    for route, tally in tallies.items():
        assert tally.instances > 0, route
        assert not tally.failures, (route, tally.failures)
    assert tallies["prices"].closed == tallies["prices"].verified == 20 - tallies["prices"].infeasible
