"""What happens to Vault, as the clients of a service see it: mostly nothing."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.e2e.keys_authorities import Authority, FileAuthority, TransitAuthority
from tests.e2e.keys_pod import WITHIN_ONE_REFRESH, KeysPod, keys_pod
from tests.support.flood import unknown_keys
from tests.support.openbao import OpenBao
from tests.support.processes import eventually
from tests.support.upstream import Upstream

StartPod = Callable[..., AbstractContextManager[KeysPod]]


@pytest.fixture
def vault(openbao: OpenBao, tmp_path: Path) -> TransitAuthority:
    authority = TransitAuthority("vault", openbao, tmp_path)
    authority.open()
    return authority


@pytest.fixture
def start_pod(envoy_version: str, upstream: Upstream, tmp_path: Path) -> StartPod:
    def start(*authorities: Authority) -> AbstractContextManager[KeysPod]:
        return keys_pod(envoy_version, upstream, tmp_path, *authorities)

    return start


def reader(vault: TransitAuthority) -> str:
    """A policy that lets its bearer read the key and nothing else."""
    return vault.openbao.write_policy({f"{vault.mount}/keys/{vault.key}": ["read"]})


def test_sealed_vault_is_missed_by_nobody_whose_key_is_known(
    start_pod: StartPod, openbao_to_seal: OpenBao, tmp_path: Path
) -> None:
    vault = TransitAuthority("vault", openbao_to_seal, tmp_path)
    vault.open()
    gateway = FileAuthority("gateway", tmp_path)
    gateway.open()
    with start_pod(vault, gateway) as pod, pod.traffic(vault) as load:
        vault.openbao.seal()
        pod.wait_for_failures("vault", 2)
        load.wait_for(50)
        (unknown,) = unknown_keys(vault.token(), 1)
        assert pod.status(unknown) == 503
        assert pod.status(gateway.token()) == 200
        assert "sealed" in pod.issuer("vault")["last_error"]
        assert pod.sidecar.ready()


def test_pod_that_starts_while_vault_is_sealed_serves_the_other_issuers(
    start_pod: StartPod, openbao_to_seal: OpenBao, tmp_path: Path
) -> None:
    vault = TransitAuthority("vault", openbao_to_seal, tmp_path)
    vault.open()
    gateway = FileAuthority("gateway", tmp_path)
    gateway.open()
    vault.openbao.seal()
    with start_pod(vault, gateway) as pod:
        assert pod.status(vault.token()) == 503
        assert pod.status(gateway.token()) == 200


def test_revoked_token_is_replaced_by_another_login(
    start_pod: StartPod, vault: TransitAuthority, tmp_path: Path
) -> None:
    openbao = vault.openbao
    mount = openbao.enable_auth("approle")
    _, role_id, secret_id = openbao.new_app_role(mount, token_policies=reader(vault))
    for name, content in (("role-id", role_id), ("secret-id", secret_id)):
        (tmp_path / name).write_text(content)
    vault.login = {
        "approle": {
            "mount": mount,
            "role_id_file": str(tmp_path / "role-id"),
            "secret_id_file": str(tmp_path / "secret-id"),
        }
    }
    before = openbao.accessors()
    with start_pod(vault) as pod, pod.traffic(vault) as load:
        (accessor,) = openbao.accessors() - before
        openbao.revoke(accessor)
        eventually(lambda: openbao.accessors() - before - {accessor})
        pod.rotate(vault)
        load.wait_for(50)
        assert pod.issuer("vault")["last_error"] is None


def test_revoked_token_of_a_file_is_missed_by_nobody_until_there_is_a_new_one(
    start_pod: StartPod, vault: TransitAuthority
) -> None:
    openbao, policy = vault.openbao, reader(vault)
    token = openbao.new_token(policy)
    vault.token_file.write_text(token)
    with start_pod(vault) as pod, pod.traffic(vault) as load:
        openbao.call("POST", "auth/token/revoke", {"token": token})
        pod.wait_for_failures("vault", 2)
        load.wait_for(50)
        assert pod.issuer("vault")["last_error"] is not None

        vault.token_file.write_text(openbao.new_token(policy))
        pod.rotate(vault)
        assert pod.issuer("vault")["last_error"] is None
        load.wait_for(50)


def test_permission_that_is_removed_is_missed_by_nobody_until_it_is_back(
    start_pod: StartPod, vault: TransitAuthority
) -> None:
    openbao, policy = vault.openbao, reader(vault)
    vault.token_file.write_text(openbao.new_token(policy))
    with start_pod(vault) as pod, pod.traffic(vault) as load:
        openbao.write_policy({"elsewhere": ["read"]}, policy)
        pod.wait_for_failures("vault", 2)
        load.wait_for(50)
        assert "policies do not allow it" in pod.issuer("vault")["last_error"]

        openbao.write_policy({f"{vault.mount}/keys/{vault.key}": ["read"]}, policy)
        pod.rotate(vault)
        assert pod.issuer("vault")["last_error"] is None
        load.wait_for(50)


def test_key_that_is_rotated_twice_at_once_verifies_tokens_of_all_its_versions(
    start_pod: StartPod, vault: TransitAuthority
) -> None:
    with start_pod(vault) as pod, pod.traffic(vault) as load:
        first, second, third = vault.signer, vault.add(), vault.add()
        eventually(lambda: pod.status(vault.token(third)) == 200)
        assert [pod.status(vault.token(key)) for key in (first, second)] == [200, 200]
        vault.signer = third
        load.wait_for(50)


def test_version_that_may_decrypt_no_more_is_refused_and_the_others_are_not(
    start_pod: StartPod, vault: TransitAuthority
) -> None:
    first, second, third = vault.signer, vault.add(), vault.add()
    vault.signer = third
    with start_pod(vault) as pod, pod.traffic(vault):
        remembered = [vault.token(key, lifetime=3600) for key in (first, second)]
        assert [pod.status(token) for token in remembered] == [200, 200]

        vault.remove(second)
        eventually(
            lambda: [pod.status(token) for token in remembered] == [401, 401],
            within=WITHIN_ONE_REFRESH,
        )
