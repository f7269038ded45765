import json
from time import process_time

import pytest

from sidecar.jose.strict_json import MAXIMUM_DEPTH, MAXIMUM_NESTED, StrictJsonError, load_object


def nested(depth: int) -> bytes:
    """An object of this many levels, itself included."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"a": 1, "b": [true, null, -1.5e3], "c": {"a": "é"}}',
        ' {"a": "\\ud83d\\ude00"} ',
        '{"a": "\\\\ud800 is written with an escaped backslash"}',
        '{"a": -' + "1" * 1000 + "}",
    ],
    ids=["empty", "every type", "surrogate pair", "escaped backslash", "large integer"],
)
def test_a_strict_object_is_read_as_json_reads_it(text: str) -> None:
    assert load_object(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "is not UTF-8 JSON", id="nothing"),
        pytest.param(b"{", "is not UTF-8 JSON", id="cut off"),
        pytest.param(b"{} {}", "is not UTF-8 JSON", id="something behind it"),
        pytest.param(b'{"a": 1,}', "is not UTF-8 JSON", id="comma at the end"),
        pytest.param(b'{"a": "\n"}', "is not UTF-8 JSON", id="control character in a string"),
        pytest.param(b'{"a": "\xff"}', "is not UTF-8 JSON", id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", "is not UTF-8 JSON", id="byte order mark"),
        pytest.param("{}".encode("utf-16"), "is not UTF-8 JSON", id="UTF-16"),
        pytest.param("{}".encode("utf-16-le"), "is not UTF-8 JSON", id="UTF-16 without a mark"),
        pytest.param("{}".encode("utf-32"), "is not UTF-8 JSON", id="UTF-32"),
        pytest.param(b"[]", "is not a JSON object", id="list"),
        pytest.param(b"null", "is not a JSON object", id="null"),
        pytest.param(b'{"a": 1, "a": 1}', "holds a name twice", id="name twice"),
        pytest.param(b'{"a": 1, "\\u0061": 2}', "holds a name twice", id="name twice, escaped"),
        pytest.param(b'{"a": [{"b": 1, "b": 2}]}', "holds a name twice", id="name twice, inside"),
        pytest.param(b'{"a": NaN}', "holds NaN or an infinity", id="NaN"),
        pytest.param(b'{"a": Infinity}', "holds NaN or an infinity", id="infinity"),
        pytest.param(b'{"a": -Infinity}', "holds NaN or an infinity", id="minus infinity"),
        pytest.param(b'{"a": 1e400}', "holds a number beyond any range", id="1e400"),
        pytest.param(b'{"a": -1e400}', "holds a number beyond any range", id="-1e400"),
        pytest.param(
            b'{"a": ' + b"1" * 1001 + b"}", "holds a number beyond any range", id="enormous integer"
        ),
        pytest.param(b'{"a": "\\ud800"}', "holds half of a surrogate pair", id="lone surrogate"),
        pytest.param(b'{"\\uDC00": 1}', "holds half of a surrogate pair", id="surrogate in a name"),
    ],
)
def test_anything_else_is_refused_with_the_rule_it_breaks(data: bytes, problem: str) -> None:
    with pytest.raises(StrictJsonError, match=f"^{problem}$"):
        load_object(data)


def test_nesting_is_allowed_up_to_the_limit() -> None:
    assert load_object(nested(MAXIMUM_DEPTH))

    with pytest.raises(StrictJsonError, match="nested more than 32 levels deep"):
        load_object(nested(MAXIMUM_DEPTH + 1))


def test_lists_and_objects_count_alike_as_levels() -> None:
    def mixed(pairs: int) -> bytes:
        return b'{"a":[' * pairs + b"]}" * pairs

    assert load_object(mixed(MAXIMUM_DEPTH // 2))

    with pytest.raises(StrictJsonError, match="nested more than 32 levels deep"):
        load_object(mixed(MAXIMUM_DEPTH // 2 + 1))


@pytest.mark.parametrize("data", [b'{"a":' * 5000, b"[" * 100_000, b'{"a":[' * 5000])
def test_a_bomb_is_refused_before_it_is_read(data: bytes) -> None:
    with pytest.raises(StrictJsonError, match="nested more than 32 levels deep"):
        load_object(data)


@pytest.mark.parametrize(
    "text", ["[" * 200, '\\"' + "[" * 200, "\\\\" + "{" * 200], ids=["plain", "quote", "backslash"]
)
def test_brackets_inside_a_string_are_not_nesting(text: str) -> None:
    assert load_object(b'{"a": "%s"}' % text.encode())


def test_lists_and_objects_are_bounded() -> None:
    assert load_object(b'{"a": [%s]}' % b",".join([b"{}"] * (MAXIMUM_NESTED - 2)))

    with pytest.raises(StrictJsonError, match="holds more than 4096 lists and objects"):
        load_object(b'{"a": [%s]}' % b",".join([b"{}"] * (MAXIMUM_NESTED - 1)))


def test_many_brackets_side_by_side_are_not_nesting() -> None:
    assert load_object(b'{"a": [%s]}' % b",".join([b"{}"] * 100))
    assert load_object(b'{"a": [%s]}' % b",".join([nested(MAXIMUM_DEPTH - 2)] * 100))

    with pytest.raises(StrictJsonError, match="nested more than 32 levels deep"):
        load_object(b'{"a": [[], %s]}' % nested(MAXIMUM_DEPTH - 1))


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": [%s]}' % b",".join([b"[]"] * 40 + [b"["] * 40),
        b"[" * 20 + b'{"a": [' * 10 + b"}" * 40,
    ],
    ids=["never closed", "closed by others"],
)
def test_brackets_that_do_not_match_are_no_json(data: bytes) -> None:
    with pytest.raises(StrictJsonError):
        load_object(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1, "b": 2, "c": 3, "d": 4}',
        b'{"a": [1, 2, 3]}',
        b'{"a": [{}, 1]}',
        b'{"a": ",[{"}',
    ],
    ids=["members", "items", "objects and lists", "in a string"],
)
def test_an_object_has_at_most_so_many_values(data: bytes) -> None:
    assert load_object(data, 4)

    with pytest.raises(StrictJsonError, match="holds more than 3 values"):
        load_object(data, 3)


def test_a_string_that_never_ends_costs_linear_time() -> None:
    def cost(quotes: int) -> float:
        start = process_time()
        with pytest.raises(StrictJsonError):
            load_object(b"[" * 40 + b'"' + b'\\"' * quotes)
        return process_time() - start

    # Quadratic, this would be 400 times as much; 0.5 s is far above any noise.
    assert cost(200_000) < 0.5
