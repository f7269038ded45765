"""What changes under traffic: rules and keys, with not one request lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import shop
from tests.support.load import Load
from tests.support.pod import Pod
from tests.support.processes import eventually
from tests.support.sidecar_process import SidecarProcess
from tests.support.tokens import SigningKey, new_key


@contextmanager
def traffic(pod: Pod, key: SigningKey | None = None) -> Iterator[Load]:
    """Steady requests that all should be allowed."""
    with Load(
        pod.envoy.address, "/orders/1", lambda: [("authorization", f"Bearer {shop.token(key)}")]
    ) as load:
        yield load
    assert load.failures == []


def status(pod: Pod, token: str) -> int:
    """How a request with this token is answered."""
    return pod.request(target="/orders/1", token=token).response.status


def test_new_rules_take_effect_under_traffic(
    own_pod: Pod, own_sidecar: SidecarProcess, tmp_path: Path
) -> None:
    public = {"name": "about", "match": {"path": "/about"}, "allow": {"public": True}}
    assert own_pod.request(target="/about").response.status == 403

    with traffic(own_pod) as load:
        own_sidecar.configure(shop.configuration(tmp_path, routes=[*shop.ROUTES, public]))
        eventually(lambda: own_pod.request(target="/about").response.status == 200)
        load.wait_for(50)

    assert own_sidecar.metric("sidecar_config_reloads_total", result="success") == 1
    assert own_sidecar.metric("sidecar_config_last_reload_successful") == 1


def test_the_mode_in_use_is_a_metric(own_sidecar: SidecarProcess, tmp_path: Path) -> None:
    assert own_sidecar.metric("sidecar_mode", mode="enforce") == 1
    loaded = own_sidecar.metric("sidecar_config_last_reload_success_timestamp_seconds")
    own_sidecar.configure(shop.configuration(tmp_path, mode="shadow"))
    eventually(lambda: own_sidecar.metric("sidecar_mode", mode="shadow") == 1)
    assert own_sidecar.metric("sidecar_config_last_reload_success_timestamp_seconds") > loaded


OTHER = "https://sso.example/other"


@pytest.mark.parametrize(
    ("granted", "withdrawn", "claims", "reason"),
    [
        (
            {"issuers": [shop.GATEWAY, OTHER]},
            {"issuers": [shop.GATEWAY]},
            {"issuer": OTHER},
            "untrusted_issuer",
        ),
        (
            {"issuer_pattern": {"pattern": "https://sso.example/{tid}", "values": ["a", "other"]}},
            {"issuer_pattern": {"pattern": "https://sso.example/{tid}", "values": ["a"]}},
            {"issuer": OTHER, "tid": "other"},
            "untrusted_issuer",
        ),
        (
            {"issuer": shop.GATEWAY},
            {"issuer": shop.GATEWAY, "claim_values": {"token_use": "access"}},
            {"token_use": "id"},
            "invalid_claim",
        ),
        (
            {"issuer": shop.GATEWAY, "accept_bound_tokens": True},
            {"issuer": shop.GATEWAY},
            {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
            "invalid_claim",
        ),
    ],
    ids=["issuers", "issuer_pattern", "claim_values", "accept_bound_tokens"],
)
def test_a_remembered_token_does_not_outlive_what_allowed_it(
    own_pod: Pod,
    own_sidecar: SidecarProcess,
    tmp_path: Path,
    *,
    granted: shop.Json,
    withdrawn: shop.Json,
    claims: shop.Json,
    reason: str,
) -> None:
    shop.publish(tmp_path, "partner", new_key("ES256", "partner"))  # no reload waits for them
    token = shop.token(**claims)

    def trusting(of_the_gateway: shop.Json) -> shop.Json:
        configuration = shop.configuration(tmp_path)
        entry, *others = configuration["trust"]
        del entry["issuer"]
        headers = {**shop.IDENTITY, "x-user-issuer": "iss"}
        return configuration | {
            "trust": [{**entry, **of_the_gateway}, *others],
            "identity": {"headers": headers},
        }

    own_sidecar.configure(trusting(granted))
    eventually(lambda: own_sidecar.metric("sidecar_config_reloads_total", result="success") == 1)
    assert [status(own_pod, token) for _ in range(3)] == [200, 200, 200]
    assert own_sidecar.metric("sidecar_verified_cache_hits_total") >= 1

    own_sidecar.configure(trusting(withdrawn))
    eventually(lambda: own_sidecar.metric("sidecar_config_reloads_total", result="success") == 2)
    assert own_pod.request(target="/orders/1", token=token).access_log["reason"] == reason


def test_bad_rules_leave_the_old_ones_serving(
    own_pod: Pod, own_sidecar: SidecarProcess, tmp_path: Path
) -> None:
    with traffic(own_pod) as load:
        own_sidecar.configure(shop.configuration(tmp_path, routes=[{"name": "nothing allowed"}]))
        eventually(lambda: own_sidecar.metric("sidecar_config_reloads_total", result="failure") > 0)
        load.wait_for(50)

    assert own_sidecar.metric("sidecar_config_last_reload_successful") == 0
    assert own_sidecar.ready()
    assert status(own_pod, shop.token()) == 200


def test_new_key_is_found_under_traffic_and_a_removed_one_is_refused(
    own_pod: Pod, tmp_path: Path
) -> None:
    new = new_key("ES256", "new")
    old_token = shop.token()
    assert status(own_pod, old_token) == 200

    with traffic(own_pod) as load:
        shop.publish(tmp_path, "gateway", shop.gateway_key(), new)
        eventually(
            lambda: (
                own_pod.request(target="/orders/1", token=shop.token(new)).response.status == 200
            )
        )
        load.wait_for(50)
    with traffic(own_pod, new) as load:
        shop.publish(tmp_path, "gateway", new)
        eventually(
            lambda: own_pod.request(target="/orders/1", token=old_token).response.status == 401
        )
        load.wait_for(50)


def test_key_file_that_turns_bad_leaves_the_last_good_keys_serving(
    own_pod: Pod, own_sidecar: SidecarProcess, tmp_path: Path
) -> None:
    with traffic(own_pod) as load:
        (tmp_path / "gateway.json").write_text("<html>not a key set</html>")
        eventually(
            lambda: own_sidecar.metric(
                "sidecar_key_refreshes_total", issuer="gateway", result="failure"
            )
        )
        load.wait_for(50)

    assert own_sidecar.ready()
    assert "gateway" in own_sidecar.admin("/readyz?verbose").body.decode()
