"""Colour augmentations on whole batches, held against torchvision's, image by image and in distribution."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from suite.benchmarks.image.colour import augment, crops
from suite.benchmarks.image.colour.augment import ColourAugmentation


def batch(count: int, side: int = 12, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


# --- crops


@pytest.mark.parametrize(("side", "size"), [(32, 32), (20, 32), (40, 16)])
def test_boxes_are_resized_as_torchvision_resizes_them(side: int, size: int) -> None:
    images = batch(30, side)
    sides = torch.full((30,), side)
    boxes = crops.random_boxes(torch.rand(crops.DRAWS, 30), sides, sides, 0.08)
    mirrored = torch.arange(30) % 2 == 0
    for image, box, view, is_mirrored in zip(
        images, boxes.tolist(), crops.resized(images, boxes, size, mirrored), mirrored, strict=True
    ):
        expected = functional.resized_crop(image, *box, [size, size], antialias=True)
        expected = functional.horizontal_flip(expected) if is_mirrored else expected
        torch.testing.assert_close(view, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 60), (90, 30)])
def test_boxes_are_distributed_as_torchvision_draws_them(height: int, width: int) -> None:
    count = 4000
    transform, image = v2.RandomResizedCrop(8, scale=(0.2, 1.0)), torch.zeros(3, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [transform.make_params([image]) for _ in range(count)]
    theirs = np.array([[one[name] for name in ("top", "left", "height", "width")] for one in drawn])
    draws = torch.rand(crops.DRAWS, count, generator=torch.Generator().manual_seed(1))
    sides = torch.full((count,), height), torch.full((count,), width)
    ours = crops.random_boxes(draws, *sides, 0.2).numpy()
    assert (ours[:, 0] + ours[:, 2] <= height).all()
    assert (ours[:, 1] + ours[:, 3] <= width).all()
    for mine, other in zip(ours.T, theirs.T, strict=True):
        assert stats.ks_2samp(mine, other).pvalue > 1e-4
    areas = [found[:, 2] * found[:, 3] for found in (ours, theirs)]
    assert stats.ks_2samp(*areas).pvalue > 1e-4


# --- colours, each operation with the factor given


@pytest.mark.parametrize(
    ("ours", "theirs", "factors"),
    [
        (augment.brighten, functional.adjust_brightness, (0.2, 1.8)),
        (augment.contrast, functional.adjust_contrast, (0.2, 1.8)),
        (augment.saturate, functional.adjust_saturation, (0.2, 1.8)),
        (augment.turn_hue, functional.adjust_hue, (-0.5, 0.5)),
    ],
)
def test_each_operation_is_torchvision_s(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[[Tensor, float], Tensor], factors: tuple[float, float]
) -> None:
    images = batch(40)
    images[0], images[1], images[2, 0] = 0.0, 0.5, 1.0  # black, grey, a channel that saturates
    values = torch.linspace(*factors, 40)
    for made, image, value in zip(ours(images, values), images, values.tolist(), strict=True):
        torch.testing.assert_close(made, theirs(image, value), rtol=0, atol=2e-5)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_blur_is_torchvision_s(sigma: float) -> None:
    images = batch(3, side=16)
    expected = functional.gaussian_blur(images, [9, 9], [sigma, sigma])
    torch.testing.assert_close(augment.blur(images, torch.full((3,), sigma), 9), expected, rtol=0, atol=1e-5)


# --- all of them


def summaries(views: Tensor) -> np.ndarray:
    """Return of each view a few numbers that the operations move: [views, 6]."""
    means, deviation = views.mean(dim=(2, 3)), views.std(dim=(1, 2, 3))
    spread = views.amax(dim=1) - views.amin(dim=1)
    edges = (views[..., 1:] - views[..., :-1]).abs().mean(dim=(1, 2, 3))
    return torch.cat([means, deviation[:, None], spread.mean(dim=(1, 2))[:, None], edges[:, None]], dim=1).numpy()


@pytest.mark.parametrize("blurred", [0.0, 0.5])
def test_views_are_distributed_as_torchvision_s(blurred: float) -> None:
    image, count = batch(1, side=16)[0] * torch.linspace(0.3, 1.0, 16), 1500
    jitter = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)
    steps = [v2.RandomResizedCrop(12, scale=(0.2, 1.0)), v2.RandomHorizontalFlip(), jitter, v2.RandomGrayscale(0.2)]
    transform = v2.Compose([*steps, v2.RandomApply([v2.GaussianBlur(5)], p=blurred)])
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = summaries(torch.stack([transform(image) for _ in range(count)]))
    generator = torch.Generator().manual_seed(4)
    ours = ColourAugmentation(12, crop=0.2, blurred=blurred, kernel=5)
    sides = torch.full((count,), 16)
    boxes = crops.random_boxes(torch.rand(crops.DRAWS, count, generator=generator), sides, sides, 0.2)
    mirrored = torch.rand(count, generator=generator) < 0.5
    views = crops.resized(image.expand(count, 3, 16, 16), boxes, 12, mirrored)
    for mine, other in zip(summaries(ours.recoloured(views, generator)).T, theirs.T, strict=True):
        assert stats.ks_2samp(mine, other).pvalue > 1e-4


def test_jitter_comes_in_every_order() -> None:
    """Brightness before contrast and after it give different views; with both drawn, both are met."""
    ours = ColourAugmentation(12, jitter=0.8, hue=0.0, jittered=1.0, grey=0.0)
    image = batch(1)[0]
    views = ours.recoloured(image.repeat(400, 1, 1, 1), torch.Generator().manual_seed(0))
    order = _orders(torch.Generator().manual_seed(0), 400)
    assert len({tuple(one) for one in order.T.tolist()}) == 24
    assert len(torch.unique(views.flatten(1), dim=0)) == 400


def _orders(generator: torch.Generator, count: int) -> Tensor:
    torch.rand(3, count, generator=generator)
    torch.rand(4, count, generator=generator)
    return torch.rand(4, count, generator=generator).argsort(dim=0)


def test_without_chances_nothing_changes() -> None:
    images = batch(8)
    plain = ColourAugmentation(12, jittered=0.0, grey=0.0)
    assert torch.equal(plain.recoloured(images.clone(), torch.Generator().manual_seed(0)), images)


def test_views_depend_on_the_generator_alone_and_stay_in_range() -> None:
    ours = ColourAugmentation(12, jitter=0.8, hue=0.2, blurred=0.5, kernel=5)
    one, again, other = (ours.recoloured(batch(64).clone(), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1 + 1e-6  # blur sums weights that add up to 1 but for rounding


def test_a_share_of_views_has_no_colour() -> None:
    views = ColourAugmentation(12, jittered=0.0, grey=0.2).recoloured(batch(2000), torch.Generator().manual_seed(0))
    grey = (views.amax(dim=1) == views.amin(dim=1)).flatten(1).all(dim=1)
    assert stats.binomtest(int(grey.sum()), 2000, 0.2).pvalue > 1e-4
