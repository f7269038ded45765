"""The orders service. What it has to know of payments it asks the payments service, as its caller.

``PAYMENTS_URL=… python -m examples.shop.orders [HOST:]PORT``
"""

import os
import sys

from typing_extensions import override

from examples.shop.service import Service, serve


class Orders(Service):
    """Orders, each with what has been paid for it."""

    @override
    def respond(self) -> None:
        match self.command, *self.path.split("/")[1:]:
            case "GET", "orders", order:
                self._with_payments("GET", f"/payments/{order}")
            case "POST", "orders":
                self._with_payments("POST", "/payments")
            case "POST", "orders", order, "refund":
                self._with_payments("POST", f"/payments/{order}/refund")
            case ["GET", "customers", _, "orders"] | ["GET", "healthz"]:
                self.answer(200)
            case _:
                self.answer(404)

    def _with_payments(self, method: str, path: str) -> None:
        """Answer with what payments says to this, or with what has come between."""
        status, payments = self.ask(os.environ["PAYMENTS_URL"], method, path)
        if status in {200, 403}:  # done, or nothing the caller may do
            self.answer(status, payments=payments)
        else:  # a 401 is between the two services: the caller's login is as good as before
            self.answer(502, payments=payments)


if __name__ == "__main__":
    serve(Orders, sys.argv[1])
