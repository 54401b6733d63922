"""Memory that is used again: never while anybody still holds it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from clipbench.images.encoding import decode, encode_jpeg
from clipbench.images.memory import Memory, Recycled


def address(array: np.ndarray) -> int:  # type: ignore[type-arg]
    return int(array.__array_interface__["data"][0])


def test_a_thread_gets_the_same_memory_and_another_thread_other_memory() -> None:
    """Each thread has a piece of its own, which grows with what is asked."""
    memory = Memory()
    first, again = memory.of_size(100), memory.of_size(60)
    assert (len(first), len(again)) == (100, 60)
    assert address(first) == address(again)
    with ThreadPoolExecutor(1) as other:
        assert address(other.submit(memory.of_size, 100).result()) != address(first)
    assert len(memory.of_size(500)) == 500


def test_what_is_too_large_is_not_kept() -> None:
    """A picture beyond the limit gets memory of its own; the kept piece stays as it is."""
    memory = Memory(largest=200)
    kept = memory.of_size(200)
    large = memory.of_size(201)
    assert address(large) != address(kept)
    assert address(memory.of_size(10)) == address(kept)


def test_a_picture_decoded_into_memory_is_the_picture() -> None:
    """The pixels are the same, and are overwritten by the next picture alone."""
    rng = np.random.default_rng(0)
    one, two = (rng.integers(0, 256, (40, 30, 3)).astype(np.uint8) for _ in range(2))
    files = [encode_jpeg(one), encode_jpeg(two)]
    memory = Memory()
    pixels = decode(files[0], memory)
    np.testing.assert_array_equal(pixels, decode(files[0]))
    np.testing.assert_array_equal(decode(files[1], memory), decode(files[1]))
    np.testing.assert_array_equal(pixels, decode(files[1]))


def test_arrays_are_given_out_again_once_nobody_holds_them() -> None:
    """A view or a tensor that shares memory holds it; without any it is given out again."""
    recycled = Recycled()
    batch = recycled.empty(4, 8, 8, 3)
    assert batch.shape == (4, 8, 8, 3)
    place = address(batch)
    tensor = torch.from_numpy(batch).permute(0, 3, 1, 2)[1:]
    del batch
    assert address(recycled.empty(4, 8, 8, 3)) != place
    del tensor
    assert address(recycled.empty(4, 8, 8, 3)) == place
    assert address(recycled.empty(3, 8, 8, 3)) == place, "a smaller batch fits, too"


def test_as_many_arrays_as_are_held_exist_and_other_sizes_are_forgotten() -> None:
    """More holders than places are served all the same; a new size takes the place of an old."""
    recycled = Recycled(most=2)
    held = [recycled.empty(100) for _ in range(5)]
    assert len({address(array) for array in held}) == 5
    del held
    large = recycled.empty(1000)
    place = address(large)
    del large
    assert address(recycled.empty(1000)) == place


def test_threads_never_share_an_array() -> None:
    """Eight threads fill arrays with their own number and find it there, again and again."""
    recycled = Recycled()
    wrong = []

    def work(number: int) -> None:
        for _ in range(200):
            own = recycled.empty(64, 64)
            own[:] = number
            if not (own == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
