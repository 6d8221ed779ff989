"""Networks from ImageNet: whose features theirs are, what is frozen of them, and what folding changes."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from suite.benchmarks.anomaly.lite import efficientnet_lite0, renamed
from suite.benchmarks.anomaly.networks import NETWORKS, Network
from suite.benchmarks.anomaly.normalisation import FixedStatistics, fold
from suite.data import locate as locate_real


def waves(*shape: int, rate: float) -> Tensor:
    """Values between -1 and 1 that no generator draws: [*shape], float64."""
    return torch.sin(rate * torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)).reshape(shape)


def made_up(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights whose size keeps a variance, and statistics that are not those of a new network; in float64."""
    made = {}
    for number, (name, tensor) in enumerate(state.items(), start=1):
        wave = waves(*tensor.shape, rate=1.0 + number / 7)
        if tensor.ndim == 4:
            made[name] = wave * math.sqrt(6.0 / tensor[0].numel())
        elif tensor.is_floating_point():
            of_kind = {"running_var": (1.0, 0.5), "running_mean": (0.0, 0.2), "bias": (0.0, 0.3)}
            middle, reach = of_kind.get(name.rpartition(".")[2], (1.0, 0.4))
            made[name] = middle + reach * wave
        else:
            made[name] = tensor
    return made


@torch.no_grad()
def features(network: nn.Module, images: Tensor) -> Tensor:
    found: Tensor = network(images)
    return found


# --- EfficientNet-lite0


@pytest.mark.parametrize(
    ("side", "total", "deviation", "some"),
    [
        (32, 198.17427513162397, 0.22689939215366225, {163: 0.05731543643215578, 323: 0.20106147356529294}),
        (64, 168.74467223359517, 0.18581571831665547, {163: 0.5890588047275783, 803: 0.4701006466866531}),
    ],
)
def test_features_are_those_of_the_published_code(
    side: int, total: float, deviation: float, some: Mapping[int, float]
) -> None:
    """The values are those of PyPI's efficientnet-lite-pytorch 0.1.0 with the same weights in float64.

    Of 32 pixels the last blocks see one place, of 64 four; steps of two rows pad one side more.
    """
    network = efficientnet_lite0().double()
    network.load_state_dict(made_up(network.state_dict()))
    found = features(network.train(), 3 * waves(1, 3, side, side, rate=0.37))[0]
    assert found.shape == (1280,)
    assert float(found.sum()) == pytest.approx(total, rel=1e-10)
    assert float(found.std()) == pytest.approx(deviation, rel=1e-10)
    assert {place: pytest.approx(float(found[place]), rel=1e-9) for place in some} == some


@pytest.mark.data
def test_features_of_the_real_weights_are_those_of_the_published_code() -> None:
    network = NETWORKS["efficientnet_lite0"]
    state = torch.load(locate_real(network.dataset, network.member), weights_only=True, map_location="cpu")
    found = features(network.parts(state).double(), waves(1, 3, 64, 64, rate=0.05))[0]
    assert float(found.sum()) == pytest.approx(344.126823017887, rel=1e-9)
    assert float(found[0]) == pytest.approx(1.1918626780446169, rel=1e-9)


def test_published_names_are_translated_and_unknown_ones_refused() -> None:
    names = {
        "_conv_stem.weight": "0.0.weight",
        "_bn0.running_mean": "0.1.running_mean",
        "_blocks.0._depthwise_conv.weight": "1.depthwise.0.weight",
        "_blocks.15._bn0.bias": "16.expand.1.bias",
        "_blocks.3._project_conv.weight": "4.project.0.weight",
        "_conv_head.weight": "17.0.weight",
        "_bn1.weight": "17.1.weight",
    }
    own = efficientnet_lite0().state_dict()
    assert set(names.values()) <= own.keys()
    tensors = {name: torch.tensor(float(number)) for number, name in enumerate(names)}
    found = renamed({**tensors, "_fc.weight": torch.zeros(1)})
    assert found == {names[name]: tensor for name, tensor in tensors.items()}
    with pytest.raises(ValueError, match=r"no weights of EfficientNet-lite0: _blocks.1._se_reduce.weight, head.bias"):
        renamed({"_blocks.1._se_reduce.weight": torch.zeros(1), "head.bias": torch.zeros(1)})


# --- torchvision's


def test_a_residual_network_in_parts_is_the_whole_without_its_classifier() -> None:
    torch.manual_seed(0)
    whole = resnet18().eval()
    whole.load_state_dict({name: value.to(torch.float32) for name, value in made_up(whole.state_dict()).items()})
    parts = NETWORKS["resnet18"].parts(whole.state_dict()).train()
    whole.fc = nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(features(parts, images), features(whole, images))


# --- frozen, folded


@pytest.mark.parametrize(("name", "frozen", "trained"), [("efficientnet_lite0", 12, 7), ("resnet18", 0, 6)])
def test_an_encoder_is_its_network_on_standardised_images(name: str, frozen: int, trained: int, tmp_path: Path) -> None:
    network = NETWORKS[name]
    own = network.parts(None)
    state = {key: value.to(torch.float32) for key, value in made_up(own.state_dict()).items()}
    own.load_state_dict(state)

    def parts(ignored: object) -> nn.Sequential:
        built = network.parts(None)
        built.load_state_dict(state)
        return built

    torch.save({}, tmp_path / "weights")
    file = Network(parts, "set", "weights", network.colours, network.frozen)
    encoder = file.pretrained(lambda dataset, member: tmp_path / member)
    assert (len(encoder.frozen) - 1, len(encoder.trained)) == (frozen, trained)
    assert not any(parameter.requires_grad for parameter in encoder.frozen.parameters())
    assert all(parameter.requires_grad for parameter in encoder.trained.parameters())
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean, deviation = (torch.tensor(values).reshape(3, 1, 1) for values in network.colours)
    expected = features(own, (images - mean) / deviation)
    assert float(expected.std()) > 0.01
    torch.testing.assert_close(features(encoder, images), expected, rtol=1e-4, atol=1e-4)


def test_the_frozen_part_gives_an_image_the_same_bits_in_any_batch() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = NETWORKS["efficientnet_lite0"].untrained()
    images = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    whole = features(encoder.frozen, images)
    halves = torch.cat([features(encoder.frozen, some) for some in images.split(20)])
    assert torch.equal(whole, halves)


def test_random_weights_are_drawn_from_the_default_generator() -> None:
    with torch.random.fork_rng():
        first, again, other = (_drawn(seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def _drawn(seed: int) -> Tensor:
    torch.manual_seed(seed)
    return NETWORKS["efficientnet_lite0"].untrained().trained.state_dict()["12.expand.0.weight"]


def test_folding_changes_no_output_and_fixed_statistics_stay_fixed() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        FixedStatistics(8),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 4, 1), FixedStatistics(4)),
        FixedStatistics(4),
    ).double()
    network.load_state_dict(made_up(network.state_dict()))
    images = waves(2, 3, 8, 8, rate=0.3)
    before = features(network.train(), images)
    assert not any(module.training for module in network.modules() if isinstance(module, FixedStatistics))
    assert torch.equal(features(network, images), before)
    fold(network.eval())
    torch.testing.assert_close(features(network, images), before, rtol=1e-12, atol=1e-12)
    assert sum(isinstance(module, FixedStatistics) for module in network.modules()) == 1
