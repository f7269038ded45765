"""Logging in to a real OpenBao in every way, and staying logged in."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sidecar.clients.http import HttpSettings
from sidecar.clients.vault.client import VaultClient
from sidecar.clients.vault.session import PAUSE
from sidecar.clients.vault.settings import (
    AppRoleLogin,
    KubernetesLogin,
    Login,
    TokenFile,
    VaultSettings,
)
from sidecar.errors import SourceFault
from tests.support.certificates import CertificateAuthority
from tests.support.kubernetes_api import KubernetesApi
from tests.support.openbao import ROOT_TOKEN, OpenBao
from tests.support.processes import until

SECRET = {"a": 1}
HOUR = 3600.0


class Clock:
    """The client's time; the server has its own."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Vault:
    """A secret in OpenBao, a policy that lets it be read, and ways to log in under it."""

    def __init__(self, openbao: OpenBao, directory: Path) -> None:
        self.openbao = openbao
        self.directory = directory
        self.mount = openbao.mount("kv")
        openbao.write_kv(self.mount, "s", SECRET)
        self.policy = openbao.write_policy({f"{self.mount}/data/s": ["read"]})

    def file(self, name: str, content: str) -> Path:
        path = self.directory / name
        path.write_text(content + "\n")
        return path

    def app_role(self, **settings: object) -> AppRoleLogin:
        mount = self.openbao.enable_auth("approle")
        _, role_id, secret_id = self.openbao.new_app_role(
            mount, token_policies=[self.policy], **settings
        )
        return AppRoleLogin(self.file("role", role_id), self.file("secret", secret_id), mount)

    def kubernetes(self, api: KubernetesApi, token: str, audience: str) -> KubernetesLogin:
        """A role for the account shop:orders alone; OpenBao has the API server review tokens."""
        mount = self.openbao.enable_auth("kubernetes")
        api.reviewers.add("system:serviceaccount:vault:openbao")
        configuration = {
            "kubernetes_host": api.url,
            "kubernetes_ca_cert": api.ca_file.read_text(),
            "token_reviewer_jwt": api.new_token("vault:openbao"),
            "disable_local_ca_jwt": True,
        }
        role = {
            "bound_service_account_names": "orders",
            "bound_service_account_namespaces": "shop",
            "audience": audience,
            "token_policies": [self.policy],
        }
        self.openbao.call("POST", f"auth/{mount}/config", configuration)
        self.openbao.call("POST", f"auth/{mount}/role/sidecar", role)
        return KubernetesLogin("sidecar", self.file("jwt", token), mount)

    async def read(self, client: VaultClient) -> object:
        secret = await client.read_kv(self.mount, "s")
        return secret and secret[0]

    def logins(self) -> set[str]:
        """The accessors of the tokens that are alive and were got by a login under the policy."""
        return {
            accessor
            for accessor in self.openbao.accessors()
            if self.policy in self.openbao.look_up(accessor).get("policies", ())
        }


@pytest.fixture
def vault(openbao: OpenBao, tmp_path: Path) -> Vault:
    return Vault(openbao, tmp_path)


def with_client(
    settings: VaultSettings, story: Callable[[VaultClient, Clock], Awaitable[None]]
) -> None:
    async def stage() -> None:
        clock = Clock()
        client = VaultClient(settings, clock=clock)
        try:
            await story(client, clock)
        finally:
            await client.close()

    asyncio.run(stage())


def assert_it_reads(vault: Vault, login: Login) -> None:
    async def story(client: VaultClient, _: Clock) -> None:
        assert await vault.read(client) == SECRET

    with_client(vault.openbao.settings(login), story)


def assert_login_fails(vault: Vault, login: Login, problem: str, secret: str) -> None:
    async def story(client: VaultClient, _: Clock) -> None:
        with pytest.raises(SourceFault, match=problem) as caught:
            await vault.read(client)
        assert secret not in str(caught.value)

    with_client(vault.openbao.settings(login), story)


def test_a_role_and_its_secret_log_in(vault: Vault) -> None:
    assert_it_reads(vault, vault.app_role())


def test_a_token_in_a_file_is_used(vault: Vault) -> None:
    token = vault.openbao.new_token(vault.policy)

    assert_it_reads(vault, TokenFile(vault.file("token", token)))


def test_a_service_account_logs_in(vault: Vault, kubernetes_api: KubernetesApi) -> None:
    token = kubernetes_api.new_token("shop:orders", audience="vault")

    assert_it_reads(vault, vault.kubernetes(kubernetes_api, token, "vault"))
    assert kubernetes_api.requested == ["/apis/authentication.k8s.io/v1/tokenreviews"]


@pytest.mark.parametrize(
    ("account", "audience", "problem"),
    [
        ("shop:billing", "vault", "service account name not authorized"),
        ("other:orders", "vault", "namespace not authorized"),
        ("shop:orders", "elsewhere", "invalid audience"),
    ],
)
def test_a_service_account_the_role_does_not_name_is_refused(
    vault: Vault, kubernetes_api: KubernetesApi, account: str, audience: str, problem: str
) -> None:
    token = kubernetes_api.new_token(account, audience=audience)
    login = vault.kubernetes(kubernetes_api, token, "vault")

    assert_login_fails(vault, login, problem, token)


def test_a_service_account_token_of_a_deleted_pod_is_refused(
    vault: Vault, kubernetes_api: KubernetesApi
) -> None:
    token = kubernetes_api.new_token("shop:orders", audience="vault")
    login = vault.kubernetes(kubernetes_api, token, "vault")
    kubernetes_api.delete_pod_of(token)

    assert_login_fails(vault, login, r"/login says no \(403", token)


