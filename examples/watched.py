"""Runs a service of the shop, and writes down what arrives at it for the tour to look at.

``python -m examples.watched SERVICE PORT FILE``. A service that did so in earnest would be one more
place to steal tokens from.
"""

import json
import sys
from pathlib import Path
from typing import ClassVar, Final

from typing_extensions import override

from examples.shop.orders import Orders
from examples.shop.payments import Payments
from examples.shop.service import Service, serve


class Watched(Service):
    """The header lines of each request become a line of ``file``."""

    file: ClassVar[Path]

    @override
    def parse_request(self) -> bool:
        readable = super().parse_request()
        if readable:
            with self.file.open("a") as lines:
                lines.write(json.dumps(self.headers.items()) + "\n")
        return readable


class WatchedOrders(Watched, Orders):
    """The orders service, watched."""


class WatchedPayments(Watched, Payments):
    """The payments service, watched."""


SERVICES: Final[dict[str, type[Watched]]] = {"orders": WatchedOrders, "payments": WatchedPayments}


if __name__ == "__main__":
    name, port, file = sys.argv[1:]
    Watched.file = Path(file)
    serve(SERVICES[name], port)
