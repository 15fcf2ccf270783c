"""One small plan that all tests of the report share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share sample_run

from sample_run import execution_of, make_plan, pictures_of, small_scenario, verification_of

from megdt_opt.execution.record import Execution
from megdt_opt.planning.plan import Plan
from megdt_opt.trials.pictures import Picture
from megdt_opt.trials.verification import Verification


@pytest.fixture(scope="session")
def made() -> Plan:
    return make_plan(small_scenario())


@pytest.fixture(scope="session")
def execution(made: Plan) -> Execution:
    return execution_of(made)


@pytest.fixture(scope="session")
def verification(made: Plan) -> Verification:
    return verification_of(made)


@pytest.fixture(scope="session")
def pictures(made: Plan) -> tuple[Picture, ...]:
    return pictures_of(made)
