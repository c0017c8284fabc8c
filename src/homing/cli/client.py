"""How commands reach the gateway: always over its HTTP API.

With a URL, that server. Without one the settings lead there: to the server that answers at `http_host:http_port`, and
where none does, to the API in this process on the same database, so that `homing org create` works before the first
`homing serve`.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from homing.cli.exits import ExitCode, Unsuccessful, bad_input, exit_code_of, no_garbage_collection, unsuccessful
from homing.cli.options import config_option
from homing.loop.problem import Fault, Problem

if TYPE_CHECKING:
    import httpx2

    from homing.config import Settings

P = ParamSpec("P")
Json = dict[str, Any]
"""A document of the API."""

PATIENCE = 30.0
"""Seconds that an answer may take."""
PANEL = "Which gateway"
_REACH: Mapping[str, Any] = {
    "url": Annotated[
        str | None,
        typer.Option(
            envvar="HOMING_URL", help="The gateway's URL. Default: what the settings say.", rich_help_panel=PANEL
        ),
    ],
    "key": Annotated[
        str | None,
        typer.Option(envvar="HOMING_KEY", help="API key. Default: the administrator's.", rich_help_panel=PANEL),
    ],
    "config": Annotated[Path | None, config_option(rich_help_panel=PANEL)],
}
_ORGANIZATION = Annotated[
    str | None,
    typer.Option(
        "--org",
        envvar="HOMING_ORG",
        help="The organization's name or id. Not needed with a key of its own.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a command was told of the gateway that it shall speak to, and for which organization."""

    url: str | None = None
    key: str | None = None
    config: Path | None = None
    org: str | None = None


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One event of a live stream; `cursor` is the place right behind it. Event None: only where the stream begins."""

    cursor: str
    event: Json | None


class Gateway:
    """The API, as commands use it. Every refusal raises Unsuccessful. `running`: a server has it, so mail moves;
    otherwise what is accepted waits for `homing serve`."""

    def __init__(self, client: "httpx2.Client", *, running: bool) -> None:
        self._client = client
        self.running = running

    def get(self, path: str, *, patience: float = PATIENCE, **query: Any) -> Json:
        """`query`: what is None is left out. `patience`: seconds to wait for the answer."""
        return self.call("GET", path, query=query, patience=patience)

    def each(self, path: str, listed: str, /, **query: Any) -> Iterator[Json]:
        """The items of a long list, page by page: `listed` is their name in an answer."""
        cursor = None
        while True:
            found = self.get(path, **query, cursor=cursor)
            yield from found[listed]
            cursor = found["cursor"]
            if cursor is None:
                return

    def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
    ) -> Json:
        """The answer's document; {} where it has none."""
        import httpx2

        asked = given(**(query or {}))
        try:
            response = self._client.request(method, path, json=body, params=asked, headers=headers, timeout=patience)
        except httpx2.TransportError as error:
            raise _unreachable(str(self._client.base_url), error) from None
        if response.status_code >= 400:
            raise _refused(response)
        return _document(response) if response.content else {}

    def follow(self, cursor: str | None) -> Iterator[StreamedEvent]:
        """The organization's live stream, from a cursor or from now on. Ends when the gateway ends it; raises
        Unsuccessful when the line breaks."""
        import httpx2

        patience = httpx2.Timeout(5.0, read=_SILENCE)
        asked = {} if cursor is None else {"cursor": cursor}
        try:
            with self._client.stream("GET", "/v1/events/stream", params=asked, timeout=patience) as response:
                if response.status_code >= 400:
                    response.read()
                    raise _refused(response)
                yield from read_stream(response.iter_bytes())
        except httpx2.TransportError as error:
            raise _unreachable(str(self._client.base_url), error) from None


_SILENCE = 45.0
"""Seconds without a sign of life, of which the gateway gives one every 15, after which a stream is dead."""


def read_stream(chunks: Iterable[bytes]) -> Iterator[StreamedEvent]:
    """The events in a stream of server-sent events. Only LF ends a line here: JSON may hold U+2028 and its like, which
    Python's `splitlines` takes for line ends."""
    import json

    pending, cursor, data, news = b"", "", None, False
    for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.partition(b": ")
            if name == b"id":
                cursor, news = value.decode(), True
            elif name == b"data":
                data = json.loads(value)
            elif not line and news:
                yield StreamedEvent(cursor, data)
                data, news = None, False


def given(**values: Any) -> Json:
    """What was said; options that were not given are None."""
    return {name: value for name, value in values.items() if value is not None}


def segment(text: str) -> str:
    """A segment of a path (RFC 3986 §3.3)."""
    from urllib.parse import quote

    return quote(text, safe="") or "-"


# -- for commands ----------------------------------------------------------------------------------------------------


def with_gateway(command: Callable[Concatenate[Gateway, P], None]) -> Callable[..., None]:
    """A command that is given the gateway; gets the options that say which."""
    return _opening(command, _REACH)


def with_organization(command: Callable[Concatenate[Gateway, P], None]) -> Callable[..., None]:
    """A command that works for one organization; gets `--org` besides."""
    return _opening(command, {"org": _ORGANIZATION, **_REACH})


def _opening(command: Callable[Concatenate[Gateway, P], None], options: Mapping[str, Any]) -> Callable[..., None]:
    _, *own = inspect.signature(command).parameters.values()
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in options.items()
    ]

    def run(**given: Any) -> None:
        way = Target(**{name: given.pop(name) for name in options})
        with reach(way) as gateway:
            command(gateway, **given)  # type: ignore[call-arg]

    update_wrapper(run, command)
    run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    return run


