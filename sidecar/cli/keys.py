"""``sidecar keys``: create, list and rotate a ring of keys in a directory.

``rotate`` is meant for cron: it does what is due, which is usually nothing, and prints it.
"""

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from sidecar.cli.texts import dated
from sidecar.config.values import seconds
from sidecar.errors import SourceFault
from sidecar.rings.lifecycle import KeyDates, State
from sidecar.rings.local_key import DEFAULT_ALGORITHM
from sidecar.rings.ring import KeyRing, begin, next_publication, next_step, revoked, rotated
from sidecar.rings.ring_file import (
    ALGORITHMS,
    FILE,
    default_timings,
    load_directory,
    locked,
    new_key,
    seals,
    store,
)

_TIMINGS: Final = {
    "verifier_refresh": (
        "the longest time between two fetches of any verifier; 30s if not given, 1s for A256GCM"
    ),
    "token_life": (
        "the longest life of a token the keys sign, or of a session; 60s if not given, 12h for "
        "A256GCM"
    ),
    "leeway": ("how far clocks may be apart, what verifiers allow for included; 10s if not given"),
    "propagation": ("the time until every gateway has read a change of the ring; 2m if not given"),
    "period": "how long a key is active; 720h if not given",
}
_KINDS: Final = "A256GCM makes keys that seal sessions, the others keys that sign request tokens"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = _action(actions.add_parser, "new", "make a ring with one key, active at once", _new)
    new.add_argument(
        "--algorithm",
        choices=ALGORITHMS,
        default=DEFAULT_ALGORITHM,
        help=f"{_KINDS}; {DEFAULT_ALGORITHM} if not given",
    )
    for name, meaning in _TIMINGS.items():
        option = f"--{name.replace('_', '-')}"
        new.add_argument(option, metavar="TIME", type=_duration, help=meaning)
    _action(actions.add_parser, "list", "show every key and what happens to it next", _list)
    rotate = _action(
        actions.add_parser,
        "rotate",
        "do what is due: publish the next key, take out old ones",
        _rotate,
    )
    rotate.add_argument(
        "--algorithm", choices=ALGORITHMS, help="of the next key; the newest key's if not given"
    )
    change = rotate.add_mutually_exclusive_group()
    change.add_argument(
        "--early", action="store_true", help="publish the next key though it is not due yet"
    )
    change.add_argument("--revoke", metavar="KID", help="take this key out at once")
    rotate.add_argument(
        "--force", action="store_true", help="with --revoke: even if tokens are refused for it"
    )


def run(options: Namespace) -> int:
    """Do one of the actions; 1 if it is refused."""
    status: int = options.action(options)
    return status


def _action(
    add: Callable[..., ArgumentParser], name: str, summary: str, act: Callable[[Namespace], int]
) -> ArgumentParser:
    parser = add(name, help=summary, description=f"{summary.capitalize()}.")
    parser.add_argument(
        "--directory", metavar="DIR", type=Path, required=True, help="where the ring is kept"
    )
    parser.set_defaults(action=act)
    return parser


