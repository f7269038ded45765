"""The login page of docs/login-page.md: its snippets, and an edge that is changed as they say."""

import re
from copy import deepcopy
from typing import Any, Final

from ruamel.yaml import YAML

from tests.support import envoy
from tests.support.envoy import ROOT, Json
from tests.support.http1 import Address

PAGE: Final = ROOT / "docs" / "login-page.md"
CLUSTER: Final = "login-page"
_BLOCK: Final = re.compile(r"^```yaml\n# (.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def snippet(title: str) -> Any:
    """The YAML that begins with this comment."""
    (found,) = [text for name, text in _BLOCK.findall(PAGE.read_text()) if name == title]
    return YAML(typ="safe").load(found)


def add_to_edge(configuration: Json, address: Address) -> None:
    """Put a login page behind an edge, for all of its hosts."""
    manager = envoy.http_connection_manager(configuration)
    manager["local_reply_config"]["mappers"][:0] = snippet(
        "mappers of the HTTP connection manager's local_reply_config, in front of the others"
    )
    for host in manager["route_config"]["virtual_hosts"]:
        host["routes"][:0] = snippet("the virtual host's routes, in front of the others")

    cluster = deepcopy(envoy.cluster(configuration, "orders"))
    cluster["name"] = cluster["load_assignment"]["cluster_name"] = CLUSTER
    (locality,) = cluster["load_assignment"]["endpoints"]
    host, port = address
    moved = {"socket_address": {"address": host, "port_value": port}}
    locality["lb_endpoints"] = [{"endpoint": {"address": moved}}]
    configuration["static_resources"]["clusters"].append(cluster)
