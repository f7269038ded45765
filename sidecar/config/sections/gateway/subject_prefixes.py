"""The rules for ``subject_prefix`` of credentials: subjects of two issuers must not look alike.

A subject is unique within its issuer (RFC 7519 §4.1.2). Where a credential takes tokens of many
issuers, the prefix carries the issuer, so that each pair of issuer and subject has a text of its
own: no prefix is the beginning of another.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from sidecar.config.problems import Finding
from sidecar.config.rules import Draft, rule
from sidecar.config.sections.gateway.credentials import CredentialSection
from sidecar.config.sections.trust import Trust
from sidecar.config.values import format_value
from sidecar.gateway.identities import SubjectPrefix
from sidecar.jose.issuers import SEGMENT

_ISSUER: Final = "iss"
_BRACE: Final = re.compile(r"[{}]")
_APART: Final = '"{iss}|"'


@rule("trust")
def subjects_carry_their_issuer(draft: Draft) -> Iterator[Finding]:
    """A credential of many issuers has a prefix that tells them apart."""
    entries = {trust.name: trust for _, trust in draft.items("trust", Trust)}
    for here, each in draft.items("credentials", CredentialSection):
        trusts = [entries[name] for name in each.trusts if name in entries]
        place = (*here, "subject_prefix") if each.subject_prefix else (*here, "name")
        for text in problems(each.subject_prefix, trusts):
            yield Finding(place, text)


def problems(text: str, trusts: Sequence[Trust]) -> Iterator[str]:
    """What is wrong with the ``subject_prefix`` of a credential of these trust entries."""
    prefix = SubjectPrefix.parse(text)
    many = [trust for trust in trusts if trust.has_many_issuers]
    if _BRACE.search(prefix.before + prefix.after):
        yield f"{format_value(text)} has a brace that belongs to no placeholder; leave it out"
    elif prefix.claim is None and many:
        template = many[0].template if len(trusts) == 1 else None
        claim = template.placeholder if template else _ISSUER
        yield (
            f'"{many[0].name}" has many issuers, and two of them may give two people one sub; '
            f'write a subject_prefix that has the issuer in it: "{{{claim}}}:"'
        )
    elif prefix.claim is not None and not trusts:
        yield "a placeholder is for a jwt: of other credentials no issuer is verified; leave it out"
    elif prefix.claim not in (None, _ISSUER) and not _is_of_one_pattern(prefix.claim, trusts):
        yield (
            f"{{{prefix.claim}}} does not tell all issuers of this credential apart: they are not "
            "those of one issuer_pattern with this placeholder; write {iss}"
        )
    elif prefix.claim is not None:
        yield from _ambiguous(prefix, trusts)


def _is_of_one_pattern(claim: str | None, trusts: Sequence[Trust]) -> bool:
    templates = {trust.template for trust in trusts}
    return len(templates) == 1 and all(each and each.placeholder == claim for each in templates)


def _ambiguous(prefix: SubjectPrefix, trusts: Sequence[Trust]) -> Iterator[str]:
    """What is wrong where the prefix of one issuer may be the beginning of another's."""
    for template in filter(None, (trust.template for trust in trusts)):
        after = (template.after if prefix.claim == _ISSUER else "") + prefix.after
        if not after or SEGMENT.match(after):
            yield (
                f"what follows {{{prefix.claim}}} could be a part of it; write a character there "
                f'that is no letter, digit or -: "{{{prefix.claim}}}:"'
            )
            return
    if prefix.claim != _ISSUER:
        return
    known = {issuer for trust in trusts for issuer in trust.known_issuers}
    unknown = {trust.open_template for trust in trusts} - {None}
    if unknown and (known or len(unknown) > 1):
        texts = [*known, *(each.filled("") for each in unknown if each)]
        after = prefix.after[:1]
        if not after or SEGMENT.match(after) or any(after in text for text in texts):
            yield (
                "one issuer of this credential could be the beginning of another; write a "
                f"character behind {{iss}} that none of them has: {_APART}"
            )
        return
    for one, other in pairwise(sorted(issuer + prefix.after for issuer in known)):
        if other.startswith(one):
            yield (
                f"{format_value(one)} is the beginning of {format_value(other)}, so subjects of "
                f"two issuers could look alike; write a character behind {{iss}} that no issuer "
                f"has: {_APART}"
            )
            return
