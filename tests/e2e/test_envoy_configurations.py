"""The Envoy configurations we ship: valid on every supported release, safe in every setting."""

from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from sidecar.session.settings import SecretAuthentication
from sidecar.shell.check import DEFAULT_LIMITS
from tests.support import envoy
from tests.support.certificates import CertificateAuthority
from tests.support.envoy import GATEWAY, MTLS, PLAIN, Json
from tests.support.settings import introspection_settings

TEMPLATES = pytest.mark.parametrize("template", [PLAIN, MTLS, GATEWAY], ids=lambda file: file.stem)


@pytest.mark.every_envoy
@TEMPLATES
def test_configuration_is_valid_and_nothing_in_it_is_deprecated(
    template: Path, envoy_version: str, tmp_path: Path
) -> None:
    authority = CertificateAuthority(tmp_path)
    authority.issue("tls", dns="orders.shop.internal")
    configuration = envoy.load(template)
    envoy.move(
        configuration,
        authz=Path("/run/sidecar/authz.sock"),
        application=("127.0.0.1", 8081),
        certificates=None if template is PLAIN else tmp_path,
    )

    assert envoy.validate(configuration, envoy_version, tmp_path) == ""


def test_the_two_configurations_differ_in_their_transport_socket_alone() -> None:
    plain, mtls = envoy.load(PLAIN), envoy.load(MTLS)
    (chain,) = envoy.front(mtls)["filter_chains"]
    del chain["transport_socket"], chain["transport_socket_connect_timeout"]

    assert mtls == plain


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("failure_mode_allow", False),
        ("status_on_error", {"code": "ServiceUnavailable"}),
        ("grpc_service.timeout", "0.5s"),
        ("encode_raw_headers", True),
        ("validate_mutations", True),
        ("clear_route_cache", False),
        ("enable_dynamic_metadata_ingestion", True),
        ("decoder_header_mutation_rules.disallow_system", True),
        ("decoder_header_mutation_rules.disallow_is_error", True),
        ("include_peer_certificate", False),
        ("transport_api_version", "V3"),
        ("stat_prefix", "sidecar"),
    ],
)
def test_the_check_fails_closed_and_sees_the_raw_request(setting: str, value: object) -> None:
    assert _at(envoy.http_filter(envoy.load(PLAIN), "ext_authz"), setting) == value


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("normalize_path", True),
        ("merge_slashes", False),
        ("path_with_escaped_slashes_action", "REJECT_REQUEST"),
        ("strip_any_host_port", True),
        ("strip_trailing_host_dot", True),
        ("use_remote_address", False),
        ("xff_num_trusted_hops", 0),
        ("forward_client_cert_details", "SANITIZE"),
        ("max_request_headers_kb", 60),
        ("request_headers_timeout", "10s"),
        ("stream_idle_timeout", "60s"),
        ("common_http_protocol_options.max_headers_count", 256),
        ("common_http_protocol_options.headers_with_underscores_action", "REJECT_REQUEST"),
        ("common_http_protocol_options.max_stream_duration", "300s"),
        ("common_http_protocol_options.max_connection_duration", "3600s"),
        ("http2_protocol_options.max_concurrent_streams", 100),
        ("upgrade_configs", [{"upgrade_type": "websocket"}]),
    ],
)
def test_the_listener_gives_a_request_one_reading_and_every_stream_an_end(
    setting: str, value: object
) -> None:
    assert _at(envoy.http_connection_manager(envoy.load(PLAIN)), setting) == value


@TEMPLATES
def test_what_envoy_lets_through_is_within_the_limits_of_the_check(template: Path) -> None:
    manager = envoy.http_connection_manager(envoy.load(template))
    lines = manager["common_http_protocol_options"]["max_headers_count"]

    # What Envoy adds, and how it describes a request, is less than as much again.
    assert manager["max_request_headers_kb"] * 1024 * 2 <= DEFAULT_LIMITS.request_bytes
    assert lines * 2 <= DEFAULT_LIMITS.header_lines


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("require_client_certificate", True),
        ("disable_stateless_session_resumption", True),
        ("disable_stateful_session_resumption", True),
        ("common_tls_context.tls_params.tls_minimum_protocol_version", "TLSv1_2"),
        ("common_tls_context.validation_context.trusted_ca", {"filename": "/run/certs/ca.crt"}),
    ],
)
def test_the_mtls_listener_believes_no_caller_without_a_certificate(
    setting: str, value: object
) -> None:
    (chain,) = envoy.front(envoy.load(MTLS))["filter_chains"]

    assert _at(chain["transport_socket"]["typed_config"], setting) == value


