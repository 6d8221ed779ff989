"""What ``suite verify`` prints of runs that another kind of machine made."""

import pytest

from suite.cli.runs.verify import show
from suite.verify.results import LoggedRun
from suite.verify.verification import Numbers, Verified


@pytest.mark.parametrize(
    ("numbers", "says"), [("identical", "all bits are the same"), ("other bits", "their means are compared")]
)
def test_means_are_compared_only_where_bits_differ(
    numbers: Numbers, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logged = LoggedRun("a" * 64, "image", "infonce", "loss", 0, "mini", {"test/accuracy": 0.5}, {}, {}, {}, {})
    show([Verified(logged, numbers, machine=("processor Here, logged There",))], [])
    line = f"1 of them were made on another kind of machine (processor Here, logged There): {says}"
    assert line in capsys.readouterr().out.splitlines()
