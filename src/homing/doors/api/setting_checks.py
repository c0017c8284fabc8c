"""Checks of an organization's settings: each returns every fault, with the pointer to it."""

import re
from collections.abc import Iterable, Iterator

from homing.loop.problem import Fault
from homing.mail.address import AddressError, parse_address
from homing.mail.compose import check_display_name, check_text

PHONE = re.compile(r"\+[1-9][0-9]{6,14}")  # E.164
_ORIGIN = re.compile(r"https?://[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[1-9][0-9]{0,4})?")
ORIGINS = 20


def name_faults(path: str, name: str) -> list[Fault]:
    """Checks the display name beside our own address in From."""
    return [Fault(path, code, text) for code, text in check_display_name(name)]


def text_faults(path: str, text: str | None, at_most: int) -> list[Fault]:
    return [Fault(path, code, message) for code, message in check_text(text or "", at_most)]


def address_faults(path: str, address: str | None) -> Iterator[Fault]:
    try:
        if address is not None:
            parse_address(address)
    except AddressError as error:
        yield Fault(path, error.code, str(error))


def phone_faults(path: str, phone: str | None) -> Iterator[Fault]:
    if phone is not None and not PHONE.fullmatch(phone):
        message = "Write the number as +, country code and digits: +442079460000."
        yield Fault(path, "phone-syntax", message)


def origin_faults(path: str, origins: Iterable[str]) -> Iterator[Fault]:
    """Origins as a browser sends them (RFC 6454 §6.2); a wildcard would open the streams to any page."""
    for index, origin in enumerate(origins):
        if not _ORIGIN.fullmatch(origin):
            message = "An origin is a scheme, a host in lower case and perhaps a port: https://app.example.com"
            yield Fault(f"{path}/{index}", "origin-syntax", message)
