"""``sidecar keys``, as a person and as cron use it."""

import json
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from sidecar.rings.directory_ring import check_directory
from sidecar.rings.lifecycle import Timings
from sidecar.rings.ring_file import FILE, load_directory
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from tests.support.rings import signed_now, signing_ring, verifies
from tests.unit.cli.conftest import Outcome, Run

PERIOD = 30 * 86400

Later = Callable[[float], None]


@pytest.fixture
def directory(tmp_path: Path, run: Run) -> Path:
    """A ring that was made this moment."""
    made = tmp_path / "ring"
    assert run("keys", "new", "--directory", made).status == 0
    return made


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Moves the command line's clock on by so many seconds."""
    start = time.time()
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: start + seconds)


def kids(directory: Path) -> list[str]:
    return [key.key.kid for key in load_directory(directory).keys]


def rotate(run: Run, directory: Path, *options: str) -> Outcome:
    return run("keys", "rotate", "--directory", directory, *options)


def test_a_new_ring_signs_at_once_and_is_its_owners_alone(run: Run, tmp_path: Path) -> None:
    status, output, errors = run("keys", "new", "--directory", tmp_path / "ring")

    ring = signing_ring(tmp_path / "ring")
    assert verifies(signed_now(ring.signer(time.time())), ring.jwks(time.time()))
    assert (status, errors) == (0, "")
    assert output.startswith(f"{ring.keys[0].key.kid}  ES256    active until another key")
    assert stat.S_IMODE((tmp_path / "ring").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "ring" / FILE).stat().st_mode) == 0o600


def test_the_timings_are_kept_in_the_ring(run: Run, tmp_path: Path) -> None:
    timings = ["--verifier-refresh", "1m", "--token-life", "5m", "--leeway", "5s"]
    status, _, _ = run(
        *("keys", "new", "--directory", tmp_path, "--algorithm", "Ed25519", *timings),
        *("--propagation", "0s", "--period", "24h"),
    )

    ring = load_directory(tmp_path)
    assert status == 0
    assert ring.keys[0].key.algorithm == "Ed25519"
    assert (ring.timings.verifier_refresh, ring.timings.token_life) == (60, 300)
    assert (ring.timings.leeway, ring.timings.propagation, ring.timings.period) == (5, 0, 86400)


def test_without_options_the_timings_are_the_defaults(directory: Path) -> None:
    assert load_directory(directory).timings == Timings()


def test_a_ring_of_sealing_keys_has_the_timings_of_sessions(run: Run, tmp_path: Path) -> None:
    new = ("keys", "new", "--directory", tmp_path, "--algorithm", "A256GCM", "--leeway", "5s")
    status, output, _ = run(*new)

    ring = load_directory(tmp_path)
    assert status == 0
    assert output.startswith(f"{ring.keys[0].key.kid}  A256GCM  active until another key")
    assert ring.timings == Timings(verifier_refresh=1, token_life=43200, leeway=5)
    check_directory(tmp_path, SealingKey, replace(TIMINGS, leeway=5), time.time())


def test_sealing_keys_are_rotated_like_all_others(run: Run, tmp_path: Path, later: Later) -> None:
    run("keys", "new", "--directory", tmp_path, "--algorithm", "A256GCM")
    (first,) = kids(tmp_path)
    assert rotate(run, tmp_path, "--early").status == 0
    _, second = kids(tmp_path)

    later(133)
    output = run("keys", "list", "--directory", tmp_path).output
    assert f"{first}  A256GCM  retired; kept until " in output
    assert f"{second}  A256GCM  active until another key is" in output
    (secret, _) = (key["jwk"]["k"] for key in json.loads((tmp_path / FILE).read_bytes())["keys"])
    assert secret not in output


def test_a_ring_does_not_become_one_of_the_other_kind(run: Run, directory: Path) -> None:
    before = kids(directory)
    status, _, errors = rotate(run, directory, "--early", "--algorithm", "A256GCM")

    assert status == 1
    assert errors == (
        f"refused: {directory / FILE} holds keys for ES256; those for A256GCM are of another kind "
        "and need a ring of their own, which new makes\n"
    )
    assert kids(directory) == before


