"""Real web servers behind Envoy: Apache, lighttpd and nginx, as Debian packages them.

Each does what applications rely on such servers for: it makes variables of a request's headers, as
CGI does, and passes upgrades on to another server.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support import http1
from tests.support.http1 import Address
from tests.support.ports import LOOPBACK, free_port, socket_directory
from tests.support.processes import Child, as_user

# What `apt-get install` needs to be told.
PACKAGES: Final = "apache2-bin lighttpd nginx-light"
# The last segment of the paths that are passed on to the application behind; any other path is
# answered with the variables.
SOCKET: Final = "socket"
# The variables that nginx shows; it has no CGI. The others show all.
_SHOWN: Final = (
    *("X_USER_ID", "X_USER_GROUPS", "X_USER_ROLES", "X_USER_SCOPES"),
    *("AUTHORIZATION", "PROXY_AUTHORIZATION", "X_ENVOY_ORIGINAL_PATH", "X_FORWARDED_CLIENT_CERT"),
)

_SCRIPT: Final = """#!/bin/sh
printf 'content-type: text/plain\\r\\n\\r\\n'
exec env
"""


def missing() -> list[str]:
    """The programs that are not installed."""
    return [program for program in SERVERS if _program(program) is None]


@contextmanager
def web_server(program: str, application: Address) -> Iterator[Address]:
    """Run one of ``SERVERS`` in front of ``application``."""
    path = _program(program)
    assert path is not None
    address = LOOPBACK, free_port()
    with socket_directory() as directory:
        directory.chmod(0o777)
        script = directory / "environment.cgi"
        script.write_text(_SCRIPT)
        script.chmod(0o755)
        configuration = directory / "server.conf"
        configuration.write_text(SERVERS[program](directory, address, application))
        command = [path, *_OPTIONS[program], str(configuration)]
        with Child(command, directory, as_user=as_user("nobody")) as process:
            process.wait_until(lambda: _answers(address))
            yield address


@contextmanager
def packing_server(files: Mapping[str, bytes]) -> Iterator[Address]:
    """Run nginx with these gzip files by name, sent as gzip whatever a client accepts."""
    path = _program("nginx")
    assert path is not None
    address = LOOPBACK, free_port()
    with socket_directory() as directory:
        directory.chmod(0o755)
        for name, content in files.items():
            (directory / f"{name}.gz").write_bytes(content)
        configuration = directory / "server.conf"
        locations = (
            f"location = / {{ return 200; }} location / {{ root {directory}; gzip_static always; }}"
        )
        configuration.write_text(_nginx_with(directory, address, locations))
        with Child([path, *_OPTIONS["nginx"], str(configuration)], directory) as process:
            process.wait_until(lambda: _answers(address))
            yield address


def variables(body: bytes) -> dict[str, str]:
    """What a server's answer says about the headers, by the names of CGI (RFC 3875 §4.1.18)."""
    lines = (line.partition("=") for line in body.decode("latin-1").splitlines())
    return {name: value for name, _, value in lines if name.startswith("HTTP_") and value}


def _apache(directory: Path, address: Address, application: Address) -> str:
    modules = ("mpm_event", "authz_core", "alias", "cgi", "proxy", "proxy_http")
    loaded = "\n".join(
        f"LoadModule {each}_module /usr/lib/apache2/modules/mod_{each}.so" for each in modules
    )
    return f"""{loaded}
ServerName {LOOPBACK}
Listen {_text(address)}
PidFile {directory}/pid
ErrorLog {directory}/errors
ProxyPassMatch "^/([a-z]+/{SOCKET})$" "http://{_text(application)}/$1" upgrade=websocket
ScriptAlias / {directory}/environment.cgi/
<Directory {directory}>
  Require all granted
</Directory>
"""


def _lighttpd(directory: Path, address: Address, application: Address) -> str:
    host, port = application
    return f"""server.bind = "{address[0]}"
server.port = {address[1]}
server.document-root = "{directory}"
server.modules = ("mod_rewrite", "mod_cgi", "mod_proxy")
server.http-parseopts = ("header-strict" => "disable")
$HTTP["url"] =~ "/{SOCKET}$" {{
  proxy.server = ("" => (("host" => "{host}", "port" => {port})))
  proxy.header = ("upgrade" => "enable")
}} else {{
  url.rewrite-once = (".*" => "/environment.cgi")
  cgi.assign = (".cgi" => "")
}}
"""


def _nginx(directory: Path, address: Address, application: Address) -> str:
    shown = "".join(f"HTTP_{name}=$http_{name.lower()}\\n" for name in _SHOWN)
    locations = f"""# Both as lax as they can be.
    underscores_in_headers on;
    ignore_invalid_headers off;
    location / {{
      return 200 "{shown}";
    }}
    location ~ /{SOCKET}$ {{
      proxy_pass http://{_text(application)};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $http_connection;
    }}"""
    return _nginx_with(directory, address, locations)


def _nginx_with(directory: Path, address: Address, locations: str) -> str:
    temporary = "\n".join(
        f"{each}_temp_path {directory}/{each};"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
master_process off;
pid {directory}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  {temporary}
  server {{
    listen {_text(address)};
    {locations}
  }}
}}
"""


# How each is configured, by the name of its program.
SERVERS: Final[dict[str, Callable[[Path, Address, Address], str]]] = {
    "apache2": _apache,
    "lighttpd": _lighttpd,
    "nginx": _nginx,
}
_OPTIONS: Final = {
    # One process: others would outlive it when it is killed.
    "apache2": ("-X", "-f"),
    "lighttpd": ("-D", "-f"),
    "nginx": ("-e", "stderr", "-c"),
}


def _program(name: str) -> str | None:
    """Where Debian installs it, which is not on everybody's path."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _answers(address: Address) -> bool:
    try:
        return http1.request(address).status == 200
    except OSError:
        return False


def _text(address: Address) -> str:
    host, port = address
    return f"{host}:{port}"
