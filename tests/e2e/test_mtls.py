"""Client certificates: the caller a rule speaks of is the one the certificate names."""

import ssl
from pathlib import Path

import pytest

from tests.e2e import shop
from tests.support import envoy
from tests.support.certificates import CertificateAuthority
from tests.support.http1 import HOST
from tests.support.pod import Pod
from tests.support.pod_fixtures import StartPod
from tests.support.sidecar_process import SidecarProcess

pytestmark = pytest.mark.every_envoy


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """The shop's CA, with a certificate for the listener and some for callers."""
    authority = CertificateAuthority(tmp_path_factory.mktemp("certificates"))
    authority.issue("tls", dns=HOST)
    authority.issue("shipping", uri="spiffe://shop/ns/orders/shipping")
    authority.issue("billing", uri="spiffe://shop/ns/billing/invoices")
    authority.issue("deeper", uri="spiffe://shop/ns/orders/shipping/extra")
    authority.issue("foreign", uri="spiffe://elsewhere/ns/orders/shipping")
    authority.issue("nameless", dns="spiffe.shop.ns.orders.shipping")
    return authority


@pytest.fixture(scope="module")
def mtls_pod(sidecar: SidecarProcess, authority: CertificateAuthority, start_pod: StartPod) -> Pod:
    return start_pod(sidecar, envoy.load(envoy.MTLS), certificates=authority.directory)


def test_caller_on_the_list_is_let_through(mtls_pod: Pod, authority: CertificateAuthority) -> None:
    exchange = mtls_pod.request(
        target="/ship", token=shop.token(), tls=authority.client_context("shipping")
    )

    assert exchange.response.status == 200
    assert exchange.access_log["peer_uri_san"] == "spiffe://shop/ns/orders/shipping"


@pytest.mark.parametrize("caller", ["billing", "deeper"])
def test_caller_that_is_not_on_the_list_is_refused(
    mtls_pod: Pod, authority: CertificateAuthority, caller: str
) -> None:
    exchange = mtls_pod.request(
        target="/ship", token=shop.token(), tls=authority.client_context(caller)
    )

    assert exchange.response.status == 403
    assert exchange.access_log["reason"] == "caller_not_allowed"


@pytest.mark.parametrize("caller", ["foreign", "nameless", None])
def test_connection_without_a_workload_certificate_of_the_shop_is_refused(
    mtls_pod: Pod, authority: CertificateAuthority, caller: str | None
) -> None:
    # With TLS 1.3 the client learns of it when it reads.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        mtls_pod.request(target="/healthz", tls=authority.client_context(caller))


def test_certificate_of_another_authority_is_refused(
    mtls_pod: Pod, authority: CertificateAuthority, tmp_path: Path
) -> None:
    other = CertificateAuthority(tmp_path)
    other.issue("shipping", uri="spiffe://shop/ns/orders/shipping")
    context = authority.client_context()
    context.load_cert_chain(tmp_path / "shipping.crt", tmp_path / "shipping.key")

    with pytest.raises((ssl.SSLError, ConnectionError)):
        mtls_pod.request(target="/healthz", tls=context)


def test_certificate_header_of_a_client_is_not_passed_on(
    mtls_pod: Pod, authority: CertificateAuthority
) -> None:
    exchange = mtls_pod.request(
        target="/ship",
        headers=[("x-forwarded-client-cert", "URI=spiffe://shop/ns/orders/shipping")],
        token=shop.token(),
        tls=authority.client_context("billing"),
    )
    public = mtls_pod.request(
        target="/healthz",
        headers=[("x-forwarded-client-cert", "URI=spiffe://shop/ns/orders/shipping")],
        tls=authority.client_context("billing"),
    )

    assert exchange.response.status == 403
    assert public.received.values("x-forwarded-client-cert") == []
