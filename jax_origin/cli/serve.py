"""Opens a page on this machine on which images are dropped, and a REST door."""

import contextlib
import importlib.util
import ipaddress
import socket

from ml_collections import ConfigDict

from jax_origin.cli.ask import panel_of
from jax_origin.cli.command import CommandError
from jax_origin.cli.settings import begin, run_settings
from jax_origin.parts import installing

_NEEDED = ("starlette", "uvicorn")
_ANSWERS_DEPEND_ON = ("alpha", "beta", "readings", "seed")


def main(config: ConfigDict) -> int:
    """Serves until it is interrupted; returns the exit code."""
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        packages = " and ".join(missing)
        raise CommandError(f"{packages} not installed ({installing('serve')})")
    for name in ("max_mib", "max_megapixels", "most_waiting"):
        if config[name] < 1:
            raise CommandError(f"--{name}={config[name]}: must be at least 1")
    if not 0 <= config.port < 1 << 16:
        raise CommandError(f"--port={config.port}: must lie between 0 and 65535")
    listening = _listening(config.host, config.port)
    with listening:
        begin(config)
        _serve(config, listening)
    return 0


def _serve(config: ConfigDict, listening: socket.socket) -> None:
    import uvicorn

    from jax_origin.server import Jobs, make_app
    from jax_origin.server.app import LOOPBACK

    panel, held_out = panel_of(config, max_pixels=config.max_megapixels * 1_000_000)
    settings = run_settings(config, _ANSWERS_DEPEND_ON)
    jobs = Jobs(panel, settings=settings, most_waiting=config.most_waiting)
    loopback = _is_loopback(config.host)
    hosts = (*LOOPBACK, config.host) if loopback else None
    app = make_app(jobs, max_bytes=config.max_mib << 20, hosts=hosts)
    print(f"candidates: {', '.join(panel.candidates)}")
    if held_out:
        print(f"left out: {', '.join(held_out)} (name one with --candidate)")
    if not loopback:
        print(f"warning: --host={config.host} lets other machines in, and there is no password")
    address = f"[{config.host}]" if ":" in config.host else config.host
    port = listening.getsockname()[1]
    print(f"open http://{address}:{port}/ in a browser; Ctrl-C ends it", flush=True)
    options = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(options).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CommandError(f"--host={host} --port={port}: {error}") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        reason = f"cannot listen on it ({error.strerror}): give another"
        raise CommandError(f"--port={port}: {reason}") from None
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
