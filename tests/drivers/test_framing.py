"""Frames among noise: whatever comes before, between and behind, a whole frame is read, and once."""

from hypothesis import example, given
from hypothesis import strategies as st

from drivers.framing import NOISE_BYTES_MAX, Frame, FrameSearch, Noise


def search() -> FrameSearch:
    """Frames of a toy protocol: A5, length of the data, data, sum of all before."""
    return FrameSearch(
        2,
        lambda head: head[1] + 3 if head[0] == 0xA5 else 0,
        lambda frame: sum(frame[:-1]) & 0xFF == frame[-1],
    )


def framed(data: bytes) -> bytes:
    body = bytes([0xA5, len(data)]) + data
    return body + bytes([sum(body) & 0xFF])


def told(chunks: list[bytes]) -> list[Frame | Noise]:
    frames = search()
    return [piece for chunk in chunks for piece in frames.feed(chunk, 0.0)] + frames.idle(1.0)


harmless = st.binary(max_size=40).map(lambda noise: noise.replace(b"\xa5", b"\x00"))
pieces = st.lists(st.tuples(harmless, st.binary(max_size=60)), max_size=6)


@given(pieces, st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_every_frame_is_found_and_nothing_is_lost_however_the_stream_is_cut(pieces, cuts):
    stream = b"".join(noise + framed(data) for noise, data in pieces)
    chunks, at = [], 0
    while at < len(stream):
        size = cuts[len(chunks) % len(cuts)]
        chunks.append(stream[at : at + size])
        at += size

    found = told(chunks)

    assert [piece.data for piece in found if isinstance(piece, Frame)] == [framed(data) for _, data in pieces]
    assert b"".join(piece.data for piece in found) == stream


@given(st.binary(max_size=600), st.integers(1, 40))
@example(b"\xa5\xff" * 100, 1)
def test_any_bytes_give_the_same_pieces_however_they_are_cut(stream, step):
    chunks = [stream[at : at + step] for at in range(0, len(stream), step)]

    assert told(chunks) == told([stream])
    assert b"".join(piece.data for piece in told(chunks)) == stream
    assert all(len(piece.data) <= NOISE_BYTES_MAX for piece in told(chunks) if isinstance(piece, Noise))


def test_a_good_frame_inside_a_length_that_lies_is_read_after_the_silence():
    assert told([b"\xa5\xf0" + framed(b"jam")]) == [Noise(b"\xa5\xf0"), Frame(framed(b"jam"))]


def test_a_frame_that_pauses_in_its_middle_is_still_one_frame():
    frames = search()
    first = frames.feed(framed(b"jam")[:3], 0.0) + frames.idle(0.4)

    assert (first, frames.feed(framed(b"jam")[3:], 0.45)) == ([], [Frame(framed(b"jam"))])