def _duration(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _new(options: Namespace) -> int:
    directory: Path = options.directory
    given = {name: getattr(options, name) for name in _TIMINGS}
    timings = replace(
        default_timings(options.algorithm),
        **{name: time for name, time in given.items() if time is not None},
    )
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as fault:
        raise SourceFault(f"{directory} cannot be made: {fault.strerror}") from fault
    with locked(directory):
        if (directory / FILE).exists():
            return _refused(f"{directory / FILE} exists; rotate adds keys to a ring")
        now = time.time()
        ring = begin(new_key(options.algorithm), timings, now)
        store(directory, ring)
    sys.stdout.writelines(_format_ring(ring, now))
    return 0


def _list(options: Namespace) -> int:
    ring = load_directory(options.directory)
    sys.stdout.writelines(_format_ring(ring, time.time()))
    return 0


def _rotate(options: Namespace) -> int:
    if options.force and options.revoke is None:
        sys.stderr.write("--force goes with --revoke KID alone\n")
        return 2
    directory: Path = options.directory
    with locked(directory):
        ring, now = load_directory(directory), time.time()
        newest = ring.keys[-1].key.algorithm
        algorithm = options.algorithm or newest
        if seals(algorithm) != seals(newest):
            return _refused(
                f"{directory / FILE} holds keys for {newest}; those for {algorithm} are of another "
                "kind and need a ring of their own, which new makes"
            )
        if options.revoke is None:
            after = rotated(ring, lambda: new_key(algorithm), now, early=options.early)
        else:
            objection = _objection(ring, options.revoke, now, force=options.force)
            if objection is not None:
                return _refused(objection)
            after = revoked(ring, options.revoke, lambda: new_key(algorithm), now)
        if after != ring:
            store(directory, after)
    sys.stdout.writelines(_changes(ring, after))
    if options.revoke is not None:
        sys.stdout.writelines(_format_end(options.revoke, after, now))
    sys.stdout.writelines(_format_ring(after, now))
    return 0


def _refused(reason: str) -> int:
    sys.stderr.write(f"refused: {reason}\n")
    return 1


def _objection(ring: KeyRing, kid: str, now: float, *, force: bool) -> str | None:
    """Why a key must not be revoked; None if it may be."""
    states = {key.key.kid: state for key, state in zip(ring.keys, ring.states(now), strict=True)}
    state = states.get(kid)
    if state is None:
        return f"no key of the ring is called {kid}; list shows those there are"
    if force or state in {State.PUBLISHED, State.GONE}:
        return None
    advice = (
        "rotate --early replaces it without any refusal"
        if state is State.ACTIVE
        else "it goes by itself when the last of them has expired"
    )
    return (
        f"{kid} is {state.value}: tokens it signed are in use and would be refused; {advice}; "
        "if it has been stolen, add --force"
    )


def _changes(before: KeyRing, after: KeyRing) -> Iterator[str]:
    """The changes made, one line each."""
    old, new = ({key.key.kid: key for key in ring.keys} for ring in (before, after))
    yield from (f"took out {kid}\n" for kid in old if kid not in new)
    yield from (f"published {kid}\n" for kid in new if kid not in old)
    yield from (
        f"activated {kid} before its time\n"
        for kid in new
        if kid in old and new[kid].activates != old[kid].activates
    )
    if before == after:
        yield "nothing to do yet\n"


def _format_end(kid: str, ring: KeyRing, now: float) -> Iterator[str]:
    """The date from which a key that was removed at ``now`` is accepted nowhere, and why."""
    timings = ring.timings
    yield (
        f"{kid} is accepted nowhere after {dated(now + timings.convergence, now)}, if the ring's "
        "timings are true:\n"
        f"    {timings.propagation:g} s until every gateway has this ring (propagation), and twice "
        f"{timings.verifier_refresh:g} s until\n"
        "    everybody who verifies has read its keys (verifier_refresh)\n"
    )
    if not seals(ring.keys[-1].key.algorithm):
        yield (
            "    a sidecar fetches at once on SIGHUP; one that cannot fetch keeps the key until "
            "max_stale\n"
        )


def _format_ring(ring: KeyRing, now: float) -> Iterator[str]:
    """Every key with its next state change, and when ``rotate`` is due next."""
    for key, life in zip(ring.keys, ring.dates(), strict=True):
        yield f"{key.key.kid}  {key.key.algorithm:7}  {_format_state(life, now)}\n"
        yield f"    published {dated(life.published, now)}\n"
    if ring.keys[-1].activates <= now:
        yield f"next key: published {dated(next_publication(ring), now)}\n"
    yield f"rotate: due {dated(next_step(ring), now)}\n"


def _format_state(life: KeyDates, now: float) -> str:
    """A key's state and the date of the next."""
    state = life.state(now)
    if state is State.PUBLISHED:
        return f"published; active from {dated(life.active, now)}"
    if state is State.ACTIVE and life.retired is None:
        return "active until another key is"
    if state is State.ACTIVE:
        return f"active until {dated(life.retired, now)}"
    if state is State.RETIRED:
        return f"retired; kept until {dated(life.gone, now)}"
    return "gone; rotate takes it out"
