"""docs/doctor.md: every check, what it wants, and how to mend it."""

from homing.loop.doctor.checks import CHECKS, FAMILIES

_OPENING = """# The doctor's checks

`homing doctor` asks the DNS what receivers ask, says what is wrong, and gives the record that corrects it. Each check
has an id that stays. A fault is an *error* where mail fails or can be forged, a *warning* where it is at risk, and
*info* where somebody may want to know. What the DNS did not answer is `unknown`: a timeout or SERVFAIL is never taken
for a fault.

A record is offered only after the doctor has evaluated it: it can be read, nothing that it includes is a permanent
error, every address that mail leaves from (`--egress`) passes, and what was right in the record that stands there is
kept. There is one record for a name over the whole report, for all that is wrong there. Where no record is safe, none
is offered, and the cure says what to do.

| Outcome | |
|---|---|
| `ok` | as it should be |
| `info` | worth knowing |
| `warning` | mail is at risk |
| `broken` | mail fails, or anybody can forge it; `homing doctor` ends with exit code 1 |
| `unknown` | no answer; ask again later |

Of zones that checkdmarc and pyspf can judge as well, all three say the same; `tests/loop/doctor/test_agreement.py`
holds it, with the few exceptions and their reasons. An examination takes 40 seconds at most, if nobody answers.
"""


def doctor_page() -> str:
    """The page, in Markdown."""
    families = "".join(
        f"\n## {title}\n\n| Check | Fault is | What should be so | How to correct it |\n|---|---|---|---|\n"
        + "".join(f"| {one.id} | {one.severity} | {one.meaning} | {one.cure} |\n" for one in checks)
        for title, checks in FAMILIES.items()
    )
    return f"{_OPENING}\nThere are {len(CHECKS)} of them.\n{families}"
