"""Subjects of several issuers, told apart by what stands in front of them."""

from sidecar.model import VerifiedToken


def prefixed(token: VerifiedToken, prefix: str) -> VerifiedToken:
    """The credential whose subject begins with ``prefix``, wherever it is read from now on.

    In its claims as well, which conditions see and tokens may copy: they would otherwise take one
    issuer's bob for another's. So do those who act for the subject (RFC 8693 §4.1): an issuer must
    not name workloads of ours.
    """
    if not prefix:
        return token
    subject = prefix + token.subject
    claims = {**token.claims, "sub": subject}
    if "act" in claims:
        claims["act"] = _prefixed_actor(claims["act"], prefix)
    return token._replace(subject=subject, claims=claims)


def _prefixed_actor(actor: object, prefix: str) -> object:
    if not isinstance(actor, dict):
        return actor
    changed = {**actor}
    if isinstance(actor.get("sub"), str):
        changed["sub"] = prefix + actor["sub"]
    if "act" in actor:
        changed["act"] = _prefixed_actor(actor["act"], prefix)
    return changed
