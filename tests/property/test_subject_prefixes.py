"""Where a ``subject_prefix`` loads, no two issuers can give two people one subject."""

from itertools import combinations, product
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.config.sections.gateway.subject_prefixes import problems
from sidecar.config.sections.trust import Trust
from sidecar.gateway.identities import SubjectPrefix

# Few letters, so that issuers are often the beginning of others.
VALUES = st.text("ab-", min_size=1, max_size=3)
PARTS = st.text("a:|/", max_size=3)
ISSUERS = st.lists(
    st.builds("https://a{}".format, st.text("ab:/|", max_size=4)), min_size=1, max_size=3
)


def trust(**issuers: Any) -> Trust:
    return Trust.model_validate(
        {
            "name": "acme",
            "kind": "external",
            "audiences": ["shop"],
            "algorithms": ["ES256"],
            "types": ["jwt"],
            "keys": {"jwks": {"url": "https://acme.example/keys"}},
            **issuers,
        }
    )


@st.composite
def patterns(draw: st.DrawFn) -> Trust:
    path, after = draw(st.sampled_from(["", "b/"])), draw(st.sampled_from(["", "/", "/b", "/a:"]))
    pattern = f"https://a/{path}{{tid}}{after}"
    values = draw(st.one_of(st.just("any"), st.lists(VALUES, min_size=1, max_size=3)))
    return trust(issuer_pattern={"pattern": pattern, "values": values})


TRUSTS = st.lists(
    st.one_of(st.builds(lambda issuers: trust(issuers=issuers), ISSUERS), patterns()),
    min_size=1,
    max_size=3,
)


def prefixes(prefix: SubjectPrefix, trusts: list[Trust], values: list[str]) -> dict[str, str]:
    """What stands in front of each issuer's subjects, of these values where any is accepted."""
    filled = {}
    for each in trusts:
        accepted = dict.fromkeys(each.known_issuers, "")
        if each.issuer_pattern is not None:
            chosen = each.issuer_pattern.values or values
            accepted = {each.issuer_pattern.pattern.filled(value): value for value in chosen}
        for issuer, value in accepted.items():
            filled[issuer] = prefix.of({"iss": issuer, "tid": value})
    return filled


@given(
    trusts=TRUSTS,
    before=PARTS,
    claim=st.sampled_from(["iss", "tid"]),
    after=PARTS,
    values=st.lists(VALUES, min_size=1, max_size=4),
)
def test_no_prefix_of_an_issuer_is_the_beginning_of_another(
    trusts: list[Trust], before: str, claim: str, after: str, values: list[str]
) -> None:
    text = f"{before}{{{claim}}}{after}"
    assume(not list(problems(text, trusts)))

    filled = prefixes(SubjectPrefix.parse(text), trusts, values)

    for one, other in combinations(filled, 2):
        assert not filled[one].startswith(filled[other]), (one, other)
        assert not filled[other].startswith(filled[one]), (one, other)


def test_a_prefix_is_accepted_for_each_kind_of_issuers() -> None:
    pattern = {"pattern": "https://a/{tid}/b", "values": "any"}
    listed, tenants = trust(issuers=["https://a", "https://b"]), trust(issuer_pattern=pattern)

    for text, trusts in product(["{iss}|", "x{iss}|"], [[listed], [tenants], [listed, tenants]]):
        assert not list(problems(text, trusts))
    assert not list(problems("{tid}:", [tenants]))
