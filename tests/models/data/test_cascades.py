"""Files of recorded cascades: what is read of a line, and which line is refused and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.cascades import read_cascades
from models.data.datasets import ROOT, UNKNOWN_PARENT, Cascade
from models.data.text import DataFormatError

LINE = "c1\tann\t1000\t5\tann:0 ann/bob:5 ann/bob/cy:7.5 ann/bob:9 ann/zed/dan:12\n"


def read(folder: Path, text: str) -> list[Cascade]:
    path = folder / "a.txt"
    path.write_bytes(text.encode())
    return list(read_cascades(path))


def test_a_cascade_is_read(tmp_path: Path) -> None:
    [cascade] = read(tmp_path, LINE + "\n")
    assert (cascade.cascade_id, cascade.root_user, cascade.published_at) == ("c1", "ann", 1000.0)
    assert cascade.users == ["ann", "bob", "cy", "bob", "dan"]
    assert cascade.parents.tolist() == [ROOT, 0, 1, 0, UNKNOWN_PARENT]
    assert cascade.delays.tolist() == [0, 5, 7.5, 9, 12]
    assert cascade.depths.tolist() == [0, 1, 2, 1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + LINE,
        LINE.replace("\n", "\r\n"),
        LINE.rstrip("\n"),
        "\n \n" + LINE + "\n\t\n",
        LINE.replace("\n", " \n"),
        LINE.replace("\n", "\t\t \n"),
        LINE.replace("\t", " \t ").replace(" ann/bob:9", "   ann/bob:9"),
        LINE.replace("\t1000\t5\t", "\t1e3\t5.0\t"),
        LINE.replace("\t5\t", "\t4\t"),  # without the root
    ],
)
def test_lines_may_be_marked_and_spaced_as_files_have_them(tmp_path: Path, text: str) -> None:
    [cascade] = read(tmp_path, text)
    [plain] = read(tmp_path, LINE)
    assert (cascade.cascade_id, cascade.published_at) == ("c1", 1000.0)
    assert cascade.users == plain.users
    assert cascade.parents.tolist() == plain.parents.tolist()
    assert cascade.delays.tolist() == plain.delays.tolist()


def test_users_may_hold_any_space_but_the_plain_one(tmp_path: Path) -> None:
    names = ["Ann\u00a0Lee", "安\u3000娜", "a\u2028b", "a\vb", "a\x85b", "a:b", "a\u200bb"]
    events = " ".join(f"r/{name}:{at}" for at, name in enumerate(names, 1))
    [cascade] = read(tmp_path, f"c\tr\t0\t{len(names)}\tr:0 {events}\n")
    assert cascade.users == ["r", *names]
    assert cascade.parents.tolist() == [ROOT] + [0] * len(names)


def test_events_are_put_in_order_and_parents_are_the_first_event_before(tmp_path: Path) -> None:
    [cascade] = read(tmp_path, "c\ta\t0\t4\ta:0 a/b/c:9 a/b:4 a/b:2\n")
    assert cascade.users == ["a", "b", "b", "c"]
    assert cascade.parents.tolist() == [ROOT, 0, 0, 1]


@pytest.mark.parametrize(
    ("events", "users", "parents"),
    [
        ("r:0 r/a/b:10 r/a:10", ["r", "a", "b"], [ROOT, 0, 1]),
        ("r:0 b/c:10 a/b:10 r/a:10", ["r", "a", "b", "c"], [ROOT, 0, 1, 2]),
        # Only what has to move moves.
        ("r:0 r/x:5 a/b:5 r/z:5 r/a:5", ["r", "x", "a", "b", "z"], [ROOT, 0, 0, 2, 0]),
        # A parent that comes later stays unknown.
        ("r:0 a/b:4 r/a:5", ["r", "b", "a"], [ROOT, UNKNOWN_PARENT, 0]),
        ("r:0 r/a:4 a/b:5 r/a:5", ["r", "a", "b", "a"], [ROOT, 0, 1, 0]),
        # A circle: one of them has no parent.
        ("r:0 a/b:5 b/a:5", ["r", "a", "b"], [ROOT, UNKNOWN_PARENT, 1]),
        ("r:0 a/a:5", ["r", "a"], [ROOT, UNKNOWN_PARENT]),
        ("r:0 r/a:0 r:0", ["r", "a", "r"], [ROOT, 0, UNKNOWN_PARENT]),
    ],
)  # fmt: skip
def test_of_events_of_one_moment_a_parent_comes_first(
    tmp_path: Path, events: str, users: list[str], parents: list[int]
) -> None:
    [cascade] = read(tmp_path, f"c\tr\t0\t{len(users)}\t{events}\n")
    assert cascade.users == users
    assert cascade.parents.tolist() == parents


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 3)), max_size=20))
def test_no_parent_is_lost_to_the_order_of_a_moment(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, int, int]]
) -> None:
    """Of any events: those of a moment that name a user of the same moment have it as a parent,
    unless the names go round in a circle."""
    folder = tmp_path_factory.getbasetemp()
    # Reshared from a user of a lower number: no circle. Each user once.
    events = {user: (parent % user, delay) for user, parent, delay in drawn if user}
    texts = [f"u{parent}/u{user}:{delay}" for user, (parent, delay) in events.items()]
    [cascade] = read(folder, f"c\tu0\t0\t{len(events)}\t{' '.join(['u0:0', *texts])}\n")
    assert (np.diff(cascade.delays) >= 0).all()
    moments = {"u0": 0} | {f"u{user}": delay for user, (_, delay) in events.items()}
    for index, user in enumerate(cascade.users[1:], 1):
        parent, delay = events[int(user[1:])]
        known = moments.get(f"u{parent}", 99) <= delay
        assert (cascade.parents[index] != UNKNOWN_PARENT) == known
        if known:
            assert cascade.users[cascade.parents[index]] == f"u{parent}"
            assert cascade.parents[index] < index


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("c\ta\t0\t1", "got 4 tab-separated fields; expected 5"),
        ("c a 0 1 a:0", "docs/data.md"),
        ("\ta\t0\t1\ta:0", "got no cascade_id"),
        ("c\ta\tnoon\t1\ta:0", "publish_time: got 'noon'"),
        ("c\ta\tnan\t1\ta:0", "publish_time: got 'nan'; expected a finite number"),
        ("c\ta\t1_000\t1\ta:0", "publish_time: got '1_000'"),
        ("c\ta\t-5\t1\ta:0", "expected unix seconds, 1970 to 2099"),
        ("c\ta\t1464745294123\t1\ta:0", "It looks like milliseconds (2016-06-01)"),
        ("c\ta\t9223372036854775808\t1\ta:0", "expected unix seconds"),
        ("c\ta\t1464745294\t1\ta:0 a/b:1e11", "Are they milliseconds?"),
        ("c\ta\t0\tx\ta:0", "n_events: got 'x'"),
        ("c\ta\t0\t2\ta:0 a/b:x", "event 2, 'a/b:x': the delay: got 'x'"),
        ("c\ta\t0\t2\ta:0 a/b:1_0", "event 2, 'a/b:1_0': the delay: got '1_0'"),
        ("c\ta\t0\t2\ta:0 a/b:1e999", "got '1e999'; expected a finite number"),
        ("c\ta\t0\t2\ta:0 a/b:nan", "got 'nan'; expected a finite number"),
        ("c\ta\t0\t2\ta:0 a/b:-1", "the delay is -1; expected seconds, not negative"),
        ("c\ta\t0\t2\ta:0 a/b", "event 2, 'a/b': got no delay"),
        ("c\ta\t0\t2\ta:0 a/Ann Lee:5", "event 2, 'a/Ann': got no delay"),
        ("c\ta\t0\t2\ta:0 a/:5", "event 2, 'a/:5': got no user"),
        ("c\ta\t0\t9\ta:0 a/b:1", "got 2 events where n_events says 9; is the line cut short?"),
        ("c\ta\t0\t1\ta:0 a/Ann Lee:5", "n_events says 1; has a user a space in its name?"),
        ("c\ta\t0\t1\tb:0", "must be the root, a:0; got 'b:0'"),
        ("c\ta\t0\t1\ta:3", "must be the root, a:0; got 'a:3'"),
        ("c\ta\t0\t0\t", "must be the root, a:0; got none"),
        ("c1\ta\t0\t1\ta:0", "cascade 'c1' is there twice; line 1 has it too"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(DataFormatError, match=r"a\.txt, line 3: ") as caught:
        read(tmp_path, LINE + "\n" + line + "\n")
    assert reason in str(caught.value)


def test_what_is_shown_of_a_bad_line_is_short(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError) as caught:
        read(tmp_path, "c\ta\t0\t2\ta:0 a/" + "b" * 100_000 + "\n")
    assert len(str(caught.value)) < 400


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "cascades", "events"),
    [("weibo_ced", 2_709, 995_806), ("twitter1516", 1_711, 655_121)],
)
def test_the_development_cascades(data_dir: Path, name: str, cascades: int, events: int) -> None:
    read = list(read_cascades(data_dir / "cascades" / f"{name}.txt.xz"))
    assert len(read) == cascades
    assert sum(map(len, read)) == events
    assert all(cascade.parents[0] == ROOT for cascade in read)
