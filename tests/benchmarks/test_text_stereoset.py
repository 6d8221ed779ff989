from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.benchmarks.text.stereoset import Item, read_stereoset, select, stereoset_metrics

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def line(kind: str = "intersentence", target: str = "aunt", domain: str = "gender", **changes: str) -> dict[str, str]:
    row = {"type": kind, "target": target, "bias_type": domain, "context": "the aunt", "stereotype": "the"}
    return row | {"anti-stereotype": "aunt", "unrelated": "cats"} | changes


def write(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def item(kind: str, target: str, stereotype: float, anti_stereotype: float, unrelated: float) -> Item:
    """Of sentences that `angles` understands; nearer to 0 is nearer to the context."""
    return Item(kind, "gender", target, "0", str(stereotype), str(anti_stereotype), str(unrelated))


def angles(sentences: Sequence[str]) -> Tensor:
    angle = torch.tensor([float(sentence) for sentence in sentences])
    return 3 * torch.stack([angle.cos(), angle.sin()], dim=1)


def test_reads_items_and_takes_the_blank_out_of_the_context(tmp_path: Path) -> None:
    blank = {"context": "An aunt is so BLANK, and BLANK.", "stereotype": "An aunt is so kind, and old."}
    items = read_stereoset(write(tmp_path / "set.jsonl", [line(), line("intrasentence", **blank)]))
    assert items[0] == Item("intersentence", "gender", "aunt", "the aunt", "the", "aunt", "cats")
    assert items[1].context == "An aunt is so, and."
    assert items[1].sentences == ("An aunt is so, and.", "An aunt is so kind, and old.", "aunt", "cats")


@pytest.mark.parametrize("row, message", [([], "line 2: no JSON"), (line("sentence"), "line 2: type 'sentence'")])
def test_a_malformed_line_is_named(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_stereoset(write(tmp_path / "set.jsonl", [line(), row]))


def test_validation_and_test_share_no_term_and_make_up_the_domain(tmp_path: Path) -> None:
    rows = [line(kind, target) for target in "dbeca" for kind in ("intersentence", "intrasentence")]
    items = read_stereoset(write(tmp_path / "set.jsonl", [*rows, line(target="b2", domain="race")]))
    val, test = select(items, "val"), select(items, "test")
    assert {entry.target for entry in val} == set("ace")
    assert {entry.target for entry in test} == set("bd")
    assert len(val) + len(test) == len(rows)
    assert [entry.target for entry in select(items, "val", "race")] == ["b2"]


def test_scores_are_averages_over_terms_by_hand() -> None:
    items = [
        item("intersentence", "aunt", 0.1, 0.2, 0.3),  # stereotype, both above unrelated
        item("intersentence", "aunt", 0.2, 0.1, 0.3),  # anti-stereotype, both above unrelated
        item("intersentence", "aunt", 0.1, 0.3, 0.2),  # stereotype, one above unrelated
        item("intersentence", "uncle", 0.2, -0.2, -0.1),  # tie, none above unrelated
        item("intrasentence", "uncle", 0.3, 0.2, 0.2),  # anti-stereotype, one ties with unrelated
    ]
    metrics = stereoset_metrics(angles, items)
    ss, lm = (2 / 3 + 1 / 2) / 2, (5 / 6 + 0) / 2
    assert metrics == pytest.approx(
        {
            "stereoset_cosine_inter_ss": ss,
            "stereoset_cosine_inter_lm": lm,
            "stereoset_cosine_inter_icat": lm * (1 - ss) / 0.5,
            "stereoset_cosine_intra_ss": 0.0,
            "stereoset_cosine_intra_lm": 0.25,
            "stereoset_cosine_intra_icat": 0.0,
        }
    )


def random_items(count: int = 60) -> list[Item]:
    rng = np.random.default_rng(0)
    kinds = ["intersentence", "intrasentence"]
    return [
        Item(
            kinds[row % 2], "gender", f"t{rng.integers(7)}", *("".join(rng.choice(list(LETTERS), 6)) for _ in range(4))
        )
        for row in range(count)
    ]


def letters(sentences: Sequence[str]) -> Tensor:
    return torch.tensor([[sentence.count(letter) for letter in LETTERS] for sentence in sentences], dtype=torch.float32)


def test_scores_agree_with_plain_loops() -> None:
    items = random_items()
    metrics = stereoset_metrics(letters, items)
    for name, kind in (("inter", "intersentence"), ("intra", "intrasentence")):
        terms: dict[str, list[tuple[float, float]]] = {}
        for entry in (entry for entry in items if entry.kind == kind):
            context, *others = (vector.double().numpy() for vector in letters(entry.sentences))
            s, a, u = (context @ v / np.linalg.norm(context) / np.linalg.norm(v) for v in others)
            half = [float(np.heaviside(round(x, 9), 0.5)) for x in (s - a, s - u, a - u)]
            terms.setdefault(entry.target, []).append((half[0], (half[1] + half[2]) / 2))
        ss, lm = np.mean([np.mean(values, axis=0) for values in terms.values()], axis=0)
        assert metrics[f"stereoset_cosine_{name}_ss"] == pytest.approx(ss)
        assert metrics[f"stereoset_cosine_{name}_lm"] == pytest.approx(lm)
        assert metrics[f"stereoset_cosine_{name}_icat"] == pytest.approx(lm * min(ss, 1 - ss) * 2)


@pytest.mark.parametrize(
    "constant",
    [
        lambda sentences: torch.zeros(len(sentences), 3),
        lambda sentences: torch.full((len(sentences), 3), 0.3) + 1e-8 * torch.arange(len(sentences))[:, None],
    ],
    ids=["zero", "rounding noise"],
)
def test_a_constant_encoder_is_at_chance(constant: Callable[[Sequence[str]], Tensor]) -> None:
    assert set(stereoset_metrics(constant, random_items()).values()) == {0.5}


def test_embeddings_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="diverged"):
        stereoset_metrics(lambda sentences: torch.full((len(sentences), 2), torch.nan), random_items())


def test_a_kind_without_items_is_refused() -> None:
    with pytest.raises(ValueError, match="no intrasentence items"):
        stereoset_metrics(angles, [item("intersentence", "aunt", 0.1, 0.2, 0.3)])


@pytest.mark.data
def test_stereoset_has_the_published_gender_items_and_terms() -> None:
    from suite.data import locate

    items = read_stereoset(locate("stereoset", "stereoset.jsonl"))
    assert Counter(entry.kind for entry in items) == {"intersentence": 2123, "intrasentence": 2106}
    terms = {part: {entry.target for entry in select(items, part)} for part in ("val", "test")}
    assert terms["val"] == {"gentlemen", "herself", "male", "mother", "schoolgirl"}
    assert terms["test"] == {"grandfather", "himself", "mommy", "schoolboy", "sister"}
    assert sum(entry.domain == "gender" for entry in items) == 255 + 242
