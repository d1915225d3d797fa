"""What builders send is hostile: whatever it is, it is read as what it may be or refused, and nothing else happens."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from distwright.errors import BadInput
from distwright.formats.enrolment import host_key, parse_enrolment
from distwright.formats.frames import FrameReader, Note, Piece, note_frame, piece_frame
from distwright.jobs.step import Plan, PlannedCommand
from distwright.worker.far_answers import read_ended

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PLAN = Plan(
    (PlannedCommand(("true",), 60),), collect={"out": "out", "all": "*.x"}, collect_always={"e": "e*e"}, keep_log="log"
)
NAMES = st.sampled_from(["out", "all/a.x", "all/../a.x", "e/ee", "log", "..", "all/"]) | st.text(max_size=12)
END = st.fixed_dictionaries(
    {"exit": st.sampled_from([0, 1]) | JSON, "cut": st.just("") | JSON, "tail": st.just([]) | JSON}
) | JSON  # fmt: skip


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_are_frames_or_refused(pieces: list[bytes]) -> None:
    reader = FrameReader(note_limit_bytes=1000)
    with suppress(BadInput):
        for piece in pieces:
            assert all(isinstance(frame, Note | Piece) for frame in reader.feed(piece))


@given(
    st.lists(
        st.tuples(st.integers(0, (1 << 64) - 1), st.binary(min_size=1, max_size=60))
        | st.dictionaries(st.text(max_size=5), JSON, max_size=3),
        max_size=5,
    ),
    st.integers(1, 50),
)  # fmt: skip
def test_frames_come_back_as_they_were(frames: list[tuple[int, bytes] | dict[str, object]], size: int) -> None:
    sent, written = [], b""
    for frame in frames:
        if isinstance(frame, tuple):
            sent.append(Piece(*frame))
            written += piece_frame(*frame)
        else:
            values = {f"_{key}": value for key, value in frame.items()}
            sent.append(Note("it", {"say": "it", **values}))  # type: ignore[arg-type,dict-item]  # values of JSON
            written += note_frame("it", **values)  # type: ignore[arg-type]  # as above
    reader = FrameReader()
    found = [frame for begin in range(0, len(written), size) for frame in reader.feed(written[begin : begin + size])]
    assert found == sent


@given(st.fixed_dictionaries({"ends": st.lists(END, max_size=3) | JSON,
                              "outputs": st.dictionaries(NAMES, st.integers(0, 20) | JSON, max_size=5) | JSON,
                              "problem": st.just("") | JSON}) | st.dictionaries(st.text(max_size=8), JSON, max_size=3))  # fmt: skip
def test_end_of_a_step_is_one_of_this_plan_or_refused(values: dict[str, object]) -> None:
    with suppress(BadInput):
        ended = read_ended(Note("ended", values), PLAN, 50)  # type: ignore[arg-type]  # values of JSON
        assert len(ended.ends) <= 1
        assert sum([*ended.always.values(), *ended.rest.values()]) <= 50
        for name in (*ended.always, *ended.rest):
            base, _, file = name.partition("/")
            assert base in ("out", "all", "e", "log")
            assert "/" not in file
            assert file not in ("..", ".")


@given(st.text(max_size=200))
def test_any_text_is_a_line_or_a_key_or_refused(text: str) -> None:
    with suppress(BadInput):
        assert parse_enrolment(text).text == text.strip()
    with suppress(BadInput):
        assert host_key(text).count(" ") == 1
