"""The commands for keys and hosts: what they write and what they refuse."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from megdt_opt.cli.app import app
from megdt_opt.cli.probe import with_links
from megdt_opt.errors import InvalidInput
from megdt_opt.execution.audit import AuditFile
from megdt_opt.execution.callers import Caller, Role
from megdt_opt.execution.hosts_file import Hosts
from megdt_opt.execution.link_probe import LinkMeasured
from megdt_opt.scenario.scenario import Scenario

TWO = "edge=127.0.0.1:7443,phone=127.0.0.1:7444"


def call(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output


def test_keys_are_made_renewed_and_revoked(tmp_path: Path) -> None:
    folder = str(tmp_path / "lab")
    assert call("hosts", "init", folder, "--hosts", TWO)[0] == 0
    key = tmp_path / "lab" / "keys" / "phone.pem"
    first = key.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert call("hosts", "renew", "phone", "--folder", folder)[0] == 0
    assert key.read_bytes() != first
    code, said = call("hosts", "revoke", "phone", "--folder", folder)
    assert (code, "revoked: 2 of phone" in said) == (0, True)
    hosts = Hosts.load(tmp_path / "lab" / "hosts.yaml")
    assert (len(hosts.revoked["phone"]), hosts.generation("phone")) == (2, 1)
    before = key.read_bytes()
    code, said = call("hosts", "init", folder, "--hosts", TWO)
    assert (code, "hosts.yaml" in said, key.read_bytes() == before) == (2, True, True)


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        ("edge=127.0.0.1:1,edge=127.0.0.1:2", "each name once"),
        ("edge=127.0.0.1:1,phone=127.0.0.1:1", "another place than that of edge"),
        ("edge", "NAME=ADDRESS:PORT"),
        ("edge=127.0.0.1:99999", "a port from 1 to 65535"),
        ("edge=a b", "the name of a host"),
        ("../edge=127.0.0.1:1", "a letter or digit"),
        ("<b>=127.0.0.1:1", "a letter or digit"),
        ("coordinator=127.0.0.1:1", "another name than that of the coordinator"),
    ],
)
def test_hosts_that_make_no_sense_are_refused(tmp_path: Path, hosts: str, told: str) -> None:
    code, said = call("hosts", "init", str(tmp_path / "lab"), "--hosts", hosts)
    assert (code, told in " ".join(said.split())) == (2, True), said
    assert not (tmp_path / "lab" / "ca.key").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["edge", "--model", "twin", "--plan", "plan.json"], "one of --model and --plan"),
        (["edge"], "one of --model and --plan"),
        (["tablet", "--model", "twin"], "actors of the hosts file"),
        (["edge", "--model", "twin", "--audit", "/nowhere/a.jsonl"], "a file that can be written"),
        (["edge", "--model", "twin", "--plugin", "no_such_module"], "a module that can be imported"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, words: list[str], told: str) -> None:
    call("hosts", "init", str(tmp_path / "lab"), "--hosts", TWO)
    code, said = call("serve", *words, "--hosts", str(tmp_path / "lab" / "hosts.yaml"))
    assert (code, told in " ".join(said.split())) == (2, True), said


def test_another_actors_key_serves_nobody(tmp_path: Path) -> None:
    call("hosts", "init", str(tmp_path / "lab"), "--hosts", TWO)
    hosts, key = tmp_path / "lab" / "hosts.yaml", tmp_path / "lab" / "keys" / "phone.pem"
    code, said = call("serve", "edge", "--hosts", str(hosts), "--model", "twin", "--key", str(key))
    assert (code, "a key of edge" in said) == (2, True), said


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("megdt_opt.execution.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "grpc", None)
    code, said = call("hosts", "init", str(tmp_path / "lab"), "--hosts", TWO)
    assert (code, "package grpc" in said, "megdt-opt[hosts]" in said) == (2, True, True), said


def test_a_scenario_takes_the_links_that_were_measured() -> None:
    def link(rate: float) -> LinkMeasured:
        return LinkMeasured(rate, rate, rate, 0.02, 1000)

    text = """
name: cell
channel: {downlink: 20 MHz, uplink: 10 MHz}
users:
  - name: phone
    device: {profile: twin-cpu, stretch: 8}
    distance: 100 m
"""
    links = {("edge", "phone"): link(5e7), ("phone", "edge"): link(1e7)}
    made = with_links(yaml.safe_load(text), links, ["edge"], "cell.yaml")
    cell = Scenario.from_yaml(yaml.safe_dump(made))
    assert cell.users[0].downlink_rate_bit_per_s == 5e7
    assert cell.users[0].uplink_rate_bit_per_s == 1e7
    assert cell.channel.propagation_s == pytest.approx(0.01)
    with pytest.raises(InvalidInput, match="phone.*users that were probed"):
        with_links(yaml.safe_load(text), {("edge", "a"): link(1e6), ("a", "edge"): link(1e6)}, ["edge"], "cell.yaml")
    two = {**links, ("hall", "phone"): link(2e7), ("phone", "hall"): link(2e6)}
    made = with_links(yaml.safe_load(text), two, ["edge", "hall"], "cell.yaml")
    assert made["users"][0]["uplink_rate"] == {"edge": "10 Mbit/s", "hall": "2 Mbit/s"}


def test_an_audit_says_who_asked_for_what(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path / "a.jsonl")
    audit(Caller(Role.ACTOR, "<b>phone</b>\n", 26), "start", "ipv4:10.0.0.2:1", "NotAuthorised: no")
    audit(None, "start", "ipv4:10.0.0.3:1", "x" * 9000)
    (tmp_path / "a.jsonl").rename(tmp_path / "moved.jsonl")  # as log rotation does
    audit(None, "start", "", "done")
    first, second = (yaml.safe_load(line) for line in (tmp_path / "moved.jsonl").read_text().splitlines())
    assert (first["caller"], first["serial"], first["verb"]) == ("actor <b>phone</b>\n", "0x1a", "start")
    assert (second["caller"], len(second["result"])) == (None, 500)
    assert stat.S_IMODE((tmp_path / "a.jsonl").stat().st_mode) == 0o600