def test_timings_that_cannot_be_safe_make_no_ring(run: Run, tmp_path: Path) -> None:
    status, _, errors = run("keys", "new", "--directory", tmp_path / "ring", "--period", "4m")

    assert status == 2
    assert "it is published 190 s before its use" in errors
    assert not (tmp_path / "ring").exists()


def test_a_ring_is_not_replaced_by_a_new_one(run: Run, directory: Path) -> None:
    before = kids(directory)
    status, _, errors = run("keys", "new", "--directory", directory)

    assert status == 1
    assert errors == f"refused: {directory / FILE} exists; rotate adds keys to a ring\n"
    assert kids(directory) == before


def test_cron_rotates_when_it_is_time_and_at_no_other(
    run: Run, directory: Path, later: Later
) -> None:
    (first,) = kids(directory)
    untouched = (directory / FILE).stat().st_ino

    later(PERIOD - 1000)
    assert rotate(run, directory).output.startswith("nothing to do yet\n")
    assert (directory / FILE).stat().st_ino == untouched

    later(PERIOD - 190)
    output = rotate(run, directory).output
    _, second = kids(directory)
    assert output.startswith(f"published {second}\n")
    assert f"{first}  ES256    active until " in output
    assert f"{second}  ES256    published; active from " in output
    assert rotate(run, directory).output.startswith("nothing to do yet\n")

    later(PERIOD + 1)
    assert f"{first}  ES256    retired; kept until" in rotate(run, directory).output

    later(PERIOD + 82)
    listed = run("keys", "list", "--directory", directory).output
    assert f"{first}  ES256    gone; rotate takes it out" in listed
    assert rotate(run, directory).output.startswith(f"took out {first}\n")
    assert kids(directory) == [second]


def test_an_early_rotation_may_change_the_algorithm(run: Run, directory: Path) -> None:
    assert rotate(run, directory, "--early", "--algorithm", "PS256").status == 0
    assert [key.key.algorithm for key in load_directory(directory).keys] == ["ES256", "PS256"]

    again = rotate(run, directory, "--early")
    assert (again.status, again.output.splitlines()[0]) == (0, "nothing to do yet")


def test_a_key_in_use_is_revoked_only_by_force(run: Run, directory: Path) -> None:
    (first,) = kids(directory)
    status, _, errors = rotate(run, directory, "--revoke", first)
    assert status == 1
    assert errors.startswith(f"refused: {first} is active: tokens it signed are in use and would")
    assert kids(directory) == [first]

    status, output, _ = rotate(run, directory, "--revoke", first, "--force")
    (second,) = kids(directory)
    assert status == 0
    assert output.startswith(f"took out {first}\npublished {second}\n{first} is accepted nowhere")
    assert f"{second}  ES256    active" in output


@pytest.mark.parametrize(
    ("times", "until", "why"),
    [
        ((), 180, "120 s until every gateway has this ring (propagation), and twice 30 s until"),
        (
            ("--verifier-refresh", "5m", "--propagation", "5s"),
            605,
            "5 s until every gateway has this ring (propagation), and twice 300 s until",
        ),
    ],
)
def test_a_revocation_says_when_the_last_verifier_has_let_go(
    run: Run, tmp_path: Path, later: Later, *, times: tuple[str, ...], until: float, why: str
) -> None:
    run("keys", "new", "--directory", tmp_path, *times)
    (kid,) = kids(tmp_path)
    later(100)
    revoked = time.time()
    output = rotate(run, tmp_path, "--revoke", kid, "--force").output

    said = re.search(rf"{kid} is accepted nowhere after (\S+) ", output)
    assert said is not None
    assert datetime.fromisoformat(said[1]).timestamp() == int(revoked + until)
    assert why in output
    assert "one that cannot fetch keeps the key until max_stale" in output


