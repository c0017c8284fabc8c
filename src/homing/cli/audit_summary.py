"""What an audit comes to: how many addresses there are of each verdict and of each reason, for a person's terminal."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from homing.cli.output import table
from homing.loop.audit import FINE, INVALID, MEANING, UNKNOWN, Reason, Sureness

if TYPE_CHECKING:
    from rich.console import RenderableType

    from homing.loop.audit import Audited

_BAR = 40
COLOURS = {FINE: "green", UNKNOWN: "magenta", INVALID: "dim", Reason.OWN_REFUSAL: "yellow"}
_NO_REASONS = {
    UNKNOWN: "nobody could tell now; the same command asks about these again, and about no others",
    INVALID: "this is no address",
}
_POSSIBLY = "the same, perhaps: a mail gateway or Microsoft takes its mail, or its own server, with little published"


@dataclass(slots=True)
class Summary:
    """How many addresses there are of each verdict, and how many have each reason, perhaps several."""

    addresses: int = 0
    fails: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    own_refusal: Counter[str] = field(default_factory=Counter)

    def add(self, found: "Audited | None") -> None:
        self.addresses += 1
        self.verdicts[INVALID if found is None else found.verdict] += 1
        if found is not None:
            self.fails += found.fails
            self.reasons.update(found.reasons)
            if found.own_refusal:
                self.own_refusal[found.own_refusal] += 1

    @property
    def headline(self) -> tuple[str, str, str]:
        """In three pieces, the share of the whole in the middle."""
        share = self.fails / max(1, self.addresses)
        return (
            f"{self.fails:,} of {self.addresses:,} addresses",
            f"({share:.1%})",
            "cannot be put into From: receivers refuse it or hide it.",
        )

    def causes(self) -> Iterator[tuple[str, int, str]]:
        """Each reason that there is, how many addresses have it, and what it means."""
        for reason, meaning in MEANING.items():
            if self.reasons[reason]:
                yield reason, self.reasons[reason], meaning
        if self.own_refusal[Sureness.POSSIBLE]:
            yield f"{Reason.OWN_REFUSAL} ({Sureness.POSSIBLE})", self.own_refusal[Sureness.POSSIBLE], _POSSIBLY
        for verdict, meaning in _NO_REASONS.items():
            if self.verdicts[verdict]:
                yield verdict, self.verdicts[verdict], meaning

    def document(self) -> dict[str, Any]:
        return {
            "addresses": self.addresses,
            "fails": self.fails,
            "share": round(self.fails / self.addresses, 4) if self.addresses else 0.0,
            "verdicts": dict(self.verdicts.most_common()),
            "reasons": dict(self.reasons.most_common()),
            "own_refusal": dict(self.own_refusal),
        }

    def picture(self) -> "RenderableType":
        """Table and bars in one: a line for each verdict; then what the reasons mean."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        bars = Table(box=None, pad_edge=False, padding=(0, 1))
        for heading, where in (("Verdict", "left"), ("Addresses", "right"), ("", "right"), ("", "left")):
            bars.add_column(heading, justify=where, no_wrap=True)  # type: ignore[arg-type]
        for verdict, number in self.verdicts.most_common():
            share = number / self.addresses
            colour = COLOURS.get(verdict, "red")
            bars.add_row(Text(verdict, colour), f"{number:,}", f"{share:.1%}", Text(bar(share), colour))
        how_many, share_of_all, what = self.headline
        headline = Text.assemble((f"{how_many} ", "bold"), (f"{share_of_all} ", "bold red"), (what, "bold"))
        causes = ((reason, f"{number:,}", meaning) for reason, number, meaning in self.causes())
        return Group(headline, Text(), bars, Text(), table(("Reason", "Addresses", "What it means"), causes))


def bar(share: float) -> str:
    """A bar of eighths, so that small shares can be told apart."""
    eighths = round(share * _BAR * 8)
    return "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")
