import pytest

from sidecar.check.templates import PathTemplate, TemplateError, Wild


def test_a_template_is_literal_segments_parameters_and_wildcards() -> None:
    template = PathTemplate.parse("/shops/{shop}/*/files/**")

    assert template.segments == ("shops", Wild.ONE, Wild.ONE, "files", Wild.REST)
    assert template.parameters == (("shop", 1),)


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
        ("/a{id}", "stands for a whole segment"),
        ("/{1}", "stands for a whole segment"),
        ("/{}", "stands for a whole segment"),
        ("/a*", "stands for a whole segment"),
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
    ],
)
def test_a_path_fits_segment_by_segment(text: str, segments: list[str], fits: bool) -> None:
    assert PathTemplate.parse(text).fits(segments) is fits
