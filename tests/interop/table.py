"""docs/verifiers.md: what each verifier must say, as a page. `python -m tests.interop.table` writes it."""

from pathlib import Path

from .scenarios import CELLS, Cells

_HEAD = """\
# What verifiers make of our mail

Each row is a message as it comes to a receiver. Its first word is the level of its identity, and a whole gateway has
sent it; the last six rows are messages that no gateway would send. Each cell says what a verifier must find, and a test
fails if it finds anything else.

* `forwarded`: it comes from an address that SPF does not know. `tampered`: a line was added at the end. `second_from`:
  another From was put on top. `selector`: the organization's own, with a dot in it. `twice` and `tenant`: signed with
  RSA and with Ed25519. `custom_…`: signed by the domain in From and by the operator. Where there are two signatures,
  both must pass, or both must fail.
* `impersonation`: a customer's address in From, signed by the operator alone. `revoked_key`: its record is empty.
  `sibling_…`: the return path stands beside the From domain instead of below it. That aligns by the public suffix list
  (RFC 7489), and by the tree walk (RFC 9989) only with a record above both. Homing's return paths are below.
* DMARC is `none` where two are in From, so that nobody is. A verifier that judges nevertheless must not say `pass`.
* Our own verifier, pyspf, dkimpy and authheaders run in `make test`; mailauth (7.1 or newer, on Node 22 or newer),
  OpenDKIM, OpenDMARC and rspamd in `make test-all`. mailauth walks the tree, the others ask the list, we do both.

Beside these, a message with every header that we sign is changed in each of them, loses each of them, and gets another
copy of each above and below; and its body is changed, lengthened and shortened. Each time DKIM fails by every verifier.

The signatures of RFC 8463's example come out octet for octet with the test keys that the RFC prints.

| Scenario | ours: SPF, DKIM, DMARC walk, list | pyspf, dkimpy, authheaders | mailauth | OpenDKIM, OpenDMARC | rspamd |
|---|---|---|---|---|---|
"""


def page() -> str:
    return _HEAD + "".join(_row(name, cells) for name, cells in CELLS.items())


def _row(name: str, cells: Cells) -> str:
    three = f"{cells.spf} {cells.dkim}"
    columns = (
        f"{three} {cells.walk} {'none' if cells.duplicate else cells.suffix}",
        f"{three} {cells.suffix}",
        f"{three} {cells.walk}",
        f"{cells.dkim} {cells.suffix}",
        f"{three} {'none' if cells.duplicate else cells.suffix}",
    )
    return f"| `{name}` | {' | '.join(columns)} |\n"


if __name__ == "__main__":
    Path(__file__).parents[2].joinpath("docs", "verifiers.md").write_text(page(), "utf-8")
