"""docs/addresses.md: its filter in a real Envoy."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e import shop
from tests.support import envoy
from tests.support.pod import Pod
from tests.support.pod_fixtures import StartPod
from tests.support.sidecar_process import SidecarProcess

pytestmark = pytest.mark.every_envoy

PAGE = Path(__file__).parents[2] / "docs" / "addresses.md"
INSIDE, OUTSIDE = "10.1.2.3", "203.0.113.7"


@pytest.fixture(scope="module")
def guarded_pod(sidecar: SidecarProcess, start_pod: StartPod) -> Pod:
    (snippet,) = re.findall(r"^```yaml\n((?:.*\n)*?)```$", PAGE.read_text(), re.MULTILINE)
    configuration = envoy.load(envoy.PLAIN)
    filters = envoy.http_connection_manager(configuration)["http_filters"]
    names = [entry["name"] for entry in filters]
    filters.insert(names.index("envoy.filters.http.ext_authz"), YAML(typ="safe").load(snippet))
    return start_pod(sidecar, configuration)


@pytest.mark.parametrize("target", ["/admin", "/admin/users", "/%61dmin/users", "/a/../admin"])
@pytest.mark.parametrize("forwarded", [OUTSIDE, f"{INSIDE}, {OUTSIDE}", ""])
def test_address_that_is_not_listed_is_refused_without_a_check(
    guarded_pod: Pod, target: str, forwarded: str
) -> None:
    headers = [("x-forwarded-for", forwarded)] if forwarded else []
    exchange = guarded_pod.request(target=target, headers=headers, token=shop.token())

    assert exchange.response.status == 403
    assert exchange.response.json()["reason"] == "refused_by_proxy"
    assert "admin-from-elsewhere" not in exchange.response.body.decode()
    assert "admin-from-elsewhere" in exchange.access_log["response_details"]
    assert exchange.access_log["reason"] is None


@pytest.mark.parametrize("forwarded", [INSIDE, f"{OUTSIDE}, {INSIDE}"])
def test_address_that_is_listed_is_checked(guarded_pod: Pod, forwarded: str) -> None:
    headers = [("x-forwarded-for", forwarded)]
    exchange = guarded_pod.request(target="/admin", headers=headers, token=shop.token())

    assert exchange.access_log["reason"] == "no_route"


@pytest.mark.parametrize("target", ["//admin", "/orders//../admin;a", "/admin%3b/x"])
def test_other_spelling_that_passes_the_filter_is_refused_by_the_check(
    guarded_pod: Pod, target: str
) -> None:
    headers = [("x-forwarded-for", INSIDE)]
    exchange = guarded_pod.request(target=target, headers=headers, token=shop.token())

    assert exchange.access_log["reason"] == "unsafe_path"


def test_other_paths_are_open_to_every_address(guarded_pod: Pod) -> None:
    headers = [("x-forwarded-for", OUTSIDE)]
    exchange = guarded_pod.request(target="/orders/1", headers=headers, token=shop.token())

    assert exchange.response.status == 200