# -- the way there ---------------------------------------------------------------------------------------------------


@contextmanager
def reach(way: Target) -> Iterator[Gateway]:
    """The gateway, until the block ends. Raises Unsuccessful."""
    import httpx2

    headers = {"User-Agent": "homing-cli"} | ({} if way.org is None else {"Homing-Organization": _header(way.org)})
    with _server(way) as (url, key, transport):
        headers["Authorization"] = f"Bearer {_header(key)}"
        with httpx2.Client(
            base_url=url, headers=headers, transport=transport, timeout=PATIENCE, trust_env=False
        ) as client:
            yield Gateway(client, running=transport is None)


@contextmanager
def _server(way: Target) -> Iterator[tuple[str, str, "httpx2.BaseTransport | None"]]:
    """URL, key, and (where no server is) the API in this process."""
    if way.url is not None:
        if not way.url.startswith(("http://", "https://")):
            raise bad_input("--url", "url-form", "Give the gateway's URL like https://mail.example.com.")
        yield way.url, _given_key(way), None
        return
    from homing.cli.serve import settings_from

    settings = settings_from(way.config)
    url = _url_of(settings)
    if _answers(url):
        yield url, way.key or _administrators_key(settings), None
        return
    with _in_this_process(settings) as (transport, administrators_key):
        yield url, way.key or administrators_key, transport


def _given_key(way: Target) -> str:
    if way.key is None:
        raise unsuccessful(ExitCode.AUTH, "key-missing", "Give an API key: --key, or HOMING_KEY in the environment.")
    return way.key


def _header(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise bad_input("--key, --org", "text-form", "Keys, names and ids of organizations are plain ASCII.")
    return text


def _url_of(settings: "Settings") -> str:
    here = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.http_host, settings.http_host)  # noqa: S104
    return f"http://[{here}]:{settings.http_port}" if ":" in here else f"http://{here}:{settings.http_port}"


def _answers(url: str) -> bool:
    """Whether a gateway answers there: its health is a document that other programs do not have."""
    import httpx2

    try:
        # The address is one of http: to load certificates would take 50 ms for nothing.
        response = httpx2.get(f"{url}/healthz", timeout=PATIENCE, trust_env=False, verify=False)
        health = response.json()
    except (httpx2.TransportError, ValueError):
        return False
    if not isinstance(health, dict):
        return False
    well = health.get("status") == "ok" and health.keys() <= _HEALTH
    return well or health.get("code") == "database-unavailable"


_HEALTH = {"status", "disk", "store", "return_path"}
"""What a gateway says of its health; older ones said less."""


def _administrators_key(settings: "Settings") -> str:
    if settings.administrator_key is not None:
        return settings.administrator_key.get_secret_value()
    file = settings.data_dir / "administrator.key"
    try:
        return file.read_text().strip()
    except OSError as error:
        title = f"Cannot read the administrator's key: {error.strerror}: {file}"
        detail = "Run this as the user of the gateway, or give another key: --key, or HOMING_KEY in the environment."
        raise unsuccessful(ExitCode.AUTH, "key-missing", title, detail) from None


@contextmanager
def _in_this_process(settings: "Settings") -> Iterator[tuple["httpx2.BaseTransport", str]]:
    import asyncio

    with no_garbage_collection():
        from homing.app import build
        from homing.cli.in_process import InProcessTransport
    from homing.cli.log import log_to_stderr
    from homing.cli.serve import opening
    from homing.store.lock import AlreadyOpen

    log_to_stderr()
    with asyncio.Runner() as runner:
        with opening(settings):
            try:
                app = build(settings)
                storing = app.storing()
                runner.run(_entered(storing))
            except AlreadyOpen as error:
                detail = (
                    f"No gateway answers at {_url_of(settings)}, so it must run elsewhere: give its URL with --url."
                )
                raise unsuccessful(ExitCode.NETWORK, "database-in-use", str(error), detail) from None
        try:
            yield InProcessTransport(runner, app.http), app.keys.administrator
        finally:
            runner.run(_left(storing))


async def _entered(storing: Any) -> None:
    await storing.__aenter__()


async def _left(storing: Any) -> None:
    await storing.__aexit__(None, None, None)


# -- answers ---------------------------------------------------------------------------------------------------------


def _document(response: "httpx2.Response") -> Json:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        title = f"What answers at {response.url} is not a Homing gateway."
        raise unsuccessful(ExitCode.NETWORK, "not-a-gateway", title)
    return document


def _refused(response: "httpx2.Response") -> Unsuccessful:
    document = _document(response)
    faults = tuple(
        Fault(str(one.get("pointer", "")), str(one.get("code", "")), str(one.get("message", "")))
        for one in document.get("errors", ())
    )
    wait = response.headers.get("retry-after", "")
    problem = Problem(
        status=response.status_code,
        code=str(document.get("code", "")),
        title=str(document.get("title", "The gateway refused.")),
        detail=str(document.get("detail", "")),
        faults=faults,
        retry_after=int(wait) if wait.isdecimal() else None,
    )
    code = exit_code_of(problem.status)
    if problem.code == "organization-required":
        problem = replace(problem, detail="Name one: --org, or HOMING_ORG in the environment.")
        code = ExitCode.INPUT
    return Unsuccessful(code, problem, str(document.get("request_id", "")))


def _unreachable(url: str, error: Exception) -> Unsuccessful:
    title = f"The gateway at {url} cannot be reached."
    return unsuccessful(ExitCode.NETWORK, "gateway-unreachable", title, str(error))
