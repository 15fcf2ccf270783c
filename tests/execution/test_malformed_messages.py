"""Malformed, oversized, replayed and out-of-order messages to a live actor: each is refused, and it goes on serving."""

from __future__ import annotations

import json
import random
import threading
import time

import grpc
import pytest
from run_builder import make_run
from standin_model import StandIn

from megdt_opt.errors import ExecutionError
from megdt_opt.execution import ExecutionOptions
from megdt_opt.execution.actor import Actor
from megdt_opt.execution.authority import Authority
from megdt_opt.execution.callers import CONTROL
from megdt_opt.execution.hosts_file import Hosts
from megdt_opt.execution.messages import CONTROL_BYTE, ENVELOPE_BYTE
from megdt_opt.execution.rpc import OPTIONS, SERVICE, Peer
from megdt_opt.execution.server import Server
from megdt_opt.program.mechanisms import Option

RUN = make_run(Option(mechanism="E2U", cut=6, precision="fp32"), name="user", device="u1")
KINDS = ("bytes", "truncated", "deep", "wide", "oversized", "field", "missing", "number", "order", "payload")
ODD = (
    None, True, "", [], {}, [[]], -1, 0, 2**40, 10**30, 1e308, -1e308, "x", "../../etc/passwd", "<b>edge</b>", "\x00",
    "os:system", {"edge_server": "edge"}, ["a"] * 100, {"module": "os"}, "é" * 300,
)  # fmt: skip


class Site:
    """Two actors that serve in this process, a coordinator, and a run that they hold."""

    def __init__(self, folder):
        self.authority = Authority.create(folder, Hosts.of(["edge=127.0.0.1:1", "u1=127.0.0.1:2"]))
        self.servers = {}
        for name in ("edge", "u1"):
            identity = self.authority.credentials(name)
            self.servers[name] = Server(Actor(name, StandIn.load(), identity), identity, "127.0.0.1:0")
            self.servers[name].start()
        self.channels = {
            name: self.authority.credentials(name).channel("edge", self.servers["edge"].control, OPTIONS)
            for name in ("coordinator", "u1")
        }
        self.peer = Peer("edge", self.servers["edge"].control, self.authority.credentials("coordinator"))
        self.count = 0

    def prepare(self):
        """A whole message that prepares a run of a new name."""
        self.count += 1
        return {
            "run": f"run-{self.count}",
            "runs": [RUN.to_dict()],
            "spares": [],
            "options": ExecutionOptions().to_dict(),
            "peers": {name: server.control for name, server in self.servers.items()},
            "batches": None,
            "lease_s": 60.0,
            "offset_s": 0.0,
        }

    def send(self, verb, pieces, caller="coordinator"):
        """Raw messages of one call; the reply, or the status where there is none."""
        call = self.channels[caller].stream_unary(f"/{SERVICE}/{verb}")
        try:
            return json.loads(call(iter(pieces), timeout=20))
        except grpc.RpcError as error:
            return {"status": error.code().name, "details": error.details()}

    def close(self):
        self.peer.close()
        for channel in self.channels.values():
            channel.close()
        for server in self.servers.values():
            server.stop(0)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("site") / "keys")
    yield made
    made.close()


def paths(data, at=()):
    """Places of all values within plain data."""
    yield at
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from paths(value, (*at, key))


def changed(data, draw, drop):
    """Plain data with one value replaced by an odd one, or left out."""
    whole = json.loads(json.dumps(data))
    at = draw.choice([path for path in paths(whole) if path])
    holder = whole
    for key in at[:-1]:
        holder = holder[key]
    if drop:
        del holder[at[-1]]
    else:
        holder[at[-1]] = draw.choice(ODD)
    return whole


def bad_call(kind, draw, site):
    """Verb, raw messages and caller of one malformed call."""
    verb = draw.choice([v for v in CONTROL if v not in ("ping", "clock", "signal", "restart")])
    whole = json.dumps(site.prepare()).encode()
    match kind:
        case "bytes":
            return verb, [draw.randbytes(draw.randint(0, 4096))], "coordinator"
        case "truncated":
            return "prepare", [whole[: draw.randint(0, len(whole) - 1)]], "coordinator"
        case "deep":
            depth, mark = draw.randint(200, 200_000), draw.choice(("[", '{"a":'))
            return verb, [(mark * depth).encode()[:CONTROL_BYTE]], "coordinator"
        case "wide":
            return "prepare", [b"[" + b"[]," * draw.randint(2_000_000, 3_000_000) + b"[]]"], "coordinator"
        case "oversized":
            spare = draw.choice([v for v in CONTROL if v not in ("prepare", "results", "signal", "ping", "restart")])
            return spare, [b'{"run": "' + b"x" * draw.randint(CONTROL_BYTE, 2 * CONTROL_BYTE) + b'"}'], "coordinator"
        case "field" | "missing":
            return "prepare", [json.dumps(changed(site.prepare(), draw, kind == "missing")).encode()], "coordinator"
        case "number":
            number = draw.choice(
                (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000, b"0x10", b"1_0", b'1,"run":1')
            )
            return verb, [b'{"run": ' + number + b"}"], "coordinator"
        case "order":
            late = {
                "run": draw.choice(("run-0", "run-x", "")),
                "rows": 0,
                "failures": 0,
                "urgent": 0,
                "patience_s": 0.1,
            }
            late |= {
                "user": "user",
                "index": draw.randint(-3, 99),
                "due_s": 1.0,
                "start_s": 1.0,
                "drop": {},
                "begin": [],
            }
            asked = draw.choice(("start", "wait", "change", "results", "signal"))
            return asked, [json.dumps(late).encode()], "u1" if asked == "signal" else "coordinator"
    return "payload", list(bad_payload(draw, site)), "u1"


