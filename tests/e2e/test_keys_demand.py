"""While a sidecar has no keys, whoever brings a token has them fetched, wherever they are found."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.e2e.keys_authorities import SOURCES, Authority, one_of_each
from tests.e2e.keys_pod import KeysPod, keys_pod
from tests.support.openbao import OpenBao
from tests.support.processes import eventually
from tests.support.upstream import Upstream

# So many attempts have failed that the next one, if nobody asks, comes after more than 7 seconds.
ATTEMPTS = 4
LAST_SUCCESS = "sidecar_keys_last_success_timestamp_seconds"


@dataclass(frozen=True, slots=True)
class Outage:
    """A pod that has been started while none of its issuers could be reached."""

    pod: KeysPod
    authorities: dict[str, Authority]

    def wait(self) -> None:
        """Return when the sidecar has tried each source so often that it has become patient."""
        eventually(
            lambda: all(self.pod.failures(name) >= ATTEMPTS for name in self.authorities),
            within=30,
        )


@pytest.fixture(scope="module", params=["idle", "busy"])
def busy(request: pytest.FixtureRequest) -> bool:
    """Whether many bring tokens all the time."""
    return bool(request.param == "busy")


@pytest.fixture(scope="module")
def outage(
    envoy_version: str,
    upstream: Upstream,
    openbao: OpenBao,
    tmp_path_factory: pytest.TempPathFactory,
    busy: bool,  # noqa: ARG001 - there is an outage for each
) -> Iterator[Outage]:
    with one_of_each(openbao, tmp_path_factory.mktemp("authorities")) as authorities:
        for authority in authorities.values():
            authority.go_down()
        trust = [authority.slow_trust() for authority in authorities.values()]
        directory = tmp_path_factory.mktemp("pod")
        with keys_pod(
            envoy_version,
            upstream,
            directory,
            *authorities.values(),
            trust=trust,
            start_timeout="0s",
        ) as pod:
            outage = Outage(pod, authorities)
            outage.wait()
            yield outage


@pytest.mark.parametrize("source", SOURCES)
def test_first_token_after_an_outage_has_the_keys_fetched_before_they_are_due(
    outage: Outage, source: str, busy: bool
) -> None:
    pod, authority = outage.pod, outage.authorities[source]
    refused = pod.ask(authority.token())
    assert (refused.status, refused.json()["reason"]) == (503, "keys_unavailable")
    assert pod.issuer(source)["last_success"] is None
    assert f'{LAST_SUCCESS}{{issuer="{source}"}} 0.0' in pod.sidecar.get("/metrics").body.decode()

    events = {line["event"] for line in pod.sidecar.log() if line.get("issuer") == source}
    assert events == {"keys cannot be fetched, and there are none: tokens of this issuer get a 503"}

    with ExitStack() as traffic:
        load = traffic.enter_context(pod.requests(authority)) if busy else None
        due = pod.issuer(source)["next_refresh"]
        authority.come_back()
        eventually(lambda: pod.status(authority.token()) == 200)
        assert pod.issuer(source)["last_success"] < due
        assert pod.sidecar.metric(LAST_SUCCESS, issuer=source) > 0
        if load is not None:
            load.wait_for(50)
    assert load is None or {failure.what for failure in load.failures} <= {"503"}
