"""The files a gateway's configuration names, looked at before they are needed."""

import re
import time
from pathlib import Path

import pytest

from sidecar.config import Configuration, KeyFiles, load
from sidecar.errors import ConfigurationFault
from sidecar.rings.ring import begin
from sidecar.rings.ring_file import default_timings, new_key, store
from tests.support.certificates import CertificateAuthority

CONFIGURATION = """
role: gateway
issuer: https://gateway.example
listen: {internal_tls: {certificate: gateway.crt, private_key: gateway.key}}
credentials:
  - name: sso
    cookie: sso
    introspection:
      url: https://sso.example/introspect
      client: {id: gateway, secret_file: secret}
      audiences: [shop]
      ca_file: ca.crt
  - name: session
    cookie: __Host-session
    session: {keys: {directory: session-keys}, issued_for: [sso], outlives_credential: false}
request_tokens:
  keys: {directory: request-keys}
  audiences: {orders: []}
routes:
  - {name: all, match: {path: "/**"}, allow: {authenticated: true}, token: {audiences: [orders]}}
"""
VAULT = "{transit: {address: https://v.example, login: {token_file: t}, key: k, ca_file: v.crt}}"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A configuration with every file it names."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIGURATION)
    CertificateAuthority(tmp_path).issue("gateway", dns="gateway.example")
    (tmp_path / "secret").write_text("not a secret")
    _make_ring(tmp_path / "request-keys", "ES256")
    _make_ring(tmp_path / "session-keys", "A256GCM")
    return file


def _make_ring(directory: Path, algorithm: str, *, ahead: float = 0.0) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    ring = begin(new_key(algorithm), default_timings(algorithm), time.time() + ahead)
    store(directory, ring)


def _problems(file: Path) -> list[str]:
    with pytest.raises(ConfigurationFault) as fault:
        load(file, KeyFiles.REQUIRED)
    lines = (line.removeprefix(f"{file}:") for line in str(fault.value).splitlines())
    return [re.sub("^([0-9]+):[0-9]+", r"\1", line) for line in lines]


def _warnings(configuration: Configuration) -> list[str]:
    return [f"{warning.position.line}: {warning.text}" for warning in configuration.warnings]


def test_a_gateway_whose_files_are_good_loads(configuration: Path) -> None:
    assert load(configuration, KeyFiles.REQUIRED).warnings == ()


def test_what_is_not_there_is_told(tmp_path: Path, configuration: Path) -> None:
    for name in ("gateway.key", "secret", "ca.crt", "session-keys/ring.json"):
        (tmp_path / name).unlink()

    assert _problems(configuration) == [
        f"4: {tmp_path}/gateway.key is not there",
        f"10: {tmp_path}/secret is not there",
        f"12: {tmp_path}/ca.crt is not there",
        f"15: {tmp_path}/session-keys/ring.json is not there; sidecar keys new makes it",
    ]


def test_what_is_not_there_may_be_delivered_later(tmp_path: Path, configuration: Path) -> None:
    (tmp_path / "request-keys" / "ring.json").unlink()

    assert _warnings(load(configuration)) == [
        f"17: {tmp_path}/request-keys/ring.json is not there; sidecar keys new makes it"
    ]


def test_no_file_is_looked_at_where_none_matters(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIGURATION)

    assert load(file, KeyFiles.IGNORED).warnings == ()


def test_keys_that_seal_do_not_sign_and_the_other_way_round(
    tmp_path: Path, configuration: Path
) -> None:
    _make_ring(tmp_path / "request-keys", "A256GCM")
    _make_ring(tmp_path / "session-keys", "ES256")

    session, request = _problems(configuration)

    assert session.startswith(f"15: {tmp_path}/session-keys/ring.json holds signing keys")
    assert request.startswith(f"17: {tmp_path}/request-keys/ring.json holds sealing keys")


def test_a_key_that_is_only_published_does_not_sign(tmp_path: Path, configuration: Path) -> None:
    _make_ring(tmp_path / "request-keys", "ES256", ahead=3600.0)

    (problem,) = _problems(configuration)

    assert "no key is active until" in problem


def test_a_ring_made_for_shorter_tokens_does_not_load(configuration: Path) -> None:
    text = configuration.read_text()
    configuration.write_text(
        text.replace("audiences: {orders", "lifetime: 5m\n  audiences: {orders")
    )

    (problem,) = _problems(configuration)

    assert "the tokens it signed are accepted for" in problem


def test_a_ring_that_everybody_can_read_does_not_load(tmp_path: Path, configuration: Path) -> None:
    (tmp_path / "request-keys" / "ring.json").chmod(0o644)

    (problem,) = _problems(configuration)

    assert "is open to every user (mode 0644)" in problem


def test_certificates_that_cannot_be_used_do_not_load(tmp_path: Path, configuration: Path) -> None:
    (tmp_path / "gateway.crt").write_text("nothing")
    (tmp_path / "ca.crt").write_text("nothing")

    internal, authorities = _problems(configuration)

    assert internal.startswith(f"4: the certificate {tmp_path}/gateway.crt with the key ")
    assert authorities.startswith(f"12: the CA file {tmp_path}/ca.crt cannot be used: ")


def test_what_vault_is_reached_with_is_looked_at(tmp_path: Path, configuration: Path) -> None:
    text = configuration.read_text()
    configuration.write_text(text.replace("{directory: request-keys}", VAULT))

    assert _problems(configuration) == [f"17: {tmp_path}/v.crt is not there"]


def test_files_of_sections_that_cannot_be_read_are_left_alone(configuration: Path) -> None:
    text = configuration.read_text()
    configuration.write_text(
        text.replace("audiences: {orders: []}", "audiences: {}").replace("private_key:", "key:")
    )

    assert [problem.partition(" ")[0] for problem in _problems(configuration)] == [
        "4:",
        "4:",
        "18:",
    ]


def test_the_folder_of_ephemeral_keys_is_in_vault_and_not_on_the_disk(configuration: Path) -> None:
    ring = (
        "{ephemeral: {address: https://v.example, login: {token_file: t}, path: gateways, "
        "replica: one}}"
    )
    configuration.write_text(CONFIGURATION.replace("{directory: request-keys}", ring))
    assert load(configuration, KeyFiles.REQUIRED).warnings == ()
