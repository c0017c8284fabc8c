"""The pages and the API behind nginx, with the configuration of the runbook and with one that was made in haste."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import trustme

from tests.stories.gateway import Story, a_story, free_port, until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
RUNBOOK = Path(__file__).parents[2] / "docs/runbook.md"
IN_HASTE = "server { listen 443 ssl; location / { proxy_pass http://127.0.0.1:8025; } }"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NGINX is None, reason="nginx is not installed")]


def of_the_runbook() -> str:
    found = re.search(r"```nginx\n(.*?)```", RUNBOOK.read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


@asynccontextmanager
async def behind(folder: Path, server: str, gateway_port: int, port: int) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser that reaches the gateway through nginx at `port`."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    files = {"cert": folder / "cert.pem", "key": folder / "key.pem"}
    certificate.cert_chain_pems[0].write_to_path(files["cert"])
    certificate.private_key_pem.write_to_path(files["key"])
    server = re.sub(r"ssl_certificate(_key)? [^;]+;", "", server)
    server = server.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;").replace("8025", str(gateway_port))
    server = server.replace("server_name post.example.com;", "server_name localhost;")
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; ssl_certificate {files['cert']}; ssl_certificate_key {files['key']};\n"
        + "".join(
            f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + server
        + "}\n"
    )
    assert NGINX
    nginx = await asyncio.create_subprocess_exec(NGINX, "-p", folder, "-c", config, "-e", folder / "error.log")
    try:
        await until(lambda: _listens(port))
        async with httpx2.AsyncClient(base_url=f"https://localhost:{port}", verify=False, timeout=10) as browser:
            yield browser
    finally:
        nginx.terminate()
        await nginx.wait()


async def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def a_gateway(folder: Path, server: str, **settings: object) -> AsyncIterator[tuple[Story, httpx2.AsyncClient]]:
    port = free_port()
    url = f"https://localhost:{port}"
    async with a_story(folder, public_url=url, open_pages_here=True, **settings) as story:
        proxy = folder / "nginx"
        proxy.mkdir()
        async with behind(proxy, server, story.app.http_port, port) as browser:
            yield story, browser


async def test_the_runbooks_configuration(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, of_the_runbook(), trusted_proxies=["127.0.0.1"]) as (story, browser):
        assert [(await browser.get(path)).status_code for path in ("/", "/metrics", "/healthz")] == [401, 401, 200]
        crm = await story.application()
        here = {"Origin": str(browser.base_url).rstrip("/")}
        key = {"key": story.app.keys.administrator}
        clear = {"Origin": here["Origin"].replace("https", "http")}
        assert (await browser.post("/sign_in", data=key, headers=clear)).status_code == 403
        signed_in = await browser.post("/sign_in", data=key, headers=here)
        assert signed_in.status_code == 303
        assert signed_in.headers["set-cookie"].startswith("__Host-homing_session=")
        assert (await browser.get("/")).status_code == 200
        assert (await browser.post("/sign_out", headers=here)).status_code == 303
        assert (await browser.get("/")).status_code == 401
        large = await browser.post("/v1/messages", content=b"x" * (24 << 20), headers=story.administrator)
        assert large.status_code in {403, 415}, "nginx lets it through"
        async with browser.stream("GET", "/v1/events/stream", headers={"Authorization": f"Bearer {crm.key}"}) as stream:
            assert stream.status_code == 200
            await asyncio.wait_for(anext(stream.aiter_bytes()), 10)


async def test_a_proxy_that_says_nothing_makes_nobody_local(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, IN_HASTE) as (story, browser):
        assert [(await browser.get(path)).status_code for path in ("/", "/metrics")] == [401, 401]
        assert (await story.http.get("/metrics")).status_code == 401, "nor anybody else, while no proxy is named"
