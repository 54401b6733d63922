"""Random numbers: named streams, and streams of rows."""

from __future__ import annotations

import numpy as np
import pytest

from clipbench.rng import RowStreams, generator


def test_row_streams_are_splitmix64() -> None:
    """From state 1234567 come the numbers that the generator's authors publish for it."""
    streams = RowStreams(np.array([1234567], np.uint64))
    assert [int(streams.bits(number)[0]) for number in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_rows_have_their_numbers_wherever_they_stand() -> None:
    """A row's numbers are those of its key, one by one or many at once."""
    keys = generator(0, "keys").integers(0, 2**62, 500)
    whole = RowStreams.named(3, "a", 1, keys=keys)
    table = whole.uniform(np.arange(7)[None])
    assert table.shape == (500, 7)
    own = np.array([400, 3, 77])
    part = RowStreams.named(3, "a", 1, keys=keys[own])
    assert np.array_equal(part.uniform(np.arange(7)[None]), table[own])
    assert np.array_equal(whole.of(own).uniform(4), table[own, 4])
    assert np.array_equal(part.uniform(np.array([6, 0, 2])), table[own, [6, 0, 2]])


def test_streams_of_other_seeds_scopes_and_keys_are_others() -> None:
    """Of neighboring keys, seeds and scopes no number is shared, and none hangs on another."""
    keys = np.arange(2000)
    tables = [
        RowStreams.named(seed, *scope, keys=keys).uniform(np.arange(5)[None])
        for seed, *scope in ((0, "view", 0), (1, "view", 0), (0, "view", 1), (0, "other", 0))
    ]
    assert len(np.unique(np.concatenate(tables))) == 4 * 2000 * 5
    columns = np.concatenate(tables, axis=1)
    correlation = np.corrcoef(columns.T) - np.eye(20)
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)
    neighbors = [np.corrcoef(column[:-1], column[1:])[0, 1] for column in columns.T]
    assert np.abs(neighbors).max() < 5 / np.sqrt(2000)
    assert columns.mean(axis=0) == pytest.approx([0.5] * 20, abs=0.035)
