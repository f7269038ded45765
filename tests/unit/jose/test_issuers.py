"""Issuers with a placeholder."""

import pytest

from sidecar.jose.issuers import IssuerTemplate, overlap, parse_template

TENANT = IssuerTemplate("https://login.test/", "tid", "/v2.0")


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("https://login.test/{tid}/v2.0", TENANT),
        ("https://sts.test/{tid}/", IssuerTemplate("https://sts.test/", "tid", "/")),
        ("http://a.test:8080/x/{a_b-c}", IssuerTemplate("http://a.test:8080/x/", "a_b-c", "")),
    ],
)
def test_a_placeholder_is_a_segment_of_the_path(text: str, template: IssuerTemplate) -> None:
    assert parse_template(text) == template
    assert str(template) == text


@pytest.mark.parametrize(
    "text",
    [
        "https://login.test/v2.0",
        "https://login.test/{}/v2.0",
        "https://login.test/{t id}/v2.0",
        "https://login.test/a{tid}/v2.0",
        "https://login.test/{tid}a/v2.0",
        "https://login.test/{tid}/{oid}",
        "https://login.test/{tid",
        "https://login.test/{{tid}}",
        "https://{tid}/v2.0",
        "https://{tid}.login.test/v2.0",
        "{tid}://login.test/v2.0",
        "https://login.test/a?b=/{tid}",
        "https://login.test/{tid}?b=1",
        "https://login.test/{tid}#b",
        "https://login.test/{tid}/*",
        "https://login.test/{tid}/v2.0\n",
        "urn:tenant/{tid}",
    ],
)
def test_nothing_else_is_a_template(text: str) -> None:
    assert parse_template(text) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("https://a.test/{x}/v", "https://a.test/{y}/v", True),
        ("https://a.test/{x}/v", "https://a.test/b/{y}", True),
        ("https://a.test/{x}/v2.0", "https://a.test/b/{y}", False),
        ("https://a.test/{x}/v", "https://a.test/b.c/{y}", False),
        ("https://a.test/{x}/v", "https://a.test/{x}", False),
        ("https://a.test/{x}", "https://b.test/{x}", False),
        ("https://a.test/{x}/", "https://a.test/{x}", False),
    ],
)
def test_two_templates_may_have_an_issuer_in_common(one: str, other: str, expected: bool) -> None:
    first, second = parse_template(one), parse_template(other)
    assert first is not None
    assert second is not None

    assert overlap(first, second) is expected
    assert overlap(second, first) is expected
