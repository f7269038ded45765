from itertools import product

import pytest

from sidecar.check.path import decoded
from sidecar.check.templates import Affixed, PathTemplate, TemplateError, Wild


def test_a_template_is_literal_segments_parameters_and_wildcards() -> None:
    template = PathTemplate.parse("/shops/{shop}/*/files/**")

    assert template.segments == ("shops", Wild.ONE, Wild.ONE, "files", Wild.REST)
    assert template.parameters == (("shop", 1),)


def test_a_parameter_may_have_literal_text_on_both_sides() -> None:
    template = PathTemplate.parse("/v1/{name}:cancel/a-{file}.json/x-{id}")

    assert template.segments == (
        "v1",
        Affixed("", ":cancel"),
        Affixed("a-", ".json"),
        Affixed("x-", ""),
    )
    assert template.parameters == (("name", 1), ("file", 2), ("id", 3))


@pytest.mark.parametrize("text", ["/", "/orders", "/orders/", "/caf%C3%A9", "/a;b"])
def test_a_canonical_path_is_a_template(text: str) -> None:
    assert "/" + "/".join(map(str, PathTemplate.parse(text).segments)) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "begins with a slash"),
        ("orders", "begins with a slash"),
        ("/**/a", r"\*\* stands only at the end"),
        ("/a//b", "an empty segment"),
        ("/{id}/{id}", "the parameter {id} stands twice"),
        ("/{a}{b}", "a segment has at most one parameter"),
        ("/{a}-{b}", "a segment has at most one parameter"),
        ("/{id", "a segment has at most one parameter"),
        ("/{1}", "a name of letters, digits and _"),
        ("/{}", "a name of letters, digits and _"),
        ("/{id}/x-{id}", "the parameter {id} stands twice"),
        ("/a*", r"\* stands for a whole segment; with text beside it, give it a name"),
        ("/*.json", r"\* stands for a whole segment"),
        ("/{id}*", r"\* stands for a whole segment"),
        ("/%61-{id}", "'%61-' could never match: write it as 'a-'"),
        ("/{id}%3acancel", "'%3acancel' could never match: write it as ':cancel'"),
        ("/{id}%2Fa", "'%2Fa' could never match: it holds an encoded slash"),
        ("/{id}?a", r"'\?a' could never match: write it as ''"),
        ("/a[{id}", "write it as 'a%5B'"),
        ("/a?b", "could never match: write it as 'a'"),
        ("/%6frders", "could never match: write it as 'orders'"),
        ("/caf%c3%a9", "could never match: write it as 'caf%C3%A9'"),
        ("/a b", "could never match: it holds a character"),
        ("/..", "could never match: it holds a dot segment"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(text: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=problem):
        PathTemplate.parse(text)


@pytest.mark.parametrize(
    ("text", "segments", "fits"),
    [
        ("/orders/{id}", ["orders", "7"], True),
        ("/orders/{id}", ["orders", ""], False),
        ("/orders/{id}", ["orders"], False),
        ("/orders/{id}", ["orders", "7", "ship"], False),
        ("/orders/{id}", ["carts", "7"], False),
        ("/files/**", ["files", "a", "b"], True),
        ("/files/**", ["files", ""], True),
        ("/files/**", ["files"], False),
        ("/files/**", ["other", "a"], False),
        ("/jobs/{id}:cancel", ["jobs", "7:cancel"], True),
        ("/jobs/{id}:cancel", ["jobs", "a:cancel:cancel"], True),
        ("/jobs/{id}:cancel", ["jobs", ":cancel"], False),
        ("/jobs/{id}:cancel", ["jobs", "7:CANCEL"], False),
        ("/jobs/{id}:cancel", ["jobs", "7:cancel", ""], False),
        ("/x-{id}", ["x-7"], True),
        ("/x-{id}", ["x-"], False),
        ("/x-{id}", ["y-7"], False),
        ("/a-{id}-a", ["a-a"], False),
        ("/a-{id}-a", ["a-7-a"], True),
        # No part of an encoding is literal text.
        ("/{id}0", ["a%20"], False),
        ("/{id}20", ["a%20"], False),
        ("/{id}20", ["%20"], False),
        ("/{id}0", ["%20"], False),
        ("/{id}20", ["%2020"], True),
        ("/{id}0", ["a%200"], True),
    ],
)
def test_a_path_fits_segment_by_segment(text: str, segments: list[str], fits: bool) -> None:
    assert PathTemplate.parse(text).fits(segments) is fits


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("/a/{id}:cancel", "/a/b:c:cancel", {"id": "b:c"}),
        ("/a/v-{id}.json", "/a/v-1.json.json", {"id": "1.json"}),
        ("/{a}/{b}", "/x%20/y", {"a": "x%20", "b": "y"}),
        ("/a/{id}:cancel", "/a/b", {}),
        ("/a", "/a", {}),
    ],
)
def test_values_are_what_stands_at_the_parameters(
    text: str, path: str, values: dict[str, str]
) -> None:
    assert PathTemplate.parse(text).values(path) == values


@pytest.mark.parametrize(
    ("text", "path", "inside"),
    [
        ("/a/{id}", "/a/b", True),
        ("/a/{id}", "/a/b%2Fc%2Fd", True),
        ("/{a}/{b}", "/b%2Fc/d%2Fe", True),
        ("/{a}/*", "/b%2Fc/d", True),
        ("/{a}/*", "/b/d%2Fe", False),
        ("/{a}/*", "/b%2Fc/d%2Fe", False),
        ("/{a}/**", "/b/d%2Fe", False),
        ("/a/{id}", "/b%2Fc", False),
        ("/a/{id}:cancel", "/a/b%2Fc:cancel", True),
        ("/a/{id}:cancel", "/a/b%2F:cancel", False),
        ("/a/x-{id}", "/a/x-%2Fb", False),
        ("/a/{id}F", "/a/b%2F", False),
    ],
)
def test_a_slash_is_enclosed_where_it_divides_the_value_of_a_parameter(
    text: str, path: str, *, inside: bool
) -> None:
    assert PathTemplate.parse(text).encloses_slashes(path) is inside


def test_a_parameter_beside_text_has_whole_encodings() -> None:
    affixes = ["", "a", "0", "20", "%20", "2%20", "%20a"]
    segments = ["".join(parts) for parts in product(["", "a", "0", "2", "%20", "%25"], repeat=3)]
    for prefix, suffix, segment in product(affixes, affixes, segments):
        value = Affixed(prefix, suffix).value_in(segment)
        if value is not None:
            assert decoded(prefix) + decoded(value) + decoded(suffix) == decoded(segment)
