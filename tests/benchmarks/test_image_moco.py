"""The image benchmark's MoCo: the key encoder, the queue, and how a step uses them."""

from collections import deque
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from suite.benchmarks.image.encoder import Encoder, Model, projection_head
from suite.benchmarks.image.moco import MomentumModel
from suite.benchmarks.image.task import MomentumContrastTask
from suite.losses import InfoNCE
from suite.losses.steps import Step
from suite.training import Task, evaluate, train
from suite.training.streams import Streams
from tests.benchmarks.images_factory import TINY, ImageConformance, Locate, context, write_images

MOCO = replace(TINY, framework="moco", queue=120, momentum=0.9)


@pytest.fixture(scope="module")
def locate(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    return write_images(tmp_path_factory.mktemp("fashion_mnist"))


def task_of(locate: Locate, seed: int = 0, **settings: float) -> MomentumContrastTask:
    task = replace(MOCO, **settings).task(context(locate, seed))
    assert isinstance(task, MomentumContrastTask)
    return task


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def query_weights(model: MomentumModel) -> dict[str, Tensor]:
    return {name: weight for name, weight in weights(model).items() if not name.startswith("key.")}


def random_keys(count: int, seed: int) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


def momentum_model(momentum: float = 0.9, queue: int = 10) -> MomentumModel:
    with Streams(0).seeded("weights"):
        encoder = Encoder(2)
        query = Model(encoder, projection_head(encoder.features, 8, 6))
    return MomentumModel(query, random_keys(queue, seed=0), momentum)


# --- the key encoder


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.99, 1.0])
def test_the_key_encoder_is_the_moving_average_of_the_query_encoder(momentum: float) -> None:
    model = momentum_model(momentum)
    average = {name: weight.double().numpy() for name, weight in query_weights(model).items()}
    for _ in range(5):
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data += torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
        model.update_key()
        for name, weight in query_weights(model).items():
            average[name] = momentum * average[name] + (1 - momentum) * weight.double().numpy()
    assert average.keys() == weights(model.key).keys()
    for name, weight in weights(model.key).items():
        np.testing.assert_allclose(weight.numpy(), average[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_equal_weights_stay_equal_to_the_bit() -> None:
    model = momentum_model(0.99)
    model.update_key()
    assert all(torch.equal(weight, query_weights(model)[name]) for name, weight in weights(model.key).items())


def test_batch_statistics_do_not_follow() -> None:
    model = momentum_model(0.5)
    model.encoder(torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    before = deepcopy(dict(model.key.named_buffers()))
    model.update_key()
    assert all(torch.equal(value, before[name]) for name, value in model.key.named_buffers())


# --- the queue


def test_the_queue_is_first_in_first_out_whatever_the_size_of_a_batch() -> None:
    model = momentum_model(queue=10)
    unit = [key / np.linalg.norm(key) for key in random_keys(10, seed=0).numpy()]
    plain = deque(unit, maxlen=10)
    for seed, count in enumerate([3, 3, 3, 3, 1, 10, 7, 7], start=1):
        keys = random_keys(count, seed)
        model.enqueue(keys)
        plain.extendleft(reversed([key / np.linalg.norm(key) for key in keys.numpy()]))
        np.testing.assert_allclose(model.queue.numpy(), np.stack(plain), rtol=1e-6, atol=1e-7)


def test_keys_that_were_handed_out_do_not_change() -> None:
    model = momentum_model()
    handed_out, before = model.queue, model.queue.clone()
    model.enqueue(random_keys(4, seed=1))
    assert torch.equal(handed_out, before)


def test_the_first_queue_is_the_seeds_own_and_shared_by_losses(locate: Locate) -> None:
    one, again, other = (task_of(locate, seed).model.queue for seed in (0, 0, 1))
    assert one.shape == (120, TINY.embedding)
    torch.testing.assert_close(one.norm(dim=1), torch.ones(120))
    assert torch.equal(one, again)
    assert not torch.isclose(one, other).all(dim=1).any()


# --- a step


def test_a_step_sets_first_views_against_their_keys_and_the_queue(locate: Locate) -> None:
    task = task_of(locate)
    optimizer = torch.optim.SGD([weight for weight in task.model.parameters() if weight.requires_grad], lr=0.5)
    for index in range(4):
        step = Step(index, 0, index)
        model, queue = deepcopy(task.model), task.model.queue.clone()
        for name, weight in model.key.named_parameters():
            weight.copy_(0.9 * weight + 0.1 * query_weights(model)[name])
        first, second = task.views(step)[0].chunk(2)
        queries = functional.normalize(model.head(model.encoder(first))).detach()
        keys = functional.normalize(model.key(second))

        pairs = task.objective(step).pairs
        assert pairs is not None
        InfoNCE(0.2)(pairs).backward()
        optimizer.step()
        optimizer.zero_grad()

        expected = torch.cat([(queries * keys).sum(dim=1, keepdim=True), queries @ queue.T], dim=1)
        torch.testing.assert_close(pairs.similarity.detach(), expected, rtol=0, atol=1e-5)
        assert torch.equal(pairs.positive.nonzero(), torch.tensor([[row, 0] for row in range(50)]))
        assert pairs.candidate.all()
        assert torch.equal(pairs.index, task.batches[step])
        torch.testing.assert_close(task.model.queue, torch.cat([keys, queue[:70]]), rtol=0, atol=1e-5)


def test_pairs_of_a_step_stay_as_they_were_when_the_queue_moves_on(locate: Locate) -> None:
    task = task_of(locate)
    pairs = task.objective(Step(0, 0, 0)).pairs
    twin = task_of(locate).objective(Step(0, 0, 0)).pairs
    assert pairs is not None
    assert twin is not None
    before = twin.similarity
    task.objective(Step(1, 0, 1))
    late = torch.cat([block.similarity for block in pairs.in_blocks(7).blocks()])
    torch.testing.assert_close(late, before, rtol=0, atol=1e-6)


def test_no_gradient_reaches_keys_or_queue(locate: Locate) -> None:
    task = task_of(locate)
    pairs = task.objective(Step(0, 0, 0)).pairs
    assert pairs is not None
    InfoNCE(0.2)(pairs).backward()
    assert not task.model.queue.requires_grad
    for name, weight in task.model.named_parameters():
        assert (weight.grad is None) == name.startswith("key."), name


def test_the_optimiser_neither_moves_nor_decays_what_is_not_trained(locate: Locate) -> None:
    task = task_of(locate, momentum=1.0, weight_decay=0.5)
    before = weights(task.model)
    train(task, InfoNCE(0.2), Streams(0))
    for name, weight in weights(task.model).items():
        assert torch.equal(weight, before[name]) == name.startswith("key."), name


# --- as a benchmark


class TestMoCo(ImageConformance):
    benchmark = MOCO


def test_simclr_and_moco_share_initial_weights_order_views_and_references(locate: Locate) -> None:
    moco, simclr = task_of(locate), TINY.task(context(locate))
    for name, weight in simclr.model.state_dict().items():
        assert torch.equal(moco.model.state_dict()[name], weight), name
        assert torch.equal(moco.model.key.state_dict()[name], weight), name
    for step in (Step(0, 0, 0), Step(5, 1, 1)):
        for ours, theirs in zip(moco.views(step), simclr.views(step), strict=True):
            assert torch.equal(ours, theirs)
    for name in ("chance", "raw", "untrained"):
        assert moco.reference(name) == simclr.reference(name)
    supervised = [task.reference("supervised") for task in (moco, simclr)]
    for reference in supervised:
        assert isinstance(reference, Task)
        train(reference, None, Streams(0))
    assert evaluate(supervised[0]) == evaluate(supervised[1])
