"""The Envoy configurations we ship: valid on every supported release, safe in every setting."""

from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from tests.support import envoy
from tests.support.certificates import CertificateAuthority
from tests.support.envoy import MTLS, PLAIN

TEMPLATES = pytest.mark.parametrize("template", [PLAIN, MTLS], ids=lambda file: file.stem)


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
        certificates=tmp_path if template is MTLS else None,
    )

    assert envoy.validate(configuration, envoy_version, tmp_path) == ""


def test_the_two_configurations_differ_in_their_transport_socket_alone() -> None:
    plain, mtls = envoy.load(PLAIN), envoy.load(MTLS)
    (listener,) = mtls["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
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
        ("internal_address_config.unix_sockets", False),
        ("forward_client_cert_details", "SANITIZE"),
        ("max_request_headers_kb", 60),
        ("request_headers_timeout", "10s"),
        ("stream_idle_timeout", "60s"),
        ("common_http_protocol_options.max_headers_count", 100),
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
    (listener,) = envoy.load(MTLS)["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]

    assert _at(chain["transport_socket"]["typed_config"], setting) == value


def test_every_route_is_checked_and_preflights_are_answered_before() -> None:
    manager = envoy.http_connection_manager(envoy.load(PLAIN))
    (host,) = manager["route_config"]["virtual_hosts"]

    assert [entry["name"] for entry in manager["http_filters"]] == [
        "envoy.filters.http.cors",
        "envoy.filters.http.ext_authz",
        "envoy.filters.http.router",
    ]
    assert [route for route in host["routes"] if "typed_per_filter_config" in route] == []


@TEMPLATES
def test_the_admin_interface_is_on_loopback_alone(template: Path) -> None:
    admin = envoy.load(template)["admin"]

    assert admin["address"]["socket_address"]["address"] == "127.0.0.1"


def _at(configuration: Any, setting: str) -> object:
    return reduce(lambda node, name: node[name], setting.split("."), configuration)
