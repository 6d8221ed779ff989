"""The quick benchmark's verdicts, without measuring."""

from __future__ import annotations

from argparse import Namespace

import pytest

from tests.perf import bench, losses


def measure(monkeypatch: pytest.MonkeyPatch, slower: str = "", factor: float = 1.0) -> None:
    """Let the measurements find what is expected, but one loss or the training on images slower by a factor."""
    least = {what: ratio for (what, peer), ratio in bench.EXPECTED.items() if peer == losses.PRODUCTS}
    least |= {losses.PRODUCTS: 1.0, losses.GRACE: 2.24, losses.THEIRS: 6.15}
    image = bench.EXPECTED[bench.IMAGE, bench.LIGHTLY]
    if slower in least:
        least[slower] *= factor
    elif slower == bench.IMAGE:
        image *= factor
    monkeypatch.setattr(losses, "beside_products", lambda names, rounds: least)
    monkeypatch.setattr(bench, "image_training", lambda rounds: (image, 1.0))


def test_what_is_expected_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    measure(monkeypatch)
    assert bench.quick(1) == 0


@pytest.mark.parametrize("slower", sorted({what for what, _ in bench.EXPECTED}))
def test_only_what_noise_cannot_explain_fails(
    slower: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(monkeypatch, slower, 2.4)
    assert bench.quick(1) == 0
    measure(monkeypatch, slower, 2.6)
    assert bench.quick(1) == 1
    late = [line for line in capsys.readouterr().out.splitlines() if "TOO SLOW" in line]
    assert late and all(line.startswith(slower) for line in late)


def test_a_missing_peer_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "is_installed", lambda package: package != "lightly")
    assert bench.quick(1) == 1
    assert "pip install lightly" in capsys.readouterr().err


def test_a_part_that_fails_does_not_take_the_others_along(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(options: Namespace) -> list[str]:
        raise SystemExit("the peer ended with 1")

    parts = {"losses": ("Losses", fails), "image": ("Images", lambda options: ["2,000 pairs"])}
    monkeypatch.setattr(bench, "PARTS", parts)
    page, failed = bench.measured(Namespace(only=None))
    assert failed == ["losses"] and "2,000 pairs" in page and "Not measured" in page
    assert "losses: the peer ended with 1" in capsys.readouterr().err
