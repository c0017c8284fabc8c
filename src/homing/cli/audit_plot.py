"""The outcome of an audit as a picture (SVG), to be shown to those who decide."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape

from homing.cli.audit_summary import Summary
from homing.loop.audit import FINE, INVALID, UNKNOWN, Reason, Sureness

_NAMES: Mapping[str, str] = {
    FINE: "fine",
    Reason.DMARC_REJECT: "DMARC: reject",
    Reason.DMARC_QUARANTINE: "DMARC: quarantine",
    Reason.SPF_HARD_FAIL: "SPF: nobody else may send",
    Reason.FREEMAIL: "freemail or Internet provider",
    Reason.OWN_REFUSAL: "refused by its own server",
    Reason.NO_SUCH_DOMAIN: "no such domain",
    Reason.NO_MAIL: "takes no mail",
    UNKNOWN: "could not be looked up",
    INVALID: "no address",
}
_COLOURS: Mapping[str, str] = {FINE: "#2e8540", UNKNOWN: "#8a6d9e", INVALID: "#9a9a9a", Reason.OWN_REFUSAL: "#c98a00"}
_RED = "#c0392b"
_WIDTH, _LEFT, _BAR, _ROW, _TOP = 820, 290, 380, 30, 118


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    number: int
    colour: str


def plot(summary: Summary) -> str:
    """A bar for each verdict, then one for each reason; they are all of one scale, the share of all addresses."""
    how_many, share, what = summary.headline
    verdicts = [_Row(_NAMES[verdict], number, _colour(verdict)) for verdict, number in summary.verdicts.most_common()]
    second = _TOP + _ROW * len(verdicts) + 58
    reasons = list(_reasons(summary))
    height = second + _ROW * len(reasons) + 24
    parts = [
        _text(24, 36, f"{how_many} {share}", "headline"),
        _text(24, 60, what, "headline"),
        _text(24, _TOP - 18, "The decisive reason of each address", "heading"),
        *_bars(verdicts, _TOP, summary.addresses),
        _text(24, second - 18, "All reasons: one address may have several", "heading"),
        *_bars(reasons, second, summary.addresses),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img"><title>{escape(how_many)} {escape(share)} {escape(what)}</title>{_STYLE}'
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>{"".join(parts)}</svg>\n'
    )


_STYLE = (
    "<style>text{font:14px system-ui,sans-serif;fill:#1c1c1c}.headline{font-size:19px;font-weight:600}"
    ".heading{font-weight:600;fill:#555}.name{text-anchor:end}.paper{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#eee}.heading{fill:#aaa}.paper{fill:#1a1a1a}}</style>"
)


def _colour(verdict: str) -> str:
    return _COLOURS.get(verdict, _RED)


def _reasons(summary: Summary) -> Iterator[_Row]:
    for reason in Reason:
        if summary.reasons[reason]:
            likely = ", likely" if reason is Reason.OWN_REFUSAL else ""
            yield _Row(_NAMES[reason] + likely, summary.reasons[reason], _colour(reason))
    if possible := summary.own_refusal[Sureness.POSSIBLE]:
        yield _Row(f"{_NAMES[Reason.OWN_REFUSAL]}, perhaps", possible, _colour(Reason.OWN_REFUSAL))


def _bars(rows: Iterable[_Row], top: int, of: int) -> Iterator[str]:
    for place, row in enumerate(rows):
        y, share = top + place * _ROW, row.number / max(1, of)
        width = max(1.0, share * _BAR)
        yield _text(_LEFT - 12, y + 17, row.name, "name")
        yield f'<rect x="{_LEFT}" y="{y + 2}" width="{width:.1f}" height="20" rx="2" fill="{row.colour}"/>'
        yield _text(round(_LEFT + width) + 10, y + 17, f"{row.number:,} · {share:.1%}", "number")


def _text(x: int, y: int, text: str, kind: str) -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'
