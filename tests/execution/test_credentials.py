"""Who may call an actor: certificates of both sides, roles, and what each message may be."""

from __future__ import annotations

import os
import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path

import pytest
from standin_model import StandIn

from megdt_opt.errors import ExecutionError, InvalidInput, MalformedMessage, NotAuthorised, PeerLost
from megdt_opt.execution.actor import Actor
from megdt_opt.execution.authority import Authority
from megdt_opt.execution.certificates import facts_of
from megdt_opt.execution.credentials import Credentials, Tokens
from megdt_opt.execution.hosts_file import Hosts
from megdt_opt.execution.rpc import Peer
from megdt_opt.execution.server import Server

HOSTS = Hosts.of(["edge=127.0.0.1:7443", "phone=127.0.0.1:7444"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "keys", HOSTS)


@pytest.fixture
def served(authority: Authority):
    """The server of "edge", and a way to call it as somebody."""
    identity = authority.credentials("edge")
    server = Server(Actor("edge", StandIn.load(), identity), identity, "127.0.0.1:0")
    server.start()
    peers = []

    def ask(identity, verb="ping", name="edge", **message):
        peers.append(Peer(name, server.control, identity))
        return peers[-1].call(verb, message, 5.0)

    yield server, ask
    for peer in peers:
        peer.close()
    server.stop(0)


def stranger(folder: Path) -> Authority:
    """Another authority with the same names."""
    return Authority.create(folder, HOSTS)


def test_who_has_a_certificate_is_answered(served, authority):
    _, ask = served
    assert ask(authority.credentials("coordinator"))["actor"] == "edge"


def test_another_authority_is_refused_by_either_side(served, authority, tmp_path):
    _, ask = served
    other = stranger(tmp_path / "other")
    with pytest.raises((NotAuthorised, PeerLost)):
        ask(other.credentials("coordinator"))
    # the stranger trusts our authority, and shows its own certificate: the server's side refuses
    mixed = Credentials(other.key_file("coordinator"), authority.certificate_file)
    with pytest.raises((NotAuthorised, PeerLost)):
        ask(mixed)
    # we trust the stranger's authority alone: the client's side refuses
    mixed = Credentials(authority.key_file("coordinator"), other.certificate_file)
    with pytest.raises(NotAuthorised, match="certificate"):
        ask(mixed)


def test_another_actor_at_the_address_is_refused(served, authority):
    _, ask = served
    with pytest.raises(NotAuthorised, match="phone at .* certificate"):
        ask(authority.credentials("coordinator"), name="phone")


@pytest.mark.parametrize("how", ["plain text", "no certificate", "TLS 1.2", "garbage"])
def test_without_a_certificate_there_is_no_answer(served, authority, how):
    server, ask = served
    port = int(server.control.rpartition(":")[2])
    context = ssl.create_default_context(cafile=str(authority.certificate_file))
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    if how == "TLS 1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(authority.key_file("phone"))
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) if how != "garbage" else os.urandom(4096)
        try:
            if how in ("plain text", "garbage"):
                plain.sendall(hello)
                heard = plain.recv(4096)
                heard = heard if heard[:1] not in (b"\x15", b"") else b""  # a TLS alert says nothing
            else:
                with context.wrap_socket(plain, server_hostname="edge") as secure:
                    secure.sendall(hello)
                    heard = secure.recv(4096)
        except OSError:  # ssl.SSLError is one
            heard = b""
    assert heard == b""
    assert ask(authority.credentials("coordinator"))["actor"] == "edge"


def test_an_expired_certificate_is_refused_at_the_handshake_and_at_each_call(served, authority):
    _, ask = served
    good = authority.key_file("coordinator").read_bytes()
    authority.issue("coordinator", days=2 / 86400)
    caller = authority.credentials("coordinator")
    peer = Peer("edge", served[0].control, caller)
    assert peer.call("ping", {}, 5.0)["actor"] == "edge"
    time.sleep(max(0.0, caller.end_s - time.time()) + 0.1)
    with pytest.raises(NotAuthorised, match="valid from"):  # on the connection that stands
        peer.call("ping", {}, 5.0)
    peer.close()
    with pytest.raises(NotAuthorised, match="expired on .*hosts renew coordinator"):  # it does not try itself
        ask(caller)
    with pytest.raises(InvalidInput, match="hosts renew coordinator"):
        authority.credentials("coordinator")
    authority.key_file("coordinator").write_bytes(good)
    assert ask(caller)["actor"] == "edge"


