"""A training step on images: the suite's beside lightly's transform and loss around the same encoder, on one thread."""

from __future__ import annotations

import time

import torch
from torch.nn import functional

from suite.benchmarks.image import ImageClassification
from suite.losses import InfoNCE
from suite.losses.steps import Training
from suite.registry.load import load
from suite.training import Context
from suite.training.streams import Streams

BATCH, TEMPERATURE = 256, 0.5


def image_training(rounds: int, batch: int = BATCH) -> tuple[float, float]:
    """Return the least process seconds of a step with the suite's parts, and with lightly's.

    A step makes two views of each image, encodes them, computes InfoNCE with its gradients and moves the weights. The
    suite's augments the whole batch by tensor operations; lightly's transform takes one image after the other, as a
    data loader's worker does. Its operations are those that `ImageClassification` has too.
    """
    from lightly.loss import NTXentLoss
    from lightly.transforms import SimCLRTransform
    from torchvision.transforms.functional import to_pil_image

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    context = Context(Streams(0), torch.device("cpu"), load(None).data.locate)
    task = ImageClassification(batch=batch, train_images=10 * batch).task(context)
    ours, theirs = InfoNCE(TEMPERATURE), NTXentLoss(TEMPERATURE)
    training = Training(task.samples, 1000, task.steps_per_epoch)
    ours.prepare(training)
    optimizer = torch.optim.AdamW(task.model.parameters(), fused=True)
    steps = iter(range(training.steps))
    left_out = dict.fromkeys(("cj_sat", "cj_hue", "random_gray_scale", "gaussian_blur"), 0.0)
    transform = SimCLRTransform(input_size=28, normalize={"mean": [0.286], "std": [0.353]}, **left_out)
    draw = torch.Generator().manual_seed(0)
    images = [to_pil_image(torch.rand(1, 28, 28, generator=draw)) for _ in range(batch)]

    def descend(loss: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def our_step() -> None:
        descend(ours(task.objective(training.step(next(steps))).pairs))

    def their_step() -> None:
        views = zip(*(transform(image) for image in images), strict=True)
        first, second = (functional.normalize(task.model(torch.stack(view))) for view in views)
        descend(theirs(first, second))

    task.model.train()
    least = [float("inf")] * 2
    for _ in range(1 + rounds):  # the first makes what is made once; the least leaves it out
        for side, step in enumerate((our_step, their_step)):
            began = time.process_time()
            step()
            least[side] = min(least[side], time.process_time() - began)
    torch.set_num_threads(threads)
    return least[0], least[1]
