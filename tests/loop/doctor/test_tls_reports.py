"""Who is asked for TLS reports, and that what is offered keeps where they went before (RFC 8460)."""

import pytest

from homing.loop.doctor.finding import Outcome

from .examined import FROM, facts, of, zones

OURS = "mailto:tlsrpt@post.acme-mail.com"


@pytest.mark.parametrize(
    ("texts", "said", "offered"),
    [
        (["v=TLSRPTv1;rua=https://r.example/v1"], "are asked for", None),
        (["v = TLSRPTv1 ; rua = mailto:a@b.example , https://r.example/"], "are asked for", None),
        (["v=TLSRPTv1"], "no record that could be used", OURS),
        (["v=TLSRPTv1; rua=nobody"], "no record that could be used", OURS),
        (["v=TLSRPTv2; rua=mailto:a@b.example"], "no record that could be used", "mailto:a@b.example"),
        (
            ["v=TLSRPTv1; rua=tls@b.example, https://r.example/v1!"],
            "are asked for",
            None,
        ),
        (["v=TLSRPTv1; rua=tls@b.example"], "no record that could be used", "mailto:tls@b.example"),
        (
            ["v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@d.example,mailto:a@b.example"],
            "2 records",
            "mailto:a@b.example,mailto:c@d.example",
        ),
    ],
)
def test_reports_go_on_going_where_they_went(texts: list[str], said: str, offered: str | None) -> None:
    zone = zones() | {f"_smtp._tls.{FROM}": [("TXT", text) for text in texts]}
    [found] = [one for one in of("TLS03", facts(), zone) if one.about == FROM]
    assert said in found.sentence
    assert found.outcome is (Outcome.OK if offered is None else Outcome.WARNING)
    assert [record.value for record in found.records] == ([f"v=TLSRPTv1; rua={offered}"] if offered else [])
