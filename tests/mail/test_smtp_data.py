import itertools
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.smtp_data import LINE_OCTETS, DataReader, dot_stuffed

_LINES = st.lists(st.sampled_from([b"", b".", b"..", b".x", b"x.", b"...y", b"text"]), max_size=8)


def read_in(pieces: list[bytes]) -> tuple[DataReader, bytes, bytes]:
    reader, message, rest = DataReader(), b"", b""
    for piece in pieces:
        if reader.ended:
            rest += piece
            continue
        octets, more = reader.receive(piece)
        message += b"".join(octets)
        rest += more
    return reader, message, rest


def cut(data: bytes, points: list[int]) -> list[bytes]:
    edges = [0, *sorted(point % (len(data) + 1) for point in points), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(_LINES, st.lists(st.integers(0, 200), max_size=6))
def test_what_is_stuffed_comes_out_again_however_it_is_cut(lines: list[bytes], points: list[int]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    wire = dot_stuffed(content) + b".\r\n" + b"NOOP\r\n"
    reader, message, rest = read_in(cut(wire, points))
    assert (message, rest, reader.ended) == (content, b"NOOP\r\n", True)
    assert (reader.size, reader.flags) == (len(content), frozenset())


@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"\0", b"a", b"\r\n", b"\r\n."]), max_size=12), st.data())
def test_any_octets_read_alike_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(parts) + b"\r\n.\r\nrest"
    points = data.draw(st.lists(st.integers(0, len(wire)), max_size=6))
    whole, whole_message, _ = read_in([wire])
    split, split_message, _ = read_in(cut(wire, points))
    assert (whole_message, whole.flags, whole.ended) == (split_message, split.flags, split.ended)
    assert read_in([bytes([octet]) for octet in wire])[1] == whole_message


@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"."]), max_size=12))
def test_the_end_is_the_first_dot_between_line_ends(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    reader, message, _ = read_in([stream])
    end = (b"\r\n" + stream).find(b"\r\n.\r\n")
    assert reader.ended == (end >= 0)
    if reader.ended:
        assert message == (b"\r\n" + stream)[: end + 2].replace(b"\r\n.", b"\r\n")[2:]


@pytest.mark.parametrize(
    ("octets", "flags"),
    [
        (b"a\nb\r\n", {"bare_lf"}),
        (b"a\rb\r\n", {"bare_cr"}),
        (b"a\0b\r\n", {"nul"}),
        (b"a\n\rb\r\n", {"bare_cr", "bare_lf"}),
        (b"a\r\r\n", {"bare_cr"}),
        (b"a\r\n", set()),
    ],
)
def test_flags(octets: bytes, flags: set[str]) -> None:
    reader, message, _ = read_in([octets + b".\r\n"])
    assert reader.flags == flags
    assert message == octets


@pytest.mark.parametrize("step", [1000, 40_000, 200_000])
@pytest.mark.parametrize(("length", "long"), [(LINE_OCTETS, False), (LINE_OCTETS + 1, True)])
def test_the_longest_line(length: int, long: bool, step: int) -> None:
    stream = b"short\r\n" + b"x" * length + b"\r\n.\r\n"
    reader, _, _ = read_in([stream[at : at + step] for at in range(0, len(stream), step)])
    assert reader.ended
    assert ("long_line" in reader.flags) is long


def test_holds_back_no_more_than_may_be_the_end() -> None:
    reader = DataReader()
    taken = sum(len(piece) for _ in range(50) for piece in reader.receive(b"x" * 100_000)[0])
    assert taken == reader.size == 5_000_000


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n.\n", b"a\r", b"\n"])
def test_content_that_could_smuggle_is_not_stuffed(content: bytes) -> None:
    with pytest.raises(ValueError, match="stands alone"):
        dot_stuffed(content)


def test_a_missing_line_end_is_added() -> None:
    assert dot_stuffed(b".a") == b"..a\r\n"
    assert dot_stuffed(b"") == b""
    assert message_from_bytes(dot_stuffed(b"Subject: x\r\n\r\nb")).get_payload() == "b\r\n"
