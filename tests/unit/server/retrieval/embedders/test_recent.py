import numpy as np

from rungwise_server.retrieval.embedders.recent import Recent


def test_the_longest_unused_goes_first() -> None:
    recent = Recent(2)
    recent.keep(["a", "b"], np.eye(2, dtype=np.float32))
    assert recent.find(["a"]) is not None
    recent.keep(["c"], np.ones((1, 2), np.float32))
    assert recent.find(["b"]) is None
    found = recent.find(["c", "a"])
    assert found is not None
    np.testing.assert_array_equal(found, [[1, 1], [1, 0]])


def test_all_or_nothing() -> None:
    recent = Recent()
    recent.keep(["a"], np.ones((1, 2), np.float32))
    assert recent.find(["a", "b"]) is None


def test_what_it_gave_away_does_not_change_it() -> None:
    recent = Recent()
    vectors = np.ones((1, 2), np.float32)
    recent.keep(["a"], vectors)
    vectors[:] = 0
    found = recent.find(["a"])
    assert found is not None
    found[:] = 5
    np.testing.assert_array_equal(recent.find(["a"]), [[1, 1]])
