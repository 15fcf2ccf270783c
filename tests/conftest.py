"""Settings for all tests.

Long lists of cases are marked `long_list`: by default a seeded tenth of them is run, or one in as many as the marker
says (`of`), with at least one case for each cell (each combination of the parameters that the marker names), and a
fifth of the examples of each property; `--full` runs all of them.
"""

from __future__ import annotations

import gc
import random
import sys
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

from megdt_opt.program.model_spec import ModelSpec

# a busy machine must not fail a property, and a run must be repeatable
settings.register_profile("full", deadline=None, derandomize=True)
settings.register_profile("part", settings.get_profile("full"), max_examples=20)

# the scripts under experiments/ are used by tests too, so that what is tested is what is run by hand
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run long lists of cases whole, not a seeded tenth of each")


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until all is imported, which nothing of is garbage
    settings.load_profile("full" if config.getoption("full") else "part")
    config.addinivalue_line(
        "markers", "long_list(*cells, of=10): cases of which one in ten is run; cells name parameters"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m alone`, a file without this mark is not even imported: to import all takes longer than some tests."""
    if config.option.markexpr == "alone" and collection_path.suffix == ".py":
        return "mark.alone" not in collection_path.read_text(encoding="utf-8") or None
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not for this run, and bring the files in an order in which several processes end together."""
    if not config.getoption("full"):
        _thin(config, items)
    if not config.getoption("loadscopereorder", True):
        # a file is one piece of work: the longest first, which have slow tests or many
        slow = Counter(item.path for item in items if item.get_closest_marker("slow") is not None)
        count = Counter(item.path for item in items)
        items.sort(key=lambda item: (-slow[item.path], -count[item.path]))


def pytest_collection_finish() -> None:
    """Look for garbage seldom, and never among what was imported: a seventh of the time of most tests."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


def _thin(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out most of the cases of each test that is marked `long_list`."""
    tests: dict[str, dict[tuple[str, ...], list[pytest.Item]]] = defaultdict(lambda: defaultdict(list))
    parts: dict[str, int] = {}
    for item in items:
        marker = item.get_closest_marker("long_list")
        if marker is not None and isinstance(item, pytest.Function):
            cell = tuple(repr(item.callspec.params[name]) for name in marker.args)
            test = item.nodeid.partition("[")[0]
            tests[test][cell].append(item)
            parts[test] = marker.kwargs.get("of", 10)
    left_out: set[pytest.Item] = set()
    for test, cells in tests.items():
        draw = random.Random(zlib.crc32(test.encode()))  # the same in every run and every process
        for cases in cells.values():
            left_out |= set(cases) - set(draw.sample(cases, -(-len(cases) // parts[test])))
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether long lists within a test are run whole."""
    return bool(request.config.getoption("full"))


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    """A model spec that needs no model."""
    return ModelSpec(
        name="small",
        latent_shape=(4, 16, 16),
        image_shape=(64, 64, 3),
        conditioning={"tokens": (5, 24)},
        request={"state": (5, 12)},
        passes_per_step=1,
        steps_default=10,
        schedulers=("ddim", "euler", "dpmpp"),
        weight_byte={"encode_prompt": 1000, "denoise": 50_000, "decode": 20_000, "sense": 9_000},
        region_multiple=2,
    )
