"""Sweeps in chunks on disk: the same bytes after kills, in shards, in processes and on a cluster."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from megdt_opt import InvalidInput, ProfileError, Scenario, merge_sweep, sweep_into
from megdt_opt.sweeping.grid import Grid
from megdt_opt.sweeping.parquet import CLOCKS
from megdt_opt.sweeping.runner import run_sweep

pytest.importorskip("pyarrow")

PHONE: dict[str, Any] = {
    "name": "phone", "device": {"stretch": 20}, "downlink_efficiency": "2 bit/s/Hz", "uplink_efficiency": "1 bit/s/Hz",
    "mechanisms": ["local", "centralised", "E2U"],
}  # fmt: skip
BASE = Scenario(
    steps=4, channel={"downlink": "60 kHz", "uplink": "60 kHz"},
    users=[PHONE, PHONE | {"name": "tablet", "device": {"stretch": 9}}],
)  # type: ignore[arg-type]  # fmt: skip
OVER: dict[str, Any] = {
    "steps": [2, 4],
    "channel.downlink": [f"{band} kHz" for band in (20, 40, 80, 160, 320, 640)],
    "channel.uplink": [f"{band} kHz" for band in (30, 60, 120, 240, 480, 960)],
}
SCENARIO = """
steps: 4
channel: {downlink: 60 kHz, uplink: 60 kHz}
users:
  - {name: phone, device: {stretch: 20}, downlink_efficiency: 2 bit/s/Hz, uplink_efficiency: 1 bit/s/Hz,
     mechanisms: [local, centralised, E2U]}
  - {name: tablet, device: {stretch: 9}, downlink_efficiency: 2 bit/s/Hz, uplink_efficiency: 1 bit/s/Hz,
     mechanisms: [local, centralised, E2U]}
