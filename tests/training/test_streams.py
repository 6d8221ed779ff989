import subprocess
import sys

import pytest
import torch

from suite.training.streams import Streams


def test_a_draw_depends_on_seed_name_and_counters_alone() -> None:
    draws = {
        (seed, stream, step): Streams(seed).numpy(stream, step).random()
        for seed in (0, 1)
        for stream in ("order", "augmentation")
        for step in (0, 1)
    }
    assert len(set(draws.values())) == len(draws)
    streams = Streams(1)
    streams.numpy("order", 0).random(100)
    assert streams.numpy("order", 1).random() == draws[1, "order", 1]


@pytest.mark.slow
def test_draws_are_the_same_in_another_process() -> None:
    program = "from suite.training.streams import Streams; print(Streams(5).numpy('order', 2).integers(1 << 60))"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(other) == Streams(5).numpy("order", 2).integers(1 << 60)


def test_seeded_leaves_the_default_generator_as_it_was() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first = torch.rand(1)
    with Streams(3).seeded("weights"):
        inside = torch.rand(1)
    with Streams(3).seeded("weights"):
        assert torch.equal(torch.rand(1), inside)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)


def test_torch_generators_of_one_stream_agree() -> None:
    one, two = Streams(2).torch("augmentation", 9), Streams(2).torch("augmentation", 9)
    assert torch.equal(torch.rand(4, generator=one), torch.rand(4, generator=two))