def bad_payload(draw, site):
    """Messages of a stream that should bring the device's request to the edge."""
    envelope = {"run": site.live, "user": "user", "index": 0}
    header = {"size": 400, "due_s": time.monotonic()}
    which = draw.randrange(9)
    if which == 0:
        envelope[draw.choice(("run", "user", "index"))] = draw.choice(ODD)
    elif which == 1:
        envelope = {"run": "x" * draw.randint(ENVELOPE_BYTE, 2 * ENVELOPE_BYTE)}
    elif which == 2:
        header["size"] = draw.choice((10**15, -1, None, "400", 1.5, True, 2**70))
    elif which == 3:
        header["due_s"] = draw.choice((None, "now", [], 1, {}))
    yield json.dumps(envelope).encode()
    if which == 4:
        yield draw.randbytes(2000)
        return
    if which == 5:  # a header of safetensors that announces more than there is
        data = draw.randint(2**40, 2**63 - 1).to_bytes(8, "little") + b'{"a":' * 50
        yield json.dumps({**header, "size": len(data)}).encode() + b"\n" + data
        return
    if which == 6:
        return
    yield json.dumps(header).encode() + b"\n" + draw.randbytes(draw.choice((0, 10, 400, 401)))
    if which == 7:
        for _ in range(draw.randint(1, 50)):
            yield draw.randbytes(1000)


@pytest.mark.long_list("kind")
@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("kind", KINDS)
def test_a_malformed_message_is_refused_and_the_actor_goes_on_serving(site, kind, seed):
    draw = random.Random(f"{kind} {seed}")
    message = site.prepare()
    if kind == "payload":
        site.live = message["run"]
        site.peer.call("prepare", message, 20.0)
    verb, pieces, caller = bad_call(kind, draw, site)
    reply = site.send(verb, pieces, caller)
    told = reply.get("error", reply if "status" in reply else {})
    if kind in ("field", "missing"):  # an odd value may be one that is taken, such as another seed
        assert told.get("kind") != "PeerLost"
    else:
        assert told, reply
    # an exception that nobody expected would be told as UNKNOWN
    assert told.get("status") not in ("UNKNOWN", "INTERNAL", "UNAVAILABLE"), told
    assert "Traceback" not in str(told)
    for run in {message["run"], f"run-{site.count}"}:
        site.peer.call("abort", {"run": run}, 5.0)
    assert site.peer.call("ping", {}, 5.0)["actor"] == "edge"


def test_a_whole_run_is_taken_after_all_that(site):
    message = site.prepare()
    site.peer.call("prepare", message, 20.0)
    with pytest.raises(ExecutionError, match="is in progress"):  # the same message again
        site.peer.call("prepare", message, 20.0)
    site.peer.call("abort", {"run": message["run"]}, 5.0)
    with pytest.raises(ExecutionError, match="was prepared here before"):
        site.peer.call("prepare", message, 20.0)


def test_a_payload_or_signal_is_taken_from_its_source_alone(site):
    message = site.prepare()
    site.peer.call("prepare", message, 20.0)
    envelope = json.dumps({"run": message["run"], "user": "user", "index": 3}).encode()
    told = site.send("payload", [envelope], "u1")["error"]
    assert "brings nothing to edge" in told["message"]
    signal = {"run": message["run"], "user": "user", "index": 1, "due_s": 1.0}
    told = site.send("signal", [json.dumps(signal).encode()], "u1")["error"]
    assert (told["kind"], "actor u1 does not tell of its end" in told["message"]) == ("NotAuthorised", True)
    site.peer.call("abort", {"run": message["run"]}, 5.0)


def test_silent_streams_hold_no_threads(site, monkeypatch):
    """Two hundred calls that say nothing: others are answered, and after a moment they are closed."""
    monkeypatch.setattr("megdt_opt.execution.server.FIRST_S", 0.5)
    stop = threading.Event()

    def silent():
        stop.wait(30)
        yield b"{}"

    calls = [site.channels["u1"].stream_unary(f"/{SERVICE}/payload").future(silent(), timeout=30) for _ in range(200)]
    assert site.peer.call("ping", {}, 5.0)["actor"] == "edge"
    assert all(call.code() is grpc.StatusCode.CANCELLED for call in calls)
    stop.set()
    assert site.peer.call("ping", {}, 5.0)["actor"] == "edge"