def test_a_secret_id_that_is_used_up_is_refused(vault: Vault) -> None:
    login = vault.app_role(secret_id_num_uses=1)
    assert_it_reads(vault, login)

    secret = login.secret_id_file.read_text().strip()
    assert_login_fails(vault, login, "invalid role or secret ID", secret)


def test_when_the_secret_id_is_used_up_the_present_token_serves_to_its_end(vault: Vault) -> None:
    login = vault.app_role(secret_id_num_uses=1, token_type="batch", token_ttl="1h")

    async def story(client: VaultClient, clock: Clock) -> None:
        assert await vault.read(client) == SECRET
        clock.now = 0.9 * HOUR
        assert await vault.read(client) == SECRET
        clock.now = 1.1 * HOUR
        with pytest.raises(SourceFault, match="invalid role or secret ID"):
            await vault.read(client)

    with_client(vault.openbao.settings(login), story)


def test_all_calls_share_one_login(vault: Vault) -> None:
    async def story(client: VaultClient, _: Clock) -> None:
        secrets = await asyncio.gather(*(vault.read(client) for _ in range(10)))
        assert secrets == [SECRET] * 10
        assert len(vault.logins()) == 1

    with_client(vault.openbao.settings(vault.app_role()), story)


def test_a_token_is_renewed_at_two_thirds_of_its_life(vault: Vault) -> None:
    async def story(client: VaultClient, clock: Clock) -> None:
        assert await vault.read(client) == SECRET
        (accessor,) = vault.logins()

        async def renewed() -> bool:
            return "last_renewal" in vault.openbao.look_up(accessor)

        clock.now = 0.6 * HOUR
        assert await vault.read(client) == SECRET
        assert not await renewed()
        clock.now = 0.7 * HOUR
        assert await vault.read(client) == SECRET
        await until(renewed)
        assert vault.logins() == {accessor}

    with_client(vault.openbao.settings(vault.app_role(token_ttl="1h")), story)


def test_a_token_that_cannot_be_renewed_is_replaced_before_it_expires(vault: Vault) -> None:
    # Its tokens may not live longer than at first.
    login = vault.app_role(token_ttl="2s", token_max_ttl="2s")

    async def stage() -> None:
        client = VaultClient(vault.openbao.settings(login))
        seen: set[str] = set()

        async def three_tokens_seen() -> bool:
            assert await vault.read(client) == SECRET
            seen.update(vault.logins())
            return len(seen) >= 3

        await until(three_tokens_seen)
        await client.close()

    asyncio.run(stage())


def test_a_revoked_token_is_replaced_within_the_call(vault: Vault) -> None:
    async def story(client: VaultClient, clock: Clock) -> None:
        assert await vault.read(client) == SECRET
        (before,) = vault.logins()
        vault.openbao.revoke(before)
        clock.now += PAUSE
        assert await vault.read(client) == SECRET
        (after,) = vault.logins()
        assert after != before

    with_client(vault.openbao.settings(vault.app_role()), story)


def test_a_token_file_is_read_anew_when_its_token_is_refused(vault: Vault) -> None:
    file = vault.file("token", vault.openbao.new_token(vault.policy))

    async def story(client: VaultClient, clock: Clock) -> None:
        assert await vault.read(client) == SECRET
        (before,) = vault.logins()
        vault.openbao.revoke(before)
        vault.file("token", vault.openbao.new_token(vault.policy))
        clock.now += PAUSE
        assert await vault.read(client) == SECRET

    with_client(vault.openbao.settings(TokenFile(file)), story)


def test_a_call_that_stays_forbidden_costs_one_login_and_not_one_each(vault: Vault) -> None:
    async def story(client: VaultClient, clock: Clock) -> None:
        assert await vault.read(client) == SECRET
        clock.now += PAUSE
        for _ in range(5):
            with pytest.raises(SourceFault, match="is denied to this login"):
                await client.read_kv(vault.mount, "other")
        assert len(vault.logins()) == 2

    with_client(vault.openbao.settings(vault.app_role()), story)


def test_a_namespace_is_entered(openbao: OpenBao, vault: Vault) -> None:
    namespace = openbao.new_name()
    openbao.call("POST", f"sys/namespaces/{namespace}", {})
    mount = openbao.mount("kv", f"{namespace}/")
    openbao.write_kv(f"{namespace}/{mount}", "s", SECRET)
    login = TokenFile(vault.file("token", ROOT_TOKEN))

    async def inside(client: VaultClient, _: Clock) -> None:
        assert await client.read_kv(mount, "s") == (SECRET, 1)

    async def outside(client: VaultClient, _: Clock) -> None:
        with pytest.raises(SourceFault, match="no handler for route"):
            await client.read_kv(mount, "s")

    with_client(openbao.settings(login, namespace), inside)
    with_client(openbao.settings(login), outside)


def test_a_server_with_another_certificate_authority_is_refused(
    vault: Vault, tmp_path: Path
) -> None:
    other = CertificateAuthority(tmp_path).certificate_file
    login = TokenFile(vault.file("token", ROOT_TOKEN))
    settings = VaultSettings(vault.openbao.address, login, http=HttpSettings(ca_file=other))

    async def story(client: VaultClient, _: Clock) -> None:
        with pytest.raises(SourceFault, match="certificate that is not trusted"):
            await vault.read(client)

    with_client(settings, story)


def test_a_server_that_is_sealed_lets_nobody_log_in(
    openbao_to_seal: OpenBao, tmp_path: Path
) -> None:
    vault = Vault(openbao_to_seal, tmp_path)
    login = vault.app_role()
    openbao_to_seal.seal()

    assert_login_fails(vault, login, "is sealed", login.secret_id_file.read_text().strip())
