"""Whatever a key server sends while requests are served, they go on as before."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.keys_authorities import FileAuthority, JwksAuthority
from tests.e2e.keys_pod import KeysPod, keys_pod
from tests.support import key_server
from tests.support.flood import unknown_keys
from tests.support.key_server import KeyServer, Misbehaviour, answering
from tests.support.processes import eventually
from tests.support.tokens import key_for, new_key
from tests.support.upstream import Upstream

NONSENSE: dict[str, Misbehaviour] = {
    "an empty set": key_server.EMPTY_SET,
    "a page for people": key_server.HTML,
    "a body without end": key_server.endless_body,
    "ten megabytes": answering(b'{"keys": [' + b" " * 10_000_000 + b"]}"),
    "headers without end": key_server.endless_headers,
    "a trickle": key_server.trickle,
    "silence": key_server.silence,
    "half an answer": key_server.stop_in_the_middle,
    "half a document": answering(b'{"keys": ['),
    "nothing": answering(b"", status=204),
    "deep nesting": answering(b"[" * 100_000),
    "a gzip bomb": key_server.GZIP_BOMB,
    "private keys": answering(json.dumps({"keys": [key_for("ES256").jwk(d="AQAB")]}).encode()),
    "too many keys": answering(json.dumps({"keys": [new_key("ES256", "k").jwk()] * 1001}).encode()),
    "an error": key_server.OUT_OF_ORDER,
    "a crash": key_server.crash,
    "another protocol": key_server.speak_something_else,
}
MOST_MEMORY = 20 * 1024  # KiB more than before: a megabyte is read, and parsed at most


@pytest.fixture(scope="module")
def provider(key_server: KeyServer) -> JwksAuthority:
    authority = JwksAuthority("provider", key_server)
    authority.open()
    return authority


@pytest.fixture(scope="module")
def pod(
    envoy_version: str,
    upstream: Upstream,
    provider: JwksAuthority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KeysPod]:
    directory = tmp_path_factory.mktemp("pod")
    gateway = FileAuthority("gateway", directory)
    gateway.open()
    with keys_pod(envoy_version, upstream, directory, provider, gateway) as running:
        yield running


def peak_memory(pid: int) -> int:
    """The most memory a process has had at once, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("name", NONSENSE)
def test_requests_are_served_with_the_last_good_keys_whatever_is_answered(
    pod: KeysPod, key_server: KeyServer, provider: JwksAuthority, name: str
) -> None:
    (unknown,) = unknown_keys(provider.token(), 1)
    pid = pod.sidecar.process.pid

    with pod.traffic(provider) as load:
        before = peak_memory(pid)
        key_server.misbehave(NONSENSE[name])
        # It makes the sidecar fetch at once, and cannot be told good or bad then.
        refused = pod.ask(unknown)
        pod.wait_for_failures("provider", 1)
        load.wait_for(50)
        grown = peak_memory(pid) - before
        problem = pod.issuer("provider")["last_error"]

        key_server.behave()
        eventually(lambda: pod.issuer("provider")["last_error"] is None)
        load.wait_for(50)

    assert refused.status == 503
    assert provider.url in problem
    assert grown < MOST_MEMORY
