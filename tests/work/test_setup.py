"""What a process imports for a run."""

from __future__ import annotations

import subprocess
import sys

TRAINS = """\
import copy, sys
import torch
from suite.losses import InfoNCE
from suite.training import Context, train
from suite.training.streams import Streams
from suite.work.setup import prepare_process
from tests.toys import Blobs

prepare_process(1)
task = Blobs(epochs=1).task(Context(Streams(0), torch.device("cpu"), None))
train(task, InfoNCE(0.5), Streams(0), lambda step, metrics: None)
optimizer = task.optimizer([{"params": list(task.model.parameters())}])
optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
print("torch._dynamo" in sys.modules)
compiled = torch.compile(torch.nn.Linear(2, 2), backend="eager")
compiled(torch.ones(1, 2)).sum().backward()
optimizer.add_param_group({"params": list(compiled.parameters())})
optimizer.step()
"""


def test_a_run_that_compiles_nothing_does_not_import_the_compiler_and_one_that_does_still_can() -> None:
    done = subprocess.run([sys.executable, "-c", TRAINS], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