def test_a_revoked_certificate_is_refused_on_a_connection_that_stands(served, authority):
    server, _ = served
    caller = authority.credentials("coordinator")
    peer = Peer("edge", server.control, caller)
    assert peer.call("ping", {}, 5.0)["actor"] == "edge"
    assert authority.revoke("coordinator") == 1
    with pytest.raises(NotAuthorised, match="revoked"):
        peer.call("ping", {}, 5.0)
    authority.issue("coordinator")
    assert peer.call("ping", {}, 5.0)["actor"] == "edge"
    peer.close()
    with pytest.raises(InvalidInput, match="Issue one|a certificate which holds"):
        authority.revoke("phone") and authority.revoke("phone")


def test_nobody_takes_a_server_with_a_revoked_key_for_the_actor(served, authority):
    """The thief of edge's key still has it after its revocation, and serves with it."""
    _, ask = served
    stolen = authority.key_file("edge").read_bytes()
    assert ask(authority.credentials("coordinator"))["actor"] == "edge"
    authority.revoke("edge")
    with pytest.raises(NotAuthorised, match="certificate"):
        ask(authority.credentials("coordinator"))
    authority.issue("edge")
    assert ask(authority.credentials("coordinator"))["actor"] == "edge"  # the server has read its new key
    authority.key_file("edge").write_bytes(stolen)
    with pytest.raises(NotAuthorised, match="certificate"):
        ask(authority.credentials("coordinator"))


def test_keys_are_renewed_while_both_sides_go_on(served, authority):
    server, _ = served
    caller = authority.credentials("coordinator")
    peer = Peer("edge", server.control, caller)
    before = caller.serial
    for name in ("edge", "coordinator", "edge"):
        assert peer.call("ping", {}, 5.0)["actor"] == "edge"
        authority.issue(name)
    assert peer.call("ping", {}, 5.0)["actor"] == "edge"
    assert caller.serial != before
    # what was renewed does not have to be kept: the certificate before is no longer shown
    authority.key_file("edge").chmod(0o600)
    peer.close()


def test_a_key_file_that_breaks_leaves_the_earlier_one(served, authority):
    _, ask = served
    caller = authority.credentials("coordinator")
    authority.key_file("coordinator").write_bytes(b"half a fi")
    authority.hosts_file.write_text("actors: [", encoding="utf-8")
    assert ask(caller)["actor"] == "edge"


@pytest.mark.parametrize("verb", ["prepare", "start", "wait", "results", "abort", "measure", "restart", "probe"])
def test_an_actor_may_not_ask_for_what_the_coordinator_may(served, authority, verb):
    _, ask = served
    with pytest.raises(NotAuthorised, match=f"actor phone may not ask for '{verb}'"):
        ask(authority.credentials("phone"), verb, run="run-1")


def test_the_coordinator_may_not_tell_of_stages(served, authority):
    _, ask = served
    with pytest.raises(NotAuthorised, match="coordinator coordinator may not ask for 'signal'"):
        ask(authority.credentials("coordinator"), "signal", run="run-1")


def test_a_token_is_no_certificate(served):
    _, ask = served
    coordinator, _ = Tokens.of_cluster(["edge"])
    with pytest.raises((NotAuthorised, PeerLost)):
        ask(coordinator)


def test_a_message_that_no_actor_takes_is_not_sent(served, authority):
    _, ask = served
    with pytest.raises(MalformedMessage, match=r"start: a message of \d+ byte, where edge takes at most 1048576 byte"):
        ask(authority.credentials("coordinator"), "start", run="x" * 2**20)


@pytest.mark.parametrize("days", [0, -1, float("nan"), 1e6])
def test_days_that_make_no_certificate_are_refused(authority, days):
    with pytest.raises(InvalidInput, match="days"):
        authority.issue("edge", days=days)


def test_what_the_authority_writes_is_its_owners_alone(authority):
    for path in (authority.folder / "ca.key", *(authority.folder / "keys").iterdir()):
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert facts_of(authority.key_file("edge").read_bytes()).name == "edge"
    assert not list(authority.folder.rglob(".draft*"))


