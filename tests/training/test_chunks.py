"""A batch in chunks: the values and gradients of the whole, the statistics counted once, the memory of a part."""

import torch
from torch import Tensor, nn

from suite.losses import InfoNCE
from suite.pairs import two_view
from suite.training.chunks import in_chunks


def network(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), *layers, nn.ReLU(), nn.Linear(16, 4))


def rows(count: int = 24) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1))


def gradients(size: int | None) -> tuple[Tensor, list[Tensor]]:
    model = network()
    embeddings = in_chunks(model, rows(), size)
    InfoNCE(0.2)(two_view(*embeddings.chunk(2))).backward()
    return embeddings.detach(), [weight.grad for weight in model.parameters() if weight.grad is not None]


def test_every_negative_stays_and_gradients_are_those_of_the_whole_batch() -> None:
    whole = gradients(None)
    for size in (1, 5, 24, 100):
        embeddings, found = gradients(size)
        torch.testing.assert_close(embeddings, whole[0], rtol=1e-5, atol=1e-6)
        for one, other in zip(found, whole[1], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_statistics_of_a_chunk_are_counted_once() -> None:
    plain, chunked = (network(nn.BatchNorm1d(16)) for _ in range(2))
    expected = torch.cat([plain(part) for part in torch.split(rows(), 8)])
    found = in_chunks(chunked, rows(), 8)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    found.square().sum().backward()
    for name, value in plain.state_dict().items():
        assert torch.equal(chunked.state_dict()[name], value), name


def test_dropout_is_drawn_alike_in_both_passes() -> None:
    def first_gradient(again: bool) -> Tensor:
        model = network(nn.Dropout(0.5))
        torch.manual_seed(3)
        result = in_chunks(model, rows(), 8) if again else torch.cat([model(p) for p in torch.split(rows(), 8)])
        result.square().sum().backward()
        gradient = model[0].weight.grad
        assert isinstance(gradient, Tensor)
        return gradient

    torch.testing.assert_close(first_gradient(True), first_gradient(False), rtol=1e-5, atol=1e-6)


def test_only_inputs_are_kept_until_the_backward_pass() -> None:
    def kept(size: int | None) -> int:
        numbers: dict[int, int] = {}

        def pack(value: Tensor) -> Tensor:
            numbers[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            return value

        model, batch = network(), rows(512)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            result = in_chunks(model, batch, size)
        assert len(result) == 512
        return sum(numbers.values())

    assert kept(64) < kept(None) / 2


def test_without_gradients_nothing_is_kept_or_computed_again() -> None:
    calls: list[int] = []
    model = network()
    model.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    with torch.no_grad():
        assert not in_chunks(model, rows(), 10).requires_grad
    assert calls == [10, 10, 4]
