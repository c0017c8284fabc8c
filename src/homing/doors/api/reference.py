"""docs/api.md, written from the same description that `/openapi.json` serves."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from homing.doors.api.application import api_router

_OPENING = """# The HTTP API

`/openapi.json` has every field. Bodies are JSON; moments are RFC 3339 in UTC; ids are text with a word in front
(`msg_…`). Send `Authorization: Bearer homing_live_…` with every request; a key has *scopes*: send, read, manage,
attest; or admin. Errors are described in [problems](problems.md).

```
curl $HOMING/v1/messages -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\
     -H "Idempotency-Key: call-4711" -d @- <<'END'
{example}
END
```

answers 202:

```json
{{"id": "msg_…", "deliveries": [{{"id": "dlv_…", "recipient": "john@example.org", "state": "queued"}}]}}
```

What becomes of a delivery is shown in `GET /v1/messages/{{id}}`, in `GET /v1/events` and, within moments, in the live
streams. A stream is a long answer of server-sent events: read `data` as JSON, remember the last `id`, and come back
with it in `Last-Event-ID`; nothing is skipped. For the screen of one person, let your server make a stream token and
give it to the page:

```js
const {{ url }} = await (await fetch("/my-own-server/stream-token")).json();
new EventSource(HOMING + url).addEventListener("notified", (event) => popUp(JSON.parse(event.data).data));
```
"""


def api_page() -> str:
    """The page, in Markdown."""
    described = _described()
    example = described["components"]["schemas"]["MessageIn"]["examples"][0]
    opening = _OPENING.format(example=json.dumps(example, indent=2))
    return "\n".join([opening, *_sections(described)])


def _described() -> dict[str, Any]:
    app = FastAPI(title="Homing", version="1")
    app.include_router(api_router())
    return app.openapi()


def _sections(described: dict[str, Any]) -> Iterator[str]:
    rows: dict[str, list[str]] = {}
    for path, item in described["paths"].items():
        for method, operation in item.items():
            tag = operation["tags"][-1]
            rows.setdefault(tag, []).append(_row(method, path, operation))
    for tag, lines in rows.items():
        yield f"## {tag[0].upper()}{tag[1:]}\n\n| | | |\n|---|---|---|\n{''.join(lines)}"


def _row(method: str, path: str, operation: dict[str, Any]) -> str:
    description = " ".join(operation.get("description", "").split())
    told = f"{operation['summary']}. {description}".strip()
    parameters = [f"`{one['name']}`" for one in operation.get("parameters", []) if one["in"] == "query"]
    asks = f" Query: {', '.join(parameters)}." if parameters else ""
    return f"| {method.upper()} | `{path}` | {told}{asks} |\n"
