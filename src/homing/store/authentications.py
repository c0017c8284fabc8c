"""What SPF, DKIM and DMARC said of a mail, as a JSON document and back.

An exact inverse but for what strangers wrote into HELO or a signature: no control character and nothing endless is
kept of that.
"""

from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from homing.mail.authentication import Authentication
from homing.mail.dkim_verification import Result, Signature, Verification
from homing.mail.dmarc import DmarcResult, DmarcVerdict, MethodVerdict
from homing.mail.dmarc_record import Policy
from homing.mail.spf import SpfVerdict
from homing.mail.spf_record import SpfResult
from homing.mail.text import clean

Document = dict[str, Any]
_CHARACTERS = 500


def authentication_to_json(authentication: Authentication | None) -> Document | None:
    return None if authentication is None else _cleaned(asdict(authentication))


def _cleaned(value: Any) -> Any:
    match value:
        case StrEnum():
            return value.value
        case str():
            return clean(value, _CHARACTERS)
        case dict():
            return {key: _cleaned(each) for key, each in value.items()}
        case list() | tuple():
            return [_cleaned(each) for each in value]
        case _:
            return value


def authentication_from_json(document: Mapping[str, Any] | None) -> Authentication | None:
    if document is None:
        return None
    spf, dkim, dmarc = document["spf"], document["dkim"], document["dmarc"]
    return Authentication(
        spf=SpfVerdict(**{**spf, "result": SpfResult(spf["result"])}),
        dkim=Verification(tuple(map(_signature, dkim["signatures"]))),
        dmarc=None if dmarc is None else _dmarc(dmarc),
    )


def _signature(document: Mapping[str, Any]) -> Signature:
    return Signature(**{**document, "result": Result(document["result"])})


def _dmarc(document: Mapping[str, Any]) -> DmarcVerdict:
    by_list = document["suffix_list"]
    return DmarcVerdict(
        author_domain=document["author_domain"],
        tree_walk=_method(document["tree_walk"]),
        suffix_list=None if by_list is None else _method(by_list),
    )


def _method(document: Mapping[str, Any]) -> MethodVerdict:
    policy = None if document["policy"] is None else Policy(document["policy"])
    return MethodVerdict(**{**document, "result": DmarcResult(document["result"]), "policy": policy})
