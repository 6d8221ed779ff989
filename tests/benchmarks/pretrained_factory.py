"""Small files in the true formats of the data sets that pretrained sentence encoders are trained and evaluated on."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from suite.benchmarks.text import PretrainedRepresentation
from suite.benchmarks.text.sts import YEARS
from tests.benchmarks.text_factory import COMMON, Locate, Row, passages, scored_pairs, write_bert, write_files

TINY_SIMCSE = PretrainedRepresentation(
    encoder="bert_base_uncased",
    corpus="wikipedia",
    epochs=2,
    batch=16,
    learning_rate=1e-2,
    projections=1,
    longest=12,
    tasks="seven",
)
TINY_MABEL = PretrainedRepresentation(
    encoder="bert_base_uncased",
    framework="mabel",
    corpus="inference",
    epochs=2,
    batch=8,
    learning_rate=1e-2,
    projections=2,
    longest=12,
    masked_weight=0.1,
    bias=True,
    masked_bias=True,
)
TINY_HOST = PretrainedRepresentation(
    framework="mabel", epochs=2, batch=8, learning_rate=1e-2, pooling="mean", longest=12, frozen=1, bias=True
)

#: Sentences that occupations are filled into.
ACTIONS: list[Row] = [(2.0, "A man is dancing.", "A woman is dancing."), (1.0, "A man is here.", "A dog is here.")]


def write_pretrained_files(folder: Path, **others: Sequence[Row]) -> Locate:
    """Write all files, with other pairs for the parts of STS-B that are named; return what finds them."""
    parts = {part: [*(others.get(part) or scored_pairs(seed)), *ACTIONS] for seed, part in enumerate(("dev", "test"))}
    locate = write_files(folder, **parts)
    hub = folder / "hub"
    hub.mkdir()
    write_bert(hub, has_head=True)
    for name in ("SICK_trial.txt", "SICK_test_annotated.txt"):
        write_sick(folder / name, scored_pairs(len(name), 20))
    for year, names in YEARS.items():
        (folder / year).mkdir()
        for number, name in enumerate(names):
            write_semeval(folder / year / f"{name}.test.tsv", scored_pairs(int(year) + 10 * number, 12))
    sentences = [sentence for text in passages() for sentence in text.split(" -- ")[1].split(". ")]
    (folder / "wiki1m_for_simcse.txt").write_text("\n".join([*sentences, ""]), encoding="utf-8")
    write_inference(folder / "nli_for_simcse.csv")
    write_crows_pairs(folder / "crows_pairs_anonymized.csv")
    folders = {"bert_base_uncased": hub}
    mine = ("sick", "sts12_16", "wiki1m", "nli_for_simcse", "crows_pairs")

    def find(dataset: str, member: str) -> Path:
        if dataset in folders:
            return folders[dataset] / member
        return folder / member if dataset in mine else locate(dataset, member)

    return find


def write_sick(path: Path, rows: Sequence[Row]) -> Path:
    lines = (f"{n}\t{a}\t{b}\t{max(1.0, score)}\tNEUTRAL" for n, (score, a, b) in enumerate(rows))
    path.write_text("\n".join(["pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment", *lines, ""]))
    return path


def write_semeval(path: Path, rows: Sequence[Row]) -> Path:
    """Write a part of 2012 to 2016; every fifth pair was not rated."""
    lines = (f"{'' if n % 5 == 4 else score}\t{a}\t{b}\n" for n, (score, a, b) in enumerate(rows))
    path.write_text("".join(lines), encoding="utf-8")
    return path


def write_inference(path: Path) -> Path:
    """Write premises with what they entail: every third without a gendered word, one with it in the premise alone."""
    rows = []
    for number in range(36):
        who = ("man", "woman", "it")[number % 3]
        words = f"t{number % 4}w{number % 6} {COMMON[number % len(COMMON)]}"
        rows.append((f"the {who} was there {words}", f"the {who} is {words}", "they are here"))
    rows.append(("the son was here", "that is there", "it is"))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("sent0", "sent1", "hard_neg"), *rows])
    return path


def write_crows_pairs(path: Path) -> Path:
    rows = [
        ("the man is here", "the woman is here", "gender"),
        ("the aunt was there", "the uncle was there", "gender"),
        ("this is the son", "this is the daughter", "gender"),
        ("the art is here", "the math is here", "age"),
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["", "sent_more", "sent_less", "stereo_antistereo", "bias_type", "annotations"])
        writer.writerows([[n, more, less, "stereo", kind, "[]"] for n, (more, less, kind) in enumerate(rows)])
    return path


def write_blanks(path: Path) -> Path:
    """Write intrasentence items of StereoSet with their blanks."""
    rows = [
        {
            "type": "intrasentence",
            "target": target,
            "bias_type": "gender",
            "context": f"The {target} is BLANK.",
            "stereotype": f"The {target} is {words[0]}.",
            "anti-stereotype": f"The {target} is {words[1]}.",
            "unrelated": f"The {target} is {words[2]}.",
        }
        for target, words in (("man", ("math", "art", "t0w0")), ("aunt", ("family", "career", "t1w1")))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
