"""The operations of the API, as its description has them: tests that go through all of them are made from it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

UNKNOWN = {"{id}": "msg_" + "0" * 32, "{name}": "nobody", "{key}": "key_" + "0" * 32, "{token}": "x"}


@dataclass(frozen=True, slots=True)
class Operation:
    """`query` and `headers`: the schemas of its parameters. `body`: the schema of the object that it takes."""

    method: str
    path: str
    query: dict[str, dict[str, Any]] = field(default_factory=dict)
    headers: dict[str, dict[str, Any]] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def somewhere(self) -> str:
        """Its address with ids that nobody has."""
        path = self.path
        for name, value in UNKNOWN.items():
            path = path.replace(name, value)
        return path


def operations(app: FastAPI) -> list[Operation]:
    described = app.openapi()
    found = []
    for path, item in described["paths"].items():
        for method, told in item.items():
            given = {place: {} for place in ("query", "header", "path")}
            for one in told.get("parameters", []):
                given[one["in"]][one["name"]] = one["schema"]
            schema = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            body = resolved(schema, described)
            found.append(Operation(method.upper(), path, given["query"], given["header"], body))
    return found


def resolved(schema: Any, described: dict[str, Any]) -> Any:
    """The schema with what it refers to in place."""
    if isinstance(schema, list):
        return [resolved(one, described) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        return resolved(described["components"]["schemas"][reference.rpartition("/")[2]], described)
    return {name: resolved(one, described) for name, one in schema.items()}


def types_of(schema: dict[str, Any]) -> set[str]:
    return {one["type"] for one in (schema, *schema.get("anyOf", [])) if "type" in one}


def fields_of(schema: dict[str, Any], pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a body, with those of the objects in its lists, and the pointer to it."""
    for name, one in schema.get("properties", {}).items():
        yield f"{pointer}/{name}", one
        for inner in (one, one.get("items", {})):
            if "properties" in inner:
                yield from fields_of(inner, f"{pointer}/{name}" + ("/0" if inner is not one else ""))


def placed(pointer: str, value: Any) -> dict[str, Any]:
    """The smallest document that has the value there."""
    *outer, last = pointer.strip("/").split("/")
    document: Any = {last: value}
    for step in reversed(outer):
        document = [document] if step == "0" else {step: document}
    return document


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of everything that the door answers, pages among them."""
    return [(method, route.path) for route in iter_route_contexts(app.routes) for method in sorted(route.methods or ())]
