"""``Trace``: told what a check finds at each of its steps; ``sidecar check`` prints it.

The pipelines report to the trace themselves, so that an explanation cannot differ from the check.
"""

from typing import Protocol

from sidecar.model import Step


class Trace(Protocol):
    """Told what a check finds. It is optional, and without one nothing is collected.

    A step is noted when its input is known, whether it passes or not. ``found`` is, for

        PATH        the canonical path; the path as received where it has none
        ROUTE       the request, and its route; None where no route takes it
        CREDENTIAL  the credential; None where there is none
        PARSE       the token's text, and the token; None where it cannot be read
        TRUST       the token, and its trust entry; None where there is none
        KEY         the trust entry, and its usable keys; None where there are none
        SIGNATURE   the key that was tried, and whether the signature holds; once for each key
        SESSION     the name of the session's credential, and the session's text
        CLAIMS      the token, whose signature holds
        POLICY      the route, and the verified token; None without a credential; at a gateway,
                    the credential's name as well, and the claims that it has, declared or not
        IDENTITY    the settings of the identity headers, and the verified token
        MINT        the token for the services
    """

    def note(self, step: Step, *found: object) -> None:
        """Something was found at a step."""
        ...
