"""The description of the API: complete, and the page that is written from it current."""

from pathlib import Path

from homing.doors.api.reference import api_page

from .gateway import Gateway

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == api_page(), "write it again: homing docs"


async def test_every_route_is_described(home: Gateway) -> None:
    described = (await home.client.get("/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    for path, item in described["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["tags"], where
            assert "4XX" in operation["responses"], where
            good = [code for code in operation["responses"] if code.startswith("2")]
            assert len(good) == 1, (where, good)
            if good[0] in {"200", "201"} and path != "/metrics":
                assert operation["responses"][good[0]]["content"], where
    examples = described["components"]["schemas"]["MessageIn"]["examples"]
    response = await home.call("POST", "/v1/messages", json=examples[0])
    assert response.status_code == 202, response.text
    assert "API key" in described["components"]["securitySchemes"]
