from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share small_cell

from small_cell import make_profile, scenario

from megdt_opt import TimingProfile
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.scenario.options import OptionTable


@pytest.fixture(scope="session")
def profile() -> TimingProfile:
    return make_profile()


@pytest.fixture
def build(spec: ModelSpec, profile: TimingProfile) -> Any:
    def make(*users: dict[str, Any], **more: Any) -> OptionTable:
        return OptionTable.build(scenario(*users, **more), {"here": profile}, spec=spec)

    return make
