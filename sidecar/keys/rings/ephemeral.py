"""Signing keys that are never written down: made in memory, gone with the process.

Their public halves are published in KV version 2, in a folder that verifiers read: one record per
process, ``{"jwks": {"keys": [...]}, "expires": <Unix seconds>}``. A record is renewed long before
it expires; a process that is killed leaves one that expires by itself. Whoever can write to the
folder can mint tokens.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from sidecar.clients.vault import VaultClient
from sidecar.errors import SourceFault
from sidecar.keys.rings.lifecycle import State, Timings
from sidecar.keys.rings.local import LocalKey
from sidecar.keys.rings.ring import KeyRing, RingKey
from sidecar.keys.rings.rotation import begin, rotated
from sidecar.keys.rings.upkeep import Upkeep
from sidecar.keys.settings import KvKeys

_log = logging.getLogger(__name__)


class EphemeralRing:
    """Makes keys and rotates them, and publishes them in a record of its own (``Ring``).

    ``replica`` is a name without slashes that tells people whose record it is; each process adds
    something random, so that a restart leaves the keys of the tokens that are still on their way.
    The policy of its login needs ``create``, ``update`` and ``read`` on the folder's data, and
    ``list`` and ``delete`` on its metadata. ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        settings: KvKeys,
        algorithm: str,
        timings: Timings,
        replica: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys: KeyRing[LocalKey] = KeyRing(timings, ())
        self._settings = settings
        self._algorithm = algorithm
        self._path = f"{settings.path}/{replica}-{secrets.token_hex(8)}"
        self._clock = clock
        self._vault = VaultClient(settings.vault)
        self._upkeep = Upkeep(str(self), self._pause, self._renew)
        # What a verifier fetches outlasts its next fetch, even when one renewal has failed.
        self._renewal = (timings.ahead + timings.kept) / 2
        self._lifetime = 4 * self._renewal

    def __str__(self) -> str:
        return f"record {self._settings.mount}/{self._path}"

    @property
    def problem(self) -> str | None:
        """Why the record could not be renewed last (``Ring.problem``)."""
        return self._upkeep.problem

    async def start(self) -> None:
        """Make a key and publish it (``Ring.start``).

        It signs at once if no other process does; otherwise when every verifier has it.
        """
        now, timings = self._clock(), self.keys.timings
        others = await self._others()
        ring = begin(self._new_key(), timings, now)
        # A process signs until its record has no more left than its last token needs.
        if any(expires > now + timings.kept for expires in others.values()):
            waiting = RingKey(ring.keys[0].key, now, now + timings.ahead)
            ring = replace(ring, keys=(waiting,))
        await self._publish(ring)
        self._upkeep.begin()

    async def stop(self) -> None:
        """Sign no more, and leave the record until the last token has expired.

        The record of keys that never signed is removed.
        """
        await self._upkeep.end()
        now, timings = self._clock(), self.keys.timings
        never_signed = all(state is State.PUBLISHED for state in self.keys.states(now))
        self.keys = replace(self.keys, signs_until=now)
        try:
            if never_signed:
                await self._vault.delete_kv(self._settings.mount, self._path)
            else:
                await self._write(self.keys, now, now + timings.kept)
        except SourceFault as fault:
            # The record expires by itself, only later.
            _log.warning("signing keys", extra={"ring": str(self), "problem": str(fault)})
        finally:
            await self._vault.close()

    def _new_key(self) -> LocalKey:
        return LocalKey.generate(self._algorithm)

    async def _pause(self) -> None:
        # After a failure there is less time left.
        await asyncio.sleep(self._renewal / 10 if self.problem else self._renewal)

    async def _renew(self) -> None:
        await self._publish(rotated(self.keys, self._new_key, self._clock()))
        await self._clean()

    async def _publish(self, ring: KeyRing[LocalKey]) -> None:
        """Write the record, and use the ring only then."""
        now = self._clock()
        expires = now + self._lifetime
        await self._write(ring, now, expires)
        self.keys = replace(ring, signs_until=expires - ring.timings.kept)

    async def _write(self, ring: KeyRing[LocalKey], now: float, expires: float) -> None:
        record = {"jwks": ring.jwks(now), "expires": expires}
        await self._vault.write_kv(self._settings.mount, self._path, record)

    async def _clean(self) -> None:
        """Remove the records of processes that are no more."""
        expired = self._clock() - self.keys.timings.leeway
        for path, expires in (await self._others()).items():
            if expires < expired:
                await self._vault.delete_kv(self._settings.mount, path)

    async def _others(self) -> dict[str, float]:
        """When the other records of the folder expire, in Unix seconds."""
        mount, folder = self._settings.mount, self._settings.path
        names = await self._vault.list_kv(mount, folder)
        paths = [f"{folder}/{name}" for name in names if not name.endswith("/")]
        found = {path: await self._vault.read_kv(mount, path) for path in paths}
        return {
            path: expires
            for path, secret in found.items()
            if path != self._path and (expires := _expiry(secret)) is not None
        }


def _expiry(secret: tuple[dict[str, object], int] | None) -> float | None:
    """When a record expires; None for what is not one, which is left to people."""
    match secret:
        case ({"expires": int(expires) | float(expires)}, _):
            return expires
    return None
