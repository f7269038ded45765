"""The payments service, which only other services call.

``python -m examples.shop.payments [HOST:]PORT``
"""

import sys

from typing_extensions import override

from examples.shop.service import Service, serve


class Payments(Service):
    """Payments: which of them, its sidecar has decided."""

    @override
    def respond(self) -> None:
        self.answer(200)


if __name__ == "__main__":
    serve(Payments, sys.argv[1])
