"""A service of the shop that writes what reaches it, a line of JSON for each request.

``python -m tests.support.recorded -m examples.shop.payments PORT`` in place of
``python -m examples.shop.payments PORT``.
"""

import json
import os
import runpy
import sys

from examples.shop.service import Service

_parse_request = Service.parse_request


def _record(service: Service) -> bool:
    """Parse a request, and write it down before it is answered."""
    understood = _parse_request(service)
    if understood:
        request_id = service.headers.get("x-request-id")
        user = service.caller().get("x-user-id")
        line = json.dumps({"request_id": request_id, "path": service.path, "user": user})
        # One write for each line, as requests are answered side by side.
        os.write(sys.stdout.fileno(), f"{line}\n".encode())
    return understood


if __name__ == "__main__":
    Service.parse_request = _record  # type: ignore[method-assign, assignment] # any service
    _, _, module, *arguments = sys.argv
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
