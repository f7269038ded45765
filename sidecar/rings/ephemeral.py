"""Signing keys in memory: made by this process, never written down, lost when it ends.

Their public keys are published in KV version 2, in a folder that verifiers read: one record per
process (``clients.vault.records``). A record is renewed long before it expires; that of a process
that was killed expires. Each process also publishes the keys of all the others in its JWKS, since
a verifier may ask any of them. Whoever can write to the folder can mint tokens.

A new process reads the other records first. If no other process signs, its key is active at once.
Otherwise its key is *published* until every verifier has it, or until no other process signs.
"""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from sidecar.clients.vault.client import VaultClient
from sidecar.clients.vault.records import MAXIMUM_RECORDS, Folder, Record
from sidecar.clients.vault.settings import KvKeys
from sidecar.errors import SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.key_documents import MAXIMUM_KEYS
from sidecar.rings.lifecycle import State, Timings
from sidecar.rings.local_key import LocalKey, public_jwk
from sidecar.rings.periodic_task import PeriodicTask
from sidecar.rings.ring import KeyRing, RingKey, begin, rotated

_log = logging.getLogger(__name__)

_SHORT_PAUSE: Final = 1.0  # seconds


class EphemeralRing:
    """Makes keys and rotates them, and publishes them in a record of its own (``SigningRing``).

    ``replica`` is a name without slashes, by which operators recognise the record. A process adds a
    random suffix, so that a restart does not replace the keys of tokens that are still in use.
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
        self.keys: KeyRing = KeyRing(timings, ())
        self._settings = settings
        self._algorithm = algorithm
        self._path = f"{settings.path}/{replica}-{secrets.token_hex(8)}"
        self._clock = clock
        self._vault = VaultClient(settings.vault)
        self._folder = Folder(self._vault, settings.mount, settings.path)
        self._others: Mapping[str, Record] = {}
        self._refresh = PeriodicTask(str(self), self._pause, self._renew_and_look)
        # A record that a verifier fetched is valid until its next fetch, even if one renewal fails.
        self._renewal = (timings.ahead + timings.kept) / 2
        self._lifetime = 4 * self._renewal
        self._renewed = -math.inf

    def __str__(self) -> str:
        return f"record {self._settings.mount}/{self._path}"

    @property
    def problem(self) -> str | None:
        """Why the last renewal or reading of records failed (``Ring.problem``)."""
        return self._refresh.problem

    async def start(self) -> None:
        """Make a key and publish it, and read the other records from then on (``Ring.start``).

        It signs at once if no other process does; otherwise when every verifier has it, or as soon
        as no other process signs any more. Verifiers that do not have it then fetch when they meet
        it.
        """
        await self._refresh.start(self._begin)

    async def stop(self) -> None:
        """Stop signing, and leave the record until the last token has expired.

        The record of keys that never signed is removed.
        """
        await self._refresh.stop()
        now, timings = self._clock(), self.keys.timings
        never_signed = all(state is State.PUBLISHED for state in self.keys.states(now))
        self.keys = replace(self.keys, signs_until=now)
        try:
            if never_signed:
                await self._vault.delete_kv(self._settings.mount, self._path)
            else:
                await self._write(self.keys, now, now + timings.kept)
        except SourceFault as fault:
            # The record expires without this, only later.
            _log.warning("key ring", extra={"ring": str(self), "problem": str(fault)})
        finally:
            await self._vault.close()

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """The public keys of every replica whose record is known (``SigningRing.jwks``)."""
        own = {key.key.kid for key in self.keys.keys}
        others = {
            key.thumbprint: public_jwk(key.public_key, self._algorithm_of(key))
            for record in self._others.values()
            for key in record.keys
            # The kid of each key of a ring is its thumbprint: others are not from a ring.
            if now < record.expires and key.kid == key.thumbprint and key.kid not in own
        }
        published = [*self.keys.jwks(now)["keys"], *others.values()]
        return {"keys": published[:MAXIMUM_KEYS]}

    def max_age(self) -> int:
        """For how long they may be reused (``SigningRing.max_age``)."""
        return self.keys.max_age()

    def _algorithm_of(self, key: VerificationKey) -> str:
        """The one algorithm of another process's key; an Ed25519 key has two names for its own."""
        return self._algorithm if self._algorithm in key.algorithms else min(key.algorithms)

    def _new_key(self) -> LocalKey:
        return LocalKey.generate(self._algorithm)

    async def _begin(self) -> None:
        await self._look()
        now, timings = self._clock(), self.keys.timings
        ring = begin(await asyncio.to_thread(self._new_key), timings, now)
        if self._another_signs(now):
            waiting = RingKey(ring.keys[0].key, now, now + timings.ahead)
            ring = replace(ring, keys=(waiting,))
        await self._publish(ring)

    def _another_signs(self, now: float) -> bool:
        # A process stops signing `kept` before its record expires (`KeyRing.signs_until`).
        end = now + self.keys.timings.kept
        return any(each.signs_from <= now and end < each.expires for each in self._others.values())

    def _waits(self, now: float) -> bool:
        return bool(self.keys.keys) and now < self.keys.keys[0].activates

    async def _pause(self) -> None:
        # Within the propagation time the keys of other processes are published here, even if one
        # reading fails. A process that does not sign yet polls more often: it may take over.
        long_pause = max(_SHORT_PAUSE, self.keys.timings.propagation / 3)
        await asyncio.sleep(_SHORT_PAUSE if self._waits(self._clock()) else long_pause)

    async def _renew_and_look(self) -> None:
        now, problem = self._clock(), None
        if now >= self._renewed + self._renewal:
            # On another thread: making an RSA key takes up to a second.
            ring = await asyncio.to_thread(rotated, self.keys, self._new_key, now)
            try:
                await self._publish(ring)
            except SourceFault as fault:
                problem = fault
        # Not in a `finally`: a fault raised here would replace a cancellation.
        await self._look()
        if problem is not None:
            raise problem
        if self._waits(now) and not self._another_signs(now):
            # No process signs any more: this one takes over.
            waiting = self.keys.keys[0]
            active = replace(waiting, activates=now - self.keys.timings.leeway)
            await self._publish(replace(self.keys, keys=(active,)))

    async def _publish(self, ring: KeyRing) -> None:
        """Write the record, and use the ring when that has succeeded."""
        now = self._clock()
        expires = now + self._lifetime
        await self._write(ring, now, expires)
        self.keys = replace(ring, signs_until=expires - ring.timings.kept)
        self._renewed = now

    async def _write(self, ring: KeyRing, now: float, expires: float) -> None:
        since = ring.keys[0].activates
        record = {"jwks": ring.jwks(now), "expires": expires, "signs_from": since}
        await self._vault.write_kv(self._settings.mount, self._path, record)

    async def _look(self) -> None:
        """Read the records of the other processes, and remove the expired ones.

        Raises:
            SourceFault: they cannot be read or are too many. Those known so far stay in use until
                they expire.
        """
        paths = [path for path in await self._folder.paths() if path != self._path]
        self._others = await self._folder.read(paths[:MAXIMUM_RECORDS])
        expired = self._clock() - self.keys.timings.leeway
        for path, record in self._others.items():
            if record.expires < expired:
                await self._vault.delete_kv(self._settings.mount, path)
        if len(paths) > MAXIMUM_RECORDS:
            raise SourceFault(
                f"{self} has {len(paths)} others beside it; at most {MAXIMUM_RECORDS} are read"
            )