"""


def rows(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    found = sweep_into(folder, BASE, OVER, compare=False, chunk=20)
    assert (found.cells, found.computed, found.remembered, dict(found.states)) == (72, 72, 0, {"optimal": 72})
    return folder


def test_chunks_hold_what_a_sweep_in_memory_says(whole: Path) -> None:
    merge_sweep([whole], whole / "merged")
    read = pd.read_parquet(whole / "merged" / "cells.parquet")
    found = run_sweep(BASE, OVER, compare=False)
    assert list(read.columns) == [name for name in found.cells.columns if name not in CLOCKS]
    numbers = ["steps", "channel.downlink_hz", "objective_s", "edge_s", "edge_byte", "users_E2U", "messages"]
    for name in numbers:
        assert read[name].to_numpy(float) == pytest.approx(found.cells[name].to_numpy(float), rel=1e-6)
    users = pd.read_parquet(whole / "merged" / "users.parquet")
    assert list(users.columns) == list(found.users.columns)
    assert users["user"].tolist() == found.users["user"].tolist()
    assert users["latency_s"].to_numpy() == pytest.approx(found.users["latency_s"].to_numpy(), rel=1e-5)


def test_what_the_clock_makes_stands_beside(whole: Path) -> None:
    said = json.loads((whole / "chunk-000001.json").read_text())
    assert (said["first"], said["cells"], said["of"], said["chunks"]) == (20, 20, 72, 4)
    assert said["measured"]["solve_s"] > 0
    assert {"megdt_opt", "code", "numpy", "numba", "pyarrow", "python"} <= set(said["provenance"])
    assert not set(CLOCKS) & set(pd.read_parquet(whole / "cells-000001.parquet").columns)


def test_a_chunk_that_is_missing_or_damaged_is_planned_again_and_no_other(whole: Path, tmp_path: Path) -> None:
    for path in whole.glob("*-0*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "cells-000001.parquet").write_bytes(b"PAR1")
    (tmp_path / "chunk-000003.json").unlink()
    (tmp_path / ".draft-of-a-killed-run").write_bytes(b"half")
    kept = (tmp_path / "chunk-000002.json").read_bytes()
    found = sweep_into(tmp_path, BASE, OVER, compare=False, chunk=20)
    assert (found.computed, found.remembered) == (32, 40)
    assert rows(tmp_path) == rows(whole)
    assert (tmp_path / "chunk-000002.json").read_bytes() == kept
    assert not list(tmp_path.glob(".draft*"))


def test_shards_joined_are_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    for i in (2, 1, 3):
        sweep_into(tmp_path / str(i), BASE, OVER, compare=False, chunk=20, shard=(i, 3))
    with pytest.raises(InvalidInput, match="chunks 2 missing"):
        merge_sweep([tmp_path / "1", tmp_path / "2"], tmp_path / "m")
    merge_sweep([tmp_path / str(i) for i in (1, 2, 3)], tmp_path / "m")
    merge_sweep([whole], tmp_path / "w")
    assert rows(tmp_path / "m") == rows(tmp_path / "w")
    read = pd.read_parquet(tmp_path / "m" / "cells.parquet")
    expected = [cell.parameters["channel.uplink_hz"] for cell in Grid(BASE, OVER, None)]
    assert read["channel.uplink_hz"].tolist() == expected


def test_dask_on_a_local_cluster_gives_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    from joblib import parallel_config

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
        parallel_config("dask"),
    ):  # fmt: skip
        sweep_into(tmp_path, BASE, OVER, compare=False, chunk=20)
        ran = client.run(lambda: [name for name in sys.modules if name.startswith("megdt_opt.sweeping")])
        with pytest.raises(InvalidInput, match="jobs"):
            run_sweep(BASE, {"steps": [2, 4]}, compare=False, jobs=1)
        local = run_sweep(BASE, {"steps": [2, 4]}, compare=False)
    assert all(ran.values())  # the cells were planned by the workers
    assert rows(tmp_path) == rows(whole)
    assert (local.cells["status"] == "optimal").all()


def test_a_cell_that_does_not_go_together_or_cannot_be_planned_is_a_row(tmp_path: Path) -> None:
    over: dict[str, Any] = {"steps": [4, 2], "users.phone.private_steps": [0, 3], "scheduler": ["ddim", "unheard"]}
    found = sweep_into(tmp_path, BASE, over, compare=False, chunk=3)
    assert dict(found.states) == {"optimal": 3, "failed": 5}
    merge_sweep([tmp_path], tmp_path / "m")
    read = pd.read_parquet(tmp_path / "m" / "cells.parquet")
    failed = read[read["status"] == "failed"]
    assert failed["reason"].str.contains("at most 2 steps").sum() == 2
    assert failed["reason"].str.startswith("scheduler").sum() == 3
    assert failed["objective_s"].isna().all()
    assert sweep_into(tmp_path, BASE, over, compare=False, chunk=3).computed == 0
    frame = run_sweep(BASE, {"scheduler": ["ddim", "unheard"]}, compare=False).cells
    assert frame["status"].tolist() == ["optimal", "failed"]
    frame = run_sweep(BASE, {"scheduler": ["unheard", "ddim"], **{"channel.uplink": ["1 kHz", "2 kHz"]}}, compare=False)
    assert frame.cells["status"].tolist() == ["failed", "failed", "optimal", "optimal"]


def test_what_does_not_fit_a_folder_is_refused(whole: Path, tmp_path: Path) -> None:
    for wrong in ((0, 2), (3, 2), (1, 0), (True, 2), 4):
        with pytest.raises(InvalidInput, match="shard"):
            sweep_into(tmp_path, BASE, OVER, compare=False, shard=wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="chunk"):
        sweep_into(tmp_path, BASE, OVER, compare=False, chunk=0)
    with pytest.raises(InvalidInput, match="same sweep"):
        sweep_into(whole, BASE, OVER, compare=False, chunk=20, gap=1e-3)
    with pytest.raises(ProfileError, match="nowhere"):
        sweep_into(tmp_path, BASE, {"edge.profile": ["twin-cpu", "nowhere"]}, compare=False)
    with pytest.raises(InvalidInput, match="folders with chunks"):
        merge_sweep([tmp_path], tmp_path / "m")
    assert not list(tmp_path.glob("*.parquet"))


def kills(count: int, seed: int, folder: Path, scenario: Path) -> int:
    """Start the sweep of `whole`, kill it so many times, then let it end; how often it was cut off."""
    code = (
        "import sys; from megdt_opt import sweep_into; import json; "
        f"sweep_into({str(folder)!r}, {str(scenario)!r}, json.loads(sys.argv[1]), compare=False, chunk=20, "
        "on_progress=lambda done, of, label: print(done, flush=True))"
    )
    command = [sys.executable, "-P", "-c", code, json.dumps(OVER)]
    drawn, cut = random.Random(seed), 0
    for _ in range(count):
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ, text=True) as run:
            assert run.stdout is not None
            run.stdout.readline()  # one chunk more is there, or all are
            time.sleep(drawn.uniform(0.0, 0.01))
            run.send_signal(signal.SIGKILL)
            run.stdout.read()
            cut += run.wait() != 0
    subprocess.run(command, check=True, capture_output=True)
    return cut


@pytest.mark.long_list
@pytest.mark.parametrize("seed", range(5))
def test_the_same_bytes_after_two_kills(whole: Path, tmp_path: Path, seed: int) -> None:
    scenario = tmp_path / "cell.yaml"
    scenario.write_text(SCENARIO)
    assert kills(2, seed, tmp_path / "out", scenario) >= 1
    assert rows(tmp_path / "out") == rows(whole)


def test_a_grid_is_lazy() -> None:
    bands = [f"{band} kHz" for band in np.linspace(20, 2000, 1000)]
    grid = Grid(BASE, {"channel.downlink": bands, "channel.uplink": bands}, range(1))
    assert len(grid) == 10**6
    assert grid[10**6 - 1].parameters["channel.uplink_hz"] == grid[-1].parameters["channel.uplink_hz"] == 2e6
    assert len(grid._made) <= 2
