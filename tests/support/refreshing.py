"""A refresher in simulated time, with a source, a copy and an observer of the test's."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.errors import SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.key_documents import parse
from sidecar.keys.lookups import Outcome
from sidecar.keys.refresher import Refresher
from sidecar.keys.saved import SavedKeys
from sidecar.keys.settings import FileKeys
from sidecar.keys.sources import Fetched
from sidecar.model import KeyQuestion, Tried
from sidecar.snapshots.keys import KeySet
from tests.support.settings import key_settings
from tests.support.simulated_time import clock, run
from tests.support.tokens import SigningKey, jwks, new_key

OLD, NEW = new_key("ES256", "old"), new_key("ES256", "new")
SETTINGS = key_settings(
    trust="gateway",
    source=FileKeys(Path("unused")),
    refresh=300.0,
    min_refresh=30.0,
    cooldown=10.0,
    max_stale=3600.0,
    timeout=5.0,
    key_waiters=3,
)


@dataclass
class Source:
    """Publishes what the test says, and counts how often it was asked."""

    published: tuple[VerificationKey, ...] = ()
    problem: Exception | None = None
    takes: float = 0.0
    max_age: float | None = None
    expires: dict[VerificationKey, float] = field(default_factory=dict)
    closed: bool = False
    fetches: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return "the source"

    async def fetch(self) -> Fetched:
        self.fetches.append(clock())
        published, problem = self.published, self.problem
        await asyncio.sleep(self.takes)
        if problem:
            raise problem
        return Fetched(published, self.max_age, self.expires)

    async def close(self) -> None:
        self.closed = True


@dataclass
class Observer:
    events: list[tuple[str, ...]] = field(default_factory=list)
    serving: list[bool] = field(default_factory=list)
    fetched: asyncio.Event = field(default_factory=asyncio.Event)

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        del trust, now
        self.events.append(("refreshed", str(keys)))
        self.fetched.set()

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        del trust
        self.events.append(("failed", problem))
        self.serving.append(serving)
        self.fetched.set()

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        del trust, fetched_at
        self.events.append(("recalled", str(keys)))

    def looked_up(self, trust: str, result: str) -> None:
        del trust
        self.events.append(("looked_up", result))


@dataclass
class Date:
    """The simulated date, which an administrator may set back."""

    set_back: float = 0.0

    def __call__(self) -> float:
        return clock() - self.set_back


@dataclass
class Scene:
    source: Source
    refresher: Refresher
    observer: Observer
    published: list[KeySet]
    date: Date

    def lookup(
        self, kid: str | None, timeout: float = 0.1, tried: Tried | None = None
    ) -> "asyncio.Future[Outcome]":
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.refresher.lookup(KeyQuestion("gateway", kid, tried), timeout, answer.set_result)
        return answer


@dataclass
class Copy:
    """A copy of the keys that outlives the refresher."""

    saved: SavedKeys | None = None

    async def read(self) -> SavedKeys | None:
        return self.saved

    async def write(self, saved: SavedKeys) -> None:
        self.saved = saved


def play(
    story: Callable[[Scene], Awaitable[None]],
    source: Source | None = None,
    copy: Copy | None = None,
) -> Scene:
    """Run a refresher beside a story, in simulated time."""

    async def stage() -> Scene:
        published: list[KeySet] = []
        observer, date = Observer(), Date()
        used = source or Source(keys(OLD))
        refresher = Refresher(
            SETTINGS,
            used,
            lambda _, key_set: published.append(key_set),
            observer,
            copy=copy,
            clock=date,
        )
        scene = Scene(used, refresher, observer, published, date)
        task = asyncio.create_task(refresher.run())
        await observer.fetched.wait()
        try:
            await story(scene)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return scene

    return run(stage())


def keys(*signing: SigningKey) -> tuple[VerificationKey, ...]:
    return parse(json.dumps(jwks(*signing)).encode()).keys


def away() -> Source:
    return Source(keys(OLD), SourceFault("away"))
