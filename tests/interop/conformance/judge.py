"""Where a finding is not what a careful postmaster would have concluded."""

from collections.abc import Iterator

from .cell import Finding
from .scenarios import Expected


def judge(finding: Finding, wanted: Expected) -> list[str]:
    """The differences, in words; none where all is as it should be."""
    if not finding.state:
        return [finding.why]
    return [*filter(None, [finding.why]), *_differences(finding, wanted)]


def _differences(finding: Finding, wanted: Expected) -> Iterator[str]:
    if finding.state != wanted.state:
        yield f"the state is `{finding.state}`, not `{wanted.state}`"
    for event in wanted.events:
        if event not in finding.events:
            yield f"no event `{event}`"
    for event in wanted.never:
        if event in finding.events:
            yield f"an event `{event}`"
    if wanted.classes and finding.failure_class not in wanted.classes:
        yield f"the class is `{finding.failure_class}`, not {' or '.join(f'`{one}`' for one in wanted.classes)}"
    if finding.kind not in {*wanted.kinds, ""}:
        yield f"the kind is `{finding.kind}`, not {' or '.join(f'`{one}`' for one in wanted.kinds)}"
    if not _short_enough(finding.suppressed, wanted.suppressed):
        most = "not at all" if wanted.suppressed == 0 else f"for {wanted.suppressed} days at most"
        yield f"suppressed {how_long(finding.suppressed)}, not {most}".replace(
            "not not at all", "though it should not be"
        )
    if finding.case != wanted.case:
        yield "nobody is asked to see to it" if wanted.case else "a case was opened"
    if finding.about_us != wanted.about_us:
        yield "the operator is not alarmed" if wanted.about_us else "the operator is alarmed"


def _short_enough(found: float | None, most: int | None) -> bool:
    if most is None:
        return True
    return found is not None and found <= most


def how_long(days: float | None) -> str:
    if days is None:
        return "until it is lifted"
    return f"for {days:g} days" if days else "nothing"
