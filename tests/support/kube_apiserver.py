"""A real kube-apiserver with its etcd, on loopback: everything that the API decides, and no more.

No controllers and no kubelet run. So ServiceAccounts are made by hand, a Deployment makes no pods,
pods stay pending, a namespace that is deleted stays, terminating, and the ClusterRoles that others
are added up to (`view`, `edit`, `admin`) are empty. Policies and roles take effect a moment after
they are stored: what depends on them is waited for with ``eventually``.
"""

import itertools
import json
import secrets
import ssl
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support import kubectl
from tests.support.envoy import ROOT
from tests.support.kubectl import KubectlError
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Child

Json = dict[str, Any]

APISERVER = ROOT / ".kubernetes" / "kube-apiserver"
ETCD = ROOT / ".kubernetes" / "etcd"
ISSUER = "https://kubernetes.default.svc.cluster.local"
# Of pods that are held to Pod Security's strictest level.
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


class ServiceAccount(NamedTuple):
    """A service account; ``user`` is the name it has as a user and in its tokens' ``sub``."""

    namespace: str
    name: str

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"


class KubeApiserver:
    """An API server for the length of a ``with`` block, and what an administrator does with it.

    Tests share one: what they make is in a ``new_namespace``, or has a name of its own.
    """

    def __init__(self, directory: Path) -> None:
        self._port = free_port()
        self._etcd_port = free_port()
        self._etcd_peer_port = free_port()
        self._directory = directory
        self._certificates = directory / "certificates"
        self._admin_token = secrets.token_urlsafe(24)
        self._namespaces = (f"test-{number}" for number in itertools.count(1))
        self._signing_keys: list[Path] = []
        self._flags: Sequence[str] = ()
        self.url = f"https://{LOOPBACK}:{self._port}"
        self.ca_file = self._certificates / "apiserver.crt"
        self._make_signing_key()
        self._write_credentials()

    def __enter__(self) -> Self:
        self._etcd = self._start_etcd()
        try:
            self._apiserver = self._start_apiserver()
        except BaseException:
            self._etcd.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._apiserver.stop()
        self._etcd.stop()

    def restart(self, *flags: str) -> None:
        """Restart the API server with these flags added to the usual ones."""
        self._flags = flags
        self._apiserver.stop()
        self._apiserver = self._start_apiserver()

    def rotate_signing_key(self) -> None:
        """Sign service accounts' tokens with a new key; the others stay published."""
        self._make_signing_key()
        self.restart(*self._flags)

    def retire_signing_keys(self) -> None:
        """Publish the key that signs, and no other."""
        self._signing_keys = self._signing_keys[-1:]
        self.restart(*self._flags)

    def kubectl(self, *arguments: str, stdin: str = "", user: str | None = None) -> str:
        """Run kubectl as the administrator, or as somebody who is impersonated.

        A service account that is impersonated has its groups.

        Raises:
            KubectlError: The API server refused it.
        """
        impersonation = () if user is None else ("--as", user)
        # What kubectl remembers of a server goes where the test's files are.
        environment = {"KUBECONFIG": str(self._kubeconfig), "HOME": str(self._directory)}
        return kubectl.kubectl(*impersonation, *arguments, stdin=stdin, environment=environment)

    def apply(
        self,
        *objects: Json,
        namespace: str = "",
        dry_run: bool = False,
        user: str | None = None,
    ) -> list[Json]:
        """Apply objects on the server's side; return them as they were stored, or would be.

        ``namespace`` is that of objects that name none; an object that names another is an error.
        """
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        return self._apply("-", namespace, dry_run, user, stdin=manifest)

    def apply_file(
        self,
        file: Path,
        *,
        namespace: str = "",
        dry_run: bool = False,
        user: str | None = None,
    ) -> list[Json]:
        """Apply a manifest as ``apply`` does."""
        return self._apply(str(file), namespace, dry_run, user)

    def new_namespace(self, name: str = "", labels: Mapping[str, str] = {}) -> str:
        """A namespace that holds pods to Pod Security's strictest level; its name is new or given.

        Its ServiceAccount ``default`` is made by hand: the controller that does so does not run.
        """
        name = name or next(self._namespaces)
        metadata = {"name": name, "labels": {**RESTRICTED, **labels}}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.new_service_account(name, "default")
        return name

    def new_service_account(self, namespace: str, name: str) -> ServiceAccount:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        self.apply(account, namespace=namespace)
        return ServiceAccount(namespace, name)

    def new_token(self, account: ServiceAccount, *, audience: str = ISSUER, pod: str = "") -> str:
        """A token of ten minutes, as the kubelet asks for; bound to a pod if one is named."""
        bound = ("--bound-object-kind=Pod", f"--bound-object-name={pod}") if pod else ()
        arguments = (account.name, f"--namespace={account.namespace}", f"--audience={audience}")
        return self.kubectl("create", "token", *arguments, "--duration=10m", *bound).strip()

    def can_i(self, user: str, verb: str, resource: str, *, namespace: str = "default") -> bool:
        """Whether a user may do that; ``resource`` may be a name (``pods/exec``) or a path."""
        try:
            self.kubectl("auth", "can-i", verb, resource, "--namespace", namespace, user=user)
        except KubectlError as error:
            if error.stdout.startswith("no"):
                return False
            raise  # it failed to ask
        return True

    def get(self, path: str, token: str | None = None) -> tuple[int, str]:
        """Ask the API as the administrator, or with this token: the status and the body."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = HTTPSConnection(LOOPBACK, self._port, timeout=10, context=context)
        try:
            bearer = self._admin_token if token is None else token
            connection.request("GET", path, headers={"Authorization": f"Bearer {bearer}"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def _apply(
        self, file: str, namespace: str, dry_run: bool, user: str | None, stdin: str = ""
    ) -> list[Json]:
        flags = ["--server-side", "--output=json"]
        if namespace:
            flags.append(f"--namespace={namespace}")
        if dry_run:
            flags.append("--dry-run=server")
        written = self.kubectl("apply", "--filename", file, *flags, stdin=stdin, user=user)
        document: Json = json.loads(written)
        return document["items"] if document["kind"] == "List" else [document]

    def _start_etcd(self) -> Child:
        client = f"http://{LOOPBACK}:{self._etcd_port}"
        peer = f"http://{LOOPBACK}:{self._etcd_peer_port}"
        directory = self._directory / "etcd"
        directory.mkdir()
        process = Child(
            [
                str(ETCD),
                *("--data-dir", str(directory / "data"), "--unsafe-no-fsync"),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"default={peer}", "--log-level", "warn"),
            ],
            directory,
        )
        process.wait_until(self._etcd_is_healthy, within=60.0)
        return process

    def _start_apiserver(self) -> Child:
        keys = [f"--service-account-key-file={file}" for file in self._signing_keys]
        directory = self._directory / "apiserver"
        directory.mkdir(exist_ok=True)
        process = Child(
            [
                str(APISERVER),
                f"--etcd-servers=http://{LOOPBACK}:{self._etcd_port}",
                f"--bind-address={LOOPBACK}",
                f"--secure-port={self._port}",
                f"--cert-dir={self._certificates}",
                # Nobody connects to it. Without one, it looks for an address in the default route.
                "--advertise-address=192.0.2.1",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=RBAC",
                f"--token-auth-file={self._tokens_file}",
                f"--service-account-issuer={ISSUER}",
                f"--service-account-signing-key-file={self._signing_keys[-1]}",
                *keys,
                *self._flags,
            ],
            directory,
        )
        process.wait_until(self._is_ready, within=60.0)
        return process

    def _etcd_is_healthy(self) -> bool:
        connection = HTTPConnection(LOOPBACK, self._etcd_port, timeout=10)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def _is_ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, HTTPException):
            return False

    def _make_signing_key(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        encoded = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = self._directory / f"signing-key-{secrets.token_hex(4)}.pem"
        file.write_bytes(encoded)
        self._signing_keys.append(file)

    def _write_credentials(self) -> None:
        """The administrator's token, as the API server and as kubectl read it."""
        self._tokens_file = self._directory / "tokens.csv"
        self._tokens_file.write_text(f'{self._admin_token},admin,admin,"system:masters"\n')
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        configuration = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._admin_token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        self._kubeconfig = self._directory / "kubeconfig"
        self._kubeconfig.write_text(json.dumps(configuration))
        self._kubeconfig.chmod(0o600)