@TEMPLATES
def test_no_address_is_internal(template: Path) -> None:
    # An empty list of addresses would stand for all private ones.
    assert "internal_address_config" not in envoy.http_connection_manager(envoy.load(template))


@TEMPLATES
def test_no_trailer_of_a_request_goes_on(template: Path) -> None:
    mutation = envoy.http_filter(envoy.load(template), "header_mutation")

    everything = {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": ".*"}}}}
    assert mutation["mutations"] == {"request_trailers_mutations": [everything]}


@TEMPLATES
def test_every_route_is_checked_and_preflights_are_answered_before(template: Path) -> None:
    manager = envoy.http_connection_manager(envoy.load(template))
    (host,) = manager["route_config"]["virtual_hosts"]

    assert [entry["name"] for entry in manager["http_filters"]] == [
        "envoy.filters.http.cors",
        "envoy.filters.http.local_ratelimit",
        "envoy.filters.http.ext_authz",
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.router",
    ]
    assert [route for route in host["routes"] if "typed_per_filter_config" in route] == []


@TEMPLATES
def test_what_a_connection_may_send_is_limited(template: Path) -> None:
    limit = envoy.http_filter(envoy.load(template), "local_ratelimit")
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}

    assert limit["local_rate_limit_per_downstream_connection"] is True
    # Both are off where they are not set.
    assert (limit["filter_enabled"], limit["filter_enforced"]) == (always, always)
    assert limit["rate_limited_as_resource_exhausted"] is True


def test_a_connection_of_another_envoy_may_send_more_than_one_of_a_client() -> None:
    buckets = [
        envoy.http_filter(envoy.load(file), "local_ratelimit")["token_bucket"]
        for file in (PLAIN, GATEWAY)
    ]

    assert buckets == [
        {"max_tokens": 2000, "tokens_per_fill": 200, "fill_interval": "0.1s"},
        {"max_tokens": 400, "tokens_per_fill": 20, "fill_interval": "0.1s"},
    ]


@TEMPLATES
def test_the_admin_interface_is_on_loopback_alone(template: Path) -> None:
    admin = envoy.load(template)["admin"]

    assert admin["address"]["socket_address"]["address"] == "127.0.0.1"


# What Prometheus and the kubelet see.


def test_the_status_listener_is_the_same_everywhere() -> None:
    listeners, clusters = (
        [find(envoy.load(file), name) for file in (PLAIN, MTLS, GATEWAY)]
        for find, name in ((envoy.listener, "status"), (envoy.cluster, "envoy-admin"))
    )

    assert listeners[0] == listeners[1] == listeners[2]
    assert clusters[0] == clusters[1] == clusters[2]


@TEMPLATES
def test_the_admin_interface_is_behind_the_status_listener_and_behind_no_other(
    template: Path,
) -> None:
    configuration = envoy.load(template)
    (host,) = envoy.http_connection_manager(configuration)["route_config"]["virtual_hosts"]

    address = _address(envoy.cluster(configuration, "envoy-admin"))
    assert address == configuration["admin"]["address"]
    assert "envoy-admin" not in {route["route"]["cluster"] for route in host["routes"]}


def test_scrapes_do_not_take_the_place_of_a_probe() -> None:
    configuration = envoy.load(PLAIN)
    *_, manager = envoy.listener(configuration, "status")["filter_chains"][0]["filters"]
    (host,) = manager["typed_config"]["route_config"]["virtual_hosts"]
    thresholds = envoy.cluster(configuration, "envoy-admin")["circuit_breakers"]["thresholds"]

    priorities = {
        route["match"]["path"]: route["route"].get("priority", "DEFAULT")
        for route in host["routes"]
    }
    assert priorities == {"/ready": "HIGH", "/stats/prometheus": "DEFAULT"}
    assert [each["priority"] for each in thresholds] == ["DEFAULT", "HIGH"]


# The edge.


def test_the_edge_asks_as_the_sidecar_does_but_elsewhere_and_for_longer() -> None:
    sidecar, gateway = (
        envoy.http_filter(envoy.load(file), "ext_authz") for file in (PLAIN, GATEWAY)
    )
    for asking, cluster, timeout in ((sidecar, "sidecar", "0.5s"), (gateway, "gateway", "3s")):
        assert asking.pop("stat_prefix") == cluster
        service = asking["grpc_service"]
        assert service.pop("envoy_grpc") == {"cluster_name": cluster}
        # Envoy takes the longest back-off for the time-out of one try, too.
        assert service.pop("timeout") == timeout
        assert service["retry_policy"]["retry_back_off"].pop("max_interval") == timeout

    assert gateway == sidecar


