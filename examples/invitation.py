"""Lines to copy into another terminal, when the tour is over."""

import shlex
import sys
from pathlib import Path
from typing import Final

from examples.world import HOST, World

_LINES: Final = """
Everything stays up until Ctrl-C. In another terminal, in this folder:

  alice() {{ curl -K {curl} "https://{host}:{port}$@"; }}
  alice /orders/42
  alice /orders -X POST -H 'x-user-id: root'
  alice /customers/bob/orders

The keys that services verify with, and what gateway and sidecar have to show:

  curl {jwks}
  curl {gateway}/
  curl {orders}/

A token of hers as it reached orders a while ago. Why is it refused now?

  {sidecar} check -c {configuration} --fetch GET /orders/42 < {token}
"""


def invitation(world: World, directory: Path) -> str:
    """The lines. What they need is written to ``directory``, so that no secret is among them."""
    _, port = world.edge.envoy.address
    curl, token = directory / "alice.curl", directory / "token"
    session = world.provider.login("alice")
    cookie = ("cookie", f"sso_session={session}")
    curl.write_text(
        f'cacert = "{world.edge.ca_file}"\n'
        f'resolve = "{HOST}:{port}:127.0.0.1"\n'
        f'cookie = "sso_session={session}"\n'
        'noproxy = "*"\ninclude\nsilent\nshow-error\n'
    )
    token.write_text(world.ask("GET", "/orders/42", cookie).arrived["orders"].token)
    return _LINES.format(
        curl=curl,
        host=HOST,
        port=port,
        jwks=world.gateway.jwks_url,
        gateway=world.gateway.admin_url,
        orders=world.orders.sidecar.admin_url,
        sidecar=f"{shlex.quote(sys.executable)} -m sidecar",
        configuration=world.orders.sidecar.configuration_file,
        token=token,
    )
