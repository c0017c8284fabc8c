"""The pages: what became of each message, and the pages behind the links in our e-mails."""

from fastapi import APIRouter

from homing.doors.web.health import Health
from homing.doors.web.links import Links
from homing.doors.web.lists import Lists
from homing.doors.web.pages import Pages
from homing.doors.web.parts import WebParts as WebParts
from homing.doors.web.rendering import message_page as message_page
from homing.doors.web.visitors import Visitors


def web_router(parts: WebParts) -> APIRouter:
    """A router with all pages, to be added to the API's application."""
    visitors = Visitors(parts)
    pages, links, lists = Pages(parts, visitors), Links(parts), Lists(parts, visitors)
    router = APIRouter(include_in_schema=False)
    for path, get in (
        ("/", pages.messages),
        ("/messages/{id}", pages.message),
        ("/cases", pages.cases),
        ("/inbound", pages.inbound),
        ("/inbound/{id}", pages.one_inbound),
        ("/suppressions", lists.suppressions),
        ("/people", lists.people),
        ("/alarms", lists.alarms),
        ("/health", Health(parts, visitors).show),
        ("/organizations", lists.organizations),
        ("/static/{name}", pages.file),
        ("/prove/{token}", links.show_proof),
        ("/correct/{token}", links.show_correction),
        ("/unsubscribe/{token}", links.show_leaving),
    ):
        router.add_api_route(path, get, methods=["GET", "HEAD"])
    for path, post in (
        ("/sign_in", visitors.sign_in),
        ("/sign_out", visitors.sign_out),
        ("/suppressions/lift", lists.lift),
        ("/alarms/clear", lists.clear),
        ("/prove/{token}", links.prove),
        ("/correct/{token}", links.correct),
        ("/unsubscribe/{token}", links.leave),
    ):
        router.add_api_route(path, post, methods=["POST"])
    return router
