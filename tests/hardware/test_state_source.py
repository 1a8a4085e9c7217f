"""Which of the states on a network are the one robot's."""

from random import Random

from safebo.hardware.constants import OTHER_ROBOT_S, SOURCE_TIMEOUT_S
from safebo.hardware.unitree.state_source import StateSource


def numbered(data: bytes) -> str:
    return data.decode()[0]


def test_of_two_that_speak_only_the_first_is_heard_whatever_the_order() -> None:
    random = Random(3)
    for _ in range(30):
        source, now, kept = StateSource(numbered), 0.0, []
        source.own([(b"a", 1)], now)
        for _ in range(60):
            now += random.choice((0.0, 0.002, 0.09, 5.0))  # the process may have been held up for long
            lot = [(b"a", 1), (b"b", 2), (b"c", 3)] * random.choice((0, 1, 30))
            random.shuffle(lot)
            kept += source.own(lot, now)
        assert set(kept) == {b"a"}
        assert {serial for serial, _ in source.others.values()} == {"b", "c"}


def test_another_publisher_counts_once_the_first_is_silent() -> None:
    """As when a robot has restarted: its process is another one."""
    source = StateSource(numbered)
    assert source.own([(b"a", 1)], 0.0) == [b"a"]
    assert source.own([(b"b", 2)], SOURCE_TIMEOUT_S) == []
    assert source.heard(SOURCE_TIMEOUT_S) == ["b"]
    assert source.own([(b"b", 2)], 1.1 * SOURCE_TIMEOUT_S) == [b"b"]
    assert source.heard(1.1 * SOURCE_TIMEOUT_S) == []
    assert source.own([(b"a", 1)], 1.2 * SOURCE_TIMEOUT_S) == []


def test_what_was_heard_long_ago_counts_no_more() -> None:
    source = StateSource(numbered)
    source.own([(b"a", 1), (b"b", 2)], 0.0)
    assert source.heard(OTHER_ROBOT_S) == ["b"]
    assert source.heard(1.01 * OTHER_ROBOT_S) == []