def test_nothing_is_said_of_sidecars_where_session_keys_are_revoked(
    run: Run, tmp_path: Path
) -> None:
    run("keys", "new", "--directory", tmp_path, "--algorithm", "A256GCM")
    (kid,) = kids(tmp_path)
    output = rotate(run, tmp_path, "--revoke", kid, "--force").output

    assert "twice 1 s until" in output
    assert "sidecar" not in output


def test_a_revoked_key_gives_way_to_the_next_one_before_its_time(run: Run, directory: Path) -> None:
    rotate(run, directory, "--early")
    first, second = kids(directory)
    output = rotate(run, directory, "--revoke", first, "--force").output

    assert output.startswith(f"took out {first}\nactivated {second} before its time\n")
    assert kids(directory) == [second]


def test_a_retired_key_is_revoked_only_by_force(run: Run, directory: Path, later: Later) -> None:
    rotate(run, directory, "--early")
    first, second = kids(directory)
    later(200)
    status, _, errors = rotate(run, directory, "--revoke", first)
    assert status == 1
    assert "it goes by itself when the last of them has expired" in errors

    assert rotate(run, directory, "--revoke", first, "--force").status == 0
    assert kids(directory) == [second]


def test_a_key_that_never_signed_may_go(run: Run, directory: Path) -> None:
    rotate(run, directory, "--early")
    first, second = kids(directory)

    assert rotate(run, directory, "--revoke", second).output.startswith(f"took out {second}\n")
    assert kids(directory) == [first]


@pytest.mark.parametrize("kid", ["-bXq3", "--0fa", "--force"])
def test_a_kid_may_begin_with_a_hyphen(run: Run, directory: Path, kid: str) -> None:
    status, _, errors = rotate(run, directory, "--revoke", kid, "--force")
    assert status == 1
    assert f"no key of the ring is called {kid}" in errors


def test_a_key_the_ring_does_not_have_is_not_revoked(run: Run, directory: Path) -> None:
    status, _, errors = rotate(run, directory, "--revoke", "nonsense", "--force")

    assert status == 1
    assert errors.startswith("refused: no key of the ring is called nonsense")


@pytest.mark.parametrize("action", ["list", "rotate"])
def test_a_directory_without_a_ring_is_2(run: Run, tmp_path: Path, action: str) -> None:
    status, output, errors = run("keys", action, "--directory", tmp_path)

    assert (status, output) == (2, "")
    assert f"{tmp_path / FILE} cannot be read" in errors


def test_a_directory_that_cannot_be_made_is_2(run: Run, tmp_path: Path) -> None:
    status, _, errors = run("keys", "new", "--directory", tmp_path / "missing" / "ring")

    assert status == 2
    assert "cannot be made: No such file or directory" in errors


@pytest.mark.parametrize(
    "options",
    [
        ["new", "--algorithm", "HS256"],
        ["new", "--token-life", "60"],
        ["rotate", "--early", "--revoke", "kid"],
        ["rotate", "--force"],
    ],
)
def test_wrong_use_is_2(run: Run, directory: Path, options: list[str]) -> None:
    assert run("keys", options[0], "--directory", directory, *options[1:]).status == 2


def test_nothing_private_is_printed(run: Run, directory: Path) -> None:
    secret = json.loads((directory / FILE).read_bytes())["keys"][0]["jwk"]["d"]
    printed = [rotate(run, directory, "--early"), run("keys", "list", "--directory", directory)]

    assert all(secret not in outcome.output + outcome.errors for outcome in printed)


def test_of_two_rotations_at_once_one_publishes(directory: Path) -> None:
    command = [sys.executable, "-m", "sidecar", "keys", "rotate", "--directory", str(directory)]
    both = [
        subprocess.Popen([*command, "--early"], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = sorted(process.communicate(timeout=60)[0] for process in both)

    assert [process.returncode for process in both] == [0, 0]
    assert [output.split()[0] for output in outputs] == ["nothing", "published"]
    assert len(kids(directory)) == 2