@pytest.mark.parametrize("there", ["hosts.yaml", "ca.pem", "ca.key", "issued.json"])
def test_nothing_is_overwritten_in_silence(tmp_path, there):
    (tmp_path / there).write_text("mine", encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"without {there}"):
        Authority.create(tmp_path, HOSTS)
    assert [path.name for path in tmp_path.iterdir()] == [there]


def test_a_key_that_others_can_read_is_refused(authority):
    authority.key_file("edge").chmod(0o644)
    with pytest.raises(InvalidInput, match="chmod 600"):
        authority.credentials("edge")


@pytest.mark.parametrize("name", ["nobody", "../ca", "coordinator2"])
def test_nobody_unknown_gets_a_key(authority, name):
    with pytest.raises(InvalidInput, match="an actor of"):
        authority.issue(name)


def test_a_run_is_of_one_coordinator_at_a_time(served, authority):
    server, _ = served
    peer = Peer("edge", server.control, authority.credentials("coordinator"))
    empty = {"runs": [], "spares": [], "options": {}, "peers": {}, "batches": None, "offset_s": 0.0}
    peer.call("prepare", {**empty, "run": "run-a", "lease_s": 30.0}, 5.0)
    with pytest.raises(ExecutionError, match="a run of coordinator coordinator is in progress"):
        peer.call("prepare", {**empty, "run": "run-b", "lease_s": 30.0}, 5.0)
    with pytest.raises(ExecutionError, match="in progress"):
        peer.call("measure", {}, 5.0)
    for message in ({"start_s": 1e9}, {"start_s": -1e9}):
        with pytest.raises(MalformedMessage, match="start_s"):
            peer.call("start", {"run": "run-a", **message}, 5.0)
    peer.call("start", {"run": "run-a", "start_s": time.monotonic()}, 5.0)
    with pytest.raises(ExecutionError, match="has begun before"):
        peer.call("start", {"run": "run-a", "start_s": time.monotonic()}, 5.0)
    peer.call("abort", {"run": "run-a"}, 5.0)
    with pytest.raises(ExecutionError, match="was prepared here before"):
        peer.call("prepare", {**empty, "run": "run-a", "lease_s": 30.0}, 5.0)
    # a coordinator that is not heard of any more loses its run
    peer.call("prepare", {**empty, "run": "run-c", "lease_s": 0.2}, 5.0)
    time.sleep(0.3)
    peer.call("prepare", {**empty, "run": "run-d", "lease_s": 30.0}, 5.0)
    peer.close()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("actors: {edge: {address: a}, edge: {address: b}}", "edge.*each key once"),
        ("actors: {edge: {address: a}, phone: {address: a}}", "another place than that of edge"),
        ("actors: {edge: {}}", "actors.edge.address"),
        ("actors: {edge: nowhere}", "actors.edge"),
        ("actors: {}", "1 to 1000 actors"),
        ("actors: {edge: {address: a, port: 0}}", "a port from 1 to 65535"),
        ("actors: {edge: {address: a, port: true}}", "actors.edge.port"),
        ("actors: {edge: {address: 'a b'}}", "name of a host"),
        ("actors: {'../edge': {address: a}}", "a letter or digit"),
        ("actors: {'<b>edge</b>': {address: a}}", "a letter or digit"),
        ("actors: {edge: {address: a, module: os}}", "module"),
        ("actors: {edge: {address: a}}\nrevoked: {edge: {times: 1, serials: [zz]}}", "serial numbers"),
        ("actors: {edge: {address: a}}\nrevoked: {edge: {times: 0, serials: ['0x1']}}", "from 1"),
        ("actors: !!python/object/apply:os.system [id]", "without tags"),
        ("- edge", "actors"),
        ("", "actors"),
        ("a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ), "at most 1000000 values"),
        ("[" * 3000, "levels"),
    ],
)  # fmt: skip
def test_a_hosts_file_that_makes_no_sense_is_refused(tmp_path, text, field):
    (tmp_path / "hosts.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"hosts.yaml.*{field}"):
        Hosts.load(tmp_path / "hosts.yaml")


def test_a_hosts_file_comes_back_as_it_was(tmp_path):
    made = Hosts.of(["edge=[::1]:7443", "Müller's phone=example.org", "b=10.0.0.1:1"])
    made = replace(made, revoked={"b": frozenset({12, 2**150 + 5})}, generations={"b": 2})
    made.save(tmp_path / "hosts.yaml")
    assert Hosts.load(tmp_path / "hosts.yaml") == made
