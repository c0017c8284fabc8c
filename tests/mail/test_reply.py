"""What a reply to the dot leaves open."""

import pytest

from homing.mail.reply import Reply


@pytest.mark.parametrize(
    ("line", "doubt"),
    [
        ("250 2.0.0 ok", False),
        ("450 4.2.0 later", False),
        ("451 timeout", False),
        ("554 5.6.0 no", False),
        ("421 ", True),
        ("421 Service not available, closing transmission channel", True),
        ("421 4.3.2 going down", True),
        ("421 4.4.2 timeout", True),
        ("421 4.4.0 I/O error", True),
        ("421 4.7.0 try again later, closing connection", False),
        ("421 4.7.28 an unusual rate of mail", False),
        ("421 4.3.0 Temporary system problem", False),
        ("421 4.3.0 Shutting down", True),
        ("421 4.2.1 Session timed out", True),
        ("354 go", True),
    ],
)
def test_in_doubt_after_the_dot(line: str, doubt: bool) -> None:
    code, _, text = line.partition(" ")
    assert Reply.of(int(code), text).leaves_doubt is doubt
