"""The trie finds what a slow and plain reading of "the most specific wins" finds."""

from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.check.routes import Match, Route, RouteTable, ties
from sidecar.check.templates import Affixed, Segment, Wild
from tests.support.checks import route

METHODS = ["GET", "HEAD", "POST"]
HOSTS = ["shop.test", "a.shop.test", "*.shop.test", "*.a.shop.test", "*.test"]

templates = st.lists(
    st.sampled_from(["a", "b", "*", "{p}", "a{p}", "{p}b", "a{p}b"]), max_size=3
).flatmap(
    lambda parts: st.sampled_from([parts, [*parts, "**"], [*parts, ""]]).map(
        lambda all_parts: "/" + "/".join(all_parts)
    )
)
templates = templates.filter(lambda text: text.count("{p}") < 2 and "//" not in text)
routes = st.lists(
    st.tuples(
        templates,
        st.lists(st.sampled_from(METHODS), max_size=2),
        st.lists(st.sampled_from(HOSTS), max_size=2),
    ),
    max_size=8,
).map(
    lambda descriptions: [
        route(str(number), path, methods=tuple(methods), hosts=tuple(hosts))
        for number, (path, methods, hosts) in enumerate(descriptions)
    ]
)
paths = st.lists(st.sampled_from(["a", "b", "c", "", "ab", "aab", "acb", "a%20b"]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
hosts = st.sampled_from(["", "shop.test", "a.shop.test", "b.a.shop.test", "x.test", "other"])

Rank = tuple[tuple[int, ...], ...]


def host_rank(match: Match, host: str) -> int | None:
    """Higher is more specific; None where no host of the match is this one."""
    ranks = [0] if not match.hosts else []
    for pattern in match.hosts:
        if pattern == host:
            ranks.append(1000)
        elif pattern.startswith("*.") and host.endswith(pattern[1:]) and host != pattern[1:]:
            ranks.append(len(pattern))
    return max(ranks, default=None)


def path_rank(match: Match, path: str) -> Rank | None:
    segments = path[1:].split("/")
    if not match.template.fits(segments):
        return None
    return tuple(map(segment_rank, match.template.segments))


def segment_rank(segment: Segment) -> tuple[int, ...]:
    if isinstance(segment, Affixed):
        return 3, len(segment.prefix) + len(segment.suffix), len(segment.prefix)
    return {Wild.ONE: (2,), Wild.REST: (1,)}[segment] if isinstance(segment, Wild) else (4,)


def method_rank(match: Match, method: str) -> int | None:
    if method in match.methods:
        return 3
    if method == "HEAD" and "GET" in match.methods:
        return 2
    return None if match.methods else 1


def slow_find(table: list[Route], host: str, path: str, method: str) -> str | None:
    """Rank every route that matches, and take the highest."""
    ranked = []
    for candidate in table:
        assert candidate.match is not None
        ranks = (
            host_rank(candidate.match, host),
            path_rank(candidate.match, path),
            method_rank(candidate.match, method),
        )
        if None not in ranks:
            ranked.append((ranks, candidate.name))
    return max(ranked)[1] if ranked else None


@given(routes, hosts, paths, st.sampled_from([*METHODS, "PUT", "get"]))
def test_the_most_specific_route_wins(
    table: list[Route], host: str, path: str, method: str
) -> None:
    assume(not ties(table))
    found = RouteTable(table).find(host, path, method)

    assert (found.name if found else None) == slow_find(table, host, path, method)