def test_a_check_at_the_edge_may_take_longer_than_the_question_to_a_sessions_issuer() -> None:
    timeout = envoy.http_filter(envoy.load(GATEWAY), "ext_authz")["grpc_service"]["timeout"]
    question = introspection_settings("sso", "", SecretAuthentication("gateway", Path()))

    assert float(timeout.removesuffix("s")) > question.timeout


def test_the_edge_and_the_sidecars_read_a_request_alike() -> None:
    sidecar, gateway = (
        envoy.http_connection_manager(envoy.load(file)) for file in (PLAIN, GATEWAY)
    )
    for setting in (
        "normalize_path",
        "merge_slashes",
        "path_with_escaped_slashes_action",
        "strip_trailing_host_dot",
        "xff_num_trusted_hops",
        "forward_client_cert_details",
        "max_request_headers_kb",
        "request_headers_timeout",
        "stream_idle_timeout",
        "common_http_protocol_options",
        "upgrade_configs",
        "access_log",
        "local_reply_config",
    ):
        assert gateway[setting] == sidecar[setting], setting


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("use_remote_address", True),
        ("generate_request_id", True),
        ("preserve_external_request_id", False),
        # Origins are compared with the port; routes are matched without it.
        ("strip_any_host_port", False),
        ("route_config.ignore_port_in_host_matching", True),
        ("server_header_transformation", "OVERWRITE"),
        ("request_timeout", "300s"),
        ("http2_protocol_options.max_concurrent_streams", 100),
        ("http2_protocol_options.initial_stream_window_size", 65536),
        ("http2_protocol_options.initial_connection_window_size", 1048576),
    ],
)
def test_the_edge_believes_and_waits_for_no_client(setting: str, value: object) -> None:
    assert _at(envoy.http_connection_manager(envoy.load(GATEWAY)), setting) == value


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("require_client_certificate", False),
        ("common_tls_context.tls_params.tls_minimum_protocol_version", "TLSv1_2"),
        ("common_tls_context.alpn_protocols", ["h2", "http/1.1"]),
    ],
)
def test_the_edge_speaks_tls_alone(setting: str, value: object) -> None:
    (chain,) = envoy.front(envoy.load(GATEWAY))["filter_chains"]

    assert _at(chain["transport_socket"]["typed_config"], setting) == value


def test_as_many_checks_wait_at_the_edge_as_the_gateway_takes() -> None:
    for file, name in ((PLAIN, "sidecar"), (GATEWAY, "gateway")):
        (threshold,) = envoy.cluster(envoy.load(file), name)["circuit_breakers"]["thresholds"]
        assert threshold["max_requests"] == threshold["max_pending_requests"] == 256


def test_what_one_connection_may_buffer_fits_into_the_heap_of_the_edge() -> None:
    configuration = envoy.load(GATEWAY)
    connections, heap = (
        monitor["typed_config"]
        for monitor in configuration["overload_manager"]["resource_monitors"]
    )

    buffered = (
        connections["max_active_downstream_connections"]
        * envoy.front(configuration)["per_connection_buffer_limit_bytes"]
    )
    assert buffered < heap["max_heap_size_bytes"]


def test_the_edge_leads_to_the_gateways_check_and_to_services_and_nowhere_else() -> None:
    """Not to the internal listener: neither by an address nor by a route."""
    configuration = envoy.load(GATEWAY)
    (host,) = envoy.http_connection_manager(configuration)["route_config"]["virtual_hosts"]
    addresses = {
        cluster["name"]: _address(cluster)
        for cluster in configuration["static_resources"]["clusters"]
    }

    assert addresses == {
        "gateway": {"pipe": {"path": "/run/gateway/authz.sock"}},
        "orders": {
            "socket_address": {"address": "orders.shop.svc.cluster.local", "port_value": 8080}
        },
        "envoy-admin": configuration["admin"]["address"],
    }
    assert {route["route"]["cluster"] for route in host["routes"]} == {"orders"}
    assert host["domains"] == ["orders.shop.example"]


def _address(cluster: Json) -> Json:
    (locality,) = cluster["load_assignment"]["endpoints"]
    (endpoint,) = locality["lb_endpoints"]
    return endpoint["endpoint"]["address"]


def _at(configuration: Any, setting: str) -> object:
    return reduce(lambda node, name: node[name], setting.split("."), configuration)
