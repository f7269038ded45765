"""The life of a client token, in simulated time."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from sidecar.clients.vault.session import PAUSE, ClientToken, TokenSession
from sidecar.errors import SourceFault
from tests.support.simulated_time import clock, run

LIFETIME = 3600.0


@dataclass
class Server:
    """Grants tokens as the test says, and remembers what it was asked."""

    lifetime: float = LIFETIME
    renewable: bool = True
    longest: float = math.inf  # of a token, renewed as often as it may be
    problem: Exception | None = None
    takes: float = 0.0
    logins: int = 0
    renewals: int = 0
    _granted: dict[str, float] = field(default_factory=dict)

    async def log_in(self) -> ClientToken:
        self.logins += 1
        await asyncio.sleep(self.takes)
        if self.problem:
            raise self.problem
        token = f"token-{self.logins}"
        self._granted[token] = clock()
        return ClientToken(token, min(self.lifetime, self.longest), self.renewable)

    async def renew(self, token: str) -> ClientToken:
        self.renewals += 1
        if self.problem:
            raise self.problem
        left = self._granted[token] + self.longest - clock()
        return ClientToken(token, min(self.lifetime, left), renewable=True)


def play(
    story: Callable[[Server, TokenSession], Awaitable[None]], server: Server | None = None
) -> None:
    async def stage() -> None:
        used = server or Server()
        await story(used, TokenSession(used.log_in, used.renew, clock))

    run(stage())


async def settled(session: TokenSession) -> str:
    """The token, once what asking for it has begun is done."""
    await session.token()
    await asyncio.sleep(0.001)
    return await session.token()


def test_one_login_serves_all_calls() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        server.takes = 1.0
        tokens = await asyncio.gather(*(session.token() for _ in range(50)))
        assert set(tokens) == {"token-1"}
        await asyncio.sleep(LIFETIME / 2)
        assert await session.token() == "token-1"
        assert (server.logins, server.renewals) == (1, 0)

    play(story)


def test_a_token_is_renewed_after_two_thirds_of_its_life_as_often_as_needed() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        await session.token()
        for number in range(1, 6):
            await asyncio.sleep(LIFETIME * 2 / 3 + 1)
            assert await settled(session) == "token-1"
            assert server.renewals == number
        assert server.logins == 1

    play(story)


def test_nobody_waits_for_a_renewal() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        await session.token()
        server.renewable, server.takes = False, 5.0
        await asyncio.sleep(LIFETIME * 0.9)
        began = clock()
        assert await session.token() == "token-1"
        assert clock() == began

    play(story)


@pytest.mark.parametrize(
    "server",
    [Server(renewable=False), Server(longest=LIFETIME)],
    ids=["not renewable", "at its longest life"],
)
def test_a_token_that_cannot_be_prolonged_is_replaced_in_time(server: Server) -> None:
    async def story(_: Server, session: TokenSession) -> None:
        await session.token()
        await asyncio.sleep(LIFETIME * 0.7)
        assert await settled(session) == "token-2"

    play(story, server)


def test_a_token_nobody_asked_for_until_it_expired_is_replaced() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        await session.token()
        await asyncio.sleep(LIFETIME + 1)
        assert await session.token() == "token-2"
        assert server.renewals == 0

    play(story)


def test_a_token_that_does_not_expire_is_never_renewed() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        await session.token()
        await asyncio.sleep(LIFETIME * 1000)
        assert await settled(session) == "token-1"
        assert server.renewals == 0

    play(story, Server(lifetime=math.inf))


def test_while_the_old_token_lives_a_failed_login_harms_no_call() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        await session.token()
        server.problem = SourceFault("secret id used up")
        await asyncio.sleep(LIFETIME * 0.7)
        assert await settled(session) == "token-1"
        await asyncio.sleep(LIFETIME * 0.4)
        with pytest.raises(SourceFault, match="secret id used up"):
            await session.token()

    play(story)


def test_a_failed_login_is_everybodys_and_is_not_tried_again_at_once() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        server.problem = SourceFault("sealed")
        answers = await asyncio.gather(
            *(session.token() for _ in range(50)), return_exceptions=True
        )
        assert {str(answer) for answer in answers} == {"sealed"}
        with pytest.raises(SourceFault):
            await session.token()
        assert server.logins == 1
        server.problem = None
        await asyncio.sleep(PAUSE)
        assert await session.token() == "token-2"

    play(story)


def test_a_login_goes_on_when_the_call_that_began_it_gives_up() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        server.takes = 1.0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.token(), 0.1)
        await asyncio.sleep(1.0)
        assert await session.token() == "token-1"
        assert server.logins == 1

    play(story)


def test_a_login_without_an_answer_ends() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        server.takes = 3600.0
        with pytest.raises(SourceFault, match="no login to Vault within 10 s"):
            await session.token()

    play(story)


def test_a_login_slower_than_its_tokens_live_is_not_repeated_for_ever() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        server.takes = 5.0
        assert await session.token() == "token-1"
        assert server.logins == 1

    play(story, Server(lifetime=2.0))


def test_a_refused_token_is_replaced_once_for_all_calls() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        token = await session.token()
        await asyncio.sleep(PAUSE)
        assert session.discard(token)
        assert session.discard(token), "another call was refused at the same time"
        assert await session.token() == "token-2"
        assert session.discard(token)
        assert await session.token() == "token-2"
        assert server.logins == 2

    play(story)


def test_a_new_token_is_not_blamed_for_a_refused_call() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        token = await session.token()
        assert not session.discard(token)
        assert await session.token() == token
        assert server.logins == 1

    play(story)


def test_a_session_that_is_closed_gives_up_its_login() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        server.takes = 5.0
        waiting = asyncio.create_task(session.token())
        await asyncio.sleep(1)
        session.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    play(story)


def test_closing_a_session_that_never_logged_in_is_no_trouble() -> None:
    async def story(server: Server, session: TokenSession) -> None:
        session.close()
        assert server.logins == 0

    play(story)
