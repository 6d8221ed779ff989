"""Random views of a set of images, as far as the frozen part of an encoder takes them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from suite.losses.steps import Step
from suite.training import Streams

IMAGES_AT_ONCE = 128

Draw = Callable[[Tensor, torch.Generator], Tensor]


class Views:
    """What the frozen part of an encoder gives for random views of images.

    It gives the same for a view whenever it is asked. So some views of each image can be drawn before training, and
    what it gives for them be kept; a step then draws among these.

    Parameters
    ----------
    frozen : nn.Module
    draw : callable (numbers of images, generator) -> views
    numbers : Tensor [images], int64
        The images.
    kept : int
        Views of each image that are kept, at least 2; 0 draws new ones at every step.
    streams : Streams
    name : str
        Of the streams.

    Attributes
    ----------
    kept : Tensor [kept, images, ...]
    """

    def __init__(self, frozen: nn.Module, draw: Draw, numbers: Tensor, kept: int, streams: Streams, name: str) -> None:
        self.frozen = frozen
        self.draw = draw
        self.numbers = numbers
        self.streams = streams
        self.name = name
        generator = streams.torch(name)
        rounds = [self._outputs(numbers, generator) for _ in range(kept)]
        self.kept = torch.stack(rounds) if rounds else torch.empty(0)

    def __call__(self, items: Tensor, step: Step, count: int = 2) -> Tensor:
        """Return the frozen part's outputs for views of items, the first of each before the second: [views, ...].

        Parameters
        ----------
        items : Tensor [items], int64
            Places among the images.
        step : Step
        count : int
            Views of an item, 1 or 2; two of an item are different ones.
        """
        generator = self.streams.torch(self.name, step.index)
        if not len(self.kept):
            return self._outputs(self.numbers[items].repeat(count), generator)
        first = torch.randint(len(self.kept), (len(items),), generator=generator)
        further = torch.randint(1, len(self.kept), (len(items),), generator=generator)
        views = torch.stack([first, (first + further) % len(self.kept)])[:count]
        return self.kept[views.to(self.kept.device), items.to(self.kept.device)].flatten(0, 1)

    def _outputs(self, numbers: Tensor, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            return torch.cat([self.frozen(self.draw(some, generator)) for some in torch.split(numbers, IMAGES_AT_ONCE)])
