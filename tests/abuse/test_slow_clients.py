"""No request of a good client fails while a hostile one does its worst."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.abuse.attacks import ON_BOTH, ON_GATEWAYS, Make
from tests.abuse.conftest import Target

Note = Callable[[str, object], None]


def _each(*attacks: Make) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("attack", attacks, ids=lambda attack: attack.__name__)


@_each(*ON_BOTH)
def test_sidecar_serves_others(
    attack: Make, sidecar_target: Target, tmp_path: Path, record_property: Note
) -> None:
    _hold(attack, sidecar_target, tmp_path, record_property)


@_each(*ON_BOTH, *ON_GATEWAYS)
def test_gateway_serves_others(
    attack: Make, gateway_target: Target, tmp_path: Path, record_property: Note
) -> None:
    _hold(attack, gateway_target, tmp_path, record_property)


def _hold(attack: Make, target: Target, directory: Path, note: Note) -> None:
    quiet = target.quiet
    served, hostile = target.under(attack, directory)
    note(
        attack.__name__,
        f"p50 {quiet.p50 * 1000:.1f} -> {served.p50 * 1000:.1f} ms,"
        f" p99 {quiet.p99 * 1000:.1f} -> {served.p99 * 1000:.1f} ms"
        f" ({served.p99 / quiet.p99:.1f} x quiet); {hostile}",
    )
    assert hostile.sent
    assert served.failures == ()
