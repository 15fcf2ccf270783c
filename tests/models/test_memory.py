"""Memory of weights: each process's own precision counts, and the least of the machine's and the control groups'."""

from __future__ import annotations

from pathlib import Path

import pytest

from megdt_opt.errors import MegdtError
from megdt_opt.models import memory


def test_each_process_counts_in_its_own_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {"edge": ("bf16", {"denoise": 10**9}), "phone": ("fp32", {"denoise": 2 * 10**9})}
    monkeypatch.setattr(memory, "_free_byte", lambda: 3 * 10**9)
    memory.require_memory_of_all(needed)
    monkeypatch.setattr(memory, "_free_byte", lambda: 3 * 10**9 - 1)
    with pytest.raises(MegdtError, match="2 processes need 3.0 GB: edge 1.0 GB in bf16, phone 2.0 GB in fp32"):
        memory.require_memory_of_all(needed)


@pytest.mark.parametrize(
    ("line", "folder", "limit", "used"),
    [
        ("0::/job/own", "job", "memory.max", "memory.current"),
        ("0::/hidden/by/a/container", "", "memory.max", "memory.current"),
        ("4:memory:/job", "memory/job", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
)
def test_a_control_groups_limit_counts(line: str, folder: str, limit: str, used: str, tmp_path: Path) -> None:
    proc, group = tmp_path / "cgroup", tmp_path / "fs" / folder
    proc.write_text(f"9:cpu:/\n{line}\n")
    group.mkdir(parents=True)
    (group / limit).write_text("1000\n")
    (group / used).write_text("700\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 200\n")
    assert set(memory._group_byte(str(proc), str(tmp_path / "fs"))) == {500}
    (group / limit).write_text("max\n")
    assert not list(memory._group_byte(str(proc), str(tmp_path / "fs")))
