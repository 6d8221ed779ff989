from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from suite.benchmarks.text.data import (
    FIRST_WORD,
    PADDING,
    START,
    ScoredPairs,
    Vocabulary,
    read_sentences,
    read_sts,
    read_word2vec,
    without,
)
from suite.benchmarks.text.encoder import Embedder, SentenceEncoder, WordAverage
from suite.benchmarks.text.evaluate import cosines, spearman, sts_metrics
from suite.data import locate
from tests.benchmarks.text_factory import write_passages, write_word2vec

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
NUMBER = {"dog": 0, "barks": 1, "John": 2, "e_mail": 3}
CPU = torch.device("cpu")


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line_break", [b"", b"\n"])
def test_word2vec_files_are_read_with_and_without_line_breaks(tmp_path: Path, line_break: bytes) -> None:
    # The bytes of a vector may hold spaces and line breaks.
    matrix = np.vstack([MATRIX, np.frombuffer(b" \n \n" * 3, "<f4")])
    vectors = read_word2vec(write_word2vec(tmp_path / "v.bin", [*NUMBER, "Zoë"], matrix, line_break))
    assert vectors.number == {**NUMBER, "Zoë": 4}
    assert np.array_equal(vectors.matrix.numpy(), matrix)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "no line"),
        (b"two 3\n", "no line"),
        (b"2 1\na 0000", "within word 2 of 2"),
        (b"1 1\na 000", "within word 1"),
        (b"1 1\na 0000b 0000", "goes on"),
        (b"2 1\na 0000a 0000", "'a' occurs twice"),
    ],
)
def test_a_broken_word2vec_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "v.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_word2vec(path)


def test_sts_is_split_at_tabs_alone_whatever_quotes_and_sources_stand_in_it(tmp_path: Path) -> None:
    path = tmp_path / "sts.csv"
    path.write_text(
        'g\tf\t2012\t1\t5.000\tHe said "yes.\tA, "b"\n'
        "g\tf\t2016\t2\t3\tOne. \tTwo.\tStackExchange: http://a\tStackExchange: http://b\n"
        "g\tf\t2017\t3\t0.0\tZürich\u2028here\tdon't\n",
        encoding="utf-8",
    )
    pairs = read_sts(path)
    assert pairs.first == ('He said "yes.', "One.", "Zürich\u2028here")
    assert pairs.second == ('A, "b"', "Two.", "don't")
    assert pairs.scores.tolist() == [5.0, 3.0, 0.0]


@pytest.mark.parametrize("row", ["g\tf\t1\t1\t5.0\tone", "g\tf\t1\t1\tx\tone\ttwo", "g\tf\t1\t1\t5.1\tone\ttwo"])
def test_a_malformed_row_of_sts_is_named(tmp_path: Path, row: str) -> None:
    path = tmp_path / "sts.csv"
    path.write_text(f"g\tf\t1\t1\t5\tone\ttwo\n{row}\n")
    with pytest.raises(ValueError, match=r"sts\.csv, line 2: "):
        read_sts(path)


def test_passages_become_sentences_of_five_to_sixty_words_each_once(tmp_path: Path) -> None:
    long = "X" + " x" * 60 + "."
    texts = [
        'The Title -- One two three four 5.5 five. "Is it six seven eight?" Short one. Five words are just enough!',
        f"Five words are just enough! {long} No title here at all. and no capital follows. Mr. Smith is a fifth one.",
    ]
    assert read_sentences(write_passages(tmp_path / "p.jsonl", texts)) == (
        "One two three four 5.5 five.",
        '"Is it six seven eight?" Short one.',
        "Five words are just enough!",
        "No title here at all. and no capital follows.",
        "Smith is a fifth one.",
    )


@pytest.mark.parametrize("line", ["nothing", "[1]", '{"question": "?"}'])
def test_a_line_without_a_passage_is_named(tmp_path: Path, line: str) -> None:
    path = write_passages(tmp_path / "p.jsonl", ["One two three four five."])
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(ValueError, match=r"p\.jsonl, line 2: no JSON object with a passage"):
        read_sentences(path)


def test_held_out_sentences_are_recognised_by_their_words() -> None:
    corpus = ["The dog, it barks!", "A dog barks.", "Barks a dog."]
    assert without(corpus, ["the DOG it barks", "dog barks"]) == corpus[1:]


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_words_are_looked_up_as_written_and_then_in_lower_case() -> None:
    sentences = ["Dog barks; DOG: john John a 7, e_mail!", "nothing known", "dog barks dog barks dog"]
    encoded = Vocabulary(NUMBER, longest=4).encode(sentences)
    dog, barks, john, _ = range(FIRST_WORD, FIRST_WORD + 4)
    assert encoded.tokens.tolist() == [
        [START, dog, barks, dog, john],
        [START, *[PADDING] * 4],
        [START, dog, barks, dog, barks],
    ]
    assert encoded.lengths.tolist() == [5, 1, 5]
    part = encoded[torch.tensor([1, 1])]
    assert part.tokens.tolist() == [[START], [START]]


def test_every_word_with_a_vector_is_known() -> None:
    vocabulary = Vocabulary(NUMBER, longest=4)
    assert [vocabulary.knows(word) for word in ("dog", "DOG", "John", "john", "cat")] == [
        True,
        True,
        True,
        False,
        False,
    ]


# --- encoders --------------------------------------------------------------------------------------------------------


@pytest.fixture
def encoder() -> SentenceEncoder:
    torch.manual_seed(0)
    return SentenceEncoder(torch.randn(20, 6), width=8, layers=2, heads=2, dropout=0.5)


def test_a_sentence_is_embedded_alike_in_whatever_company(encoder: SentenceEncoder) -> None:
    vocabulary = Vocabulary({f"w{n}": n for n in range(20)}, longest=12)
    draw = np.random.default_rng(0)
    sentences = [" ".join(f"w{n}" for n in draw.integers(0, 20, length)) for length in (1, 12, 3, 0, 7)]
    embedder = Embedder(encoder, vocabulary, CPU)
    together = embedder.embed(sentences)
    alone = torch.cat([embedder.embed([sentence]) for sentence in sentences])
    assert together.shape == (5, 8)
    assert torch.allclose(together, alone, atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-2)
    assert encoder.training


def test_the_order_of_words_does_not_matter_and_their_number_does(encoder: SentenceEncoder) -> None:
    embedder = Embedder(encoder, Vocabulary({"a": 0, "b": 1, "c": 2}, longest=12), CPU)
    abc, cab, abcc = embedder.embed(["a b c", "c a b", "a b c c"])
    assert torch.allclose(abc, cab, atol=1e-6)
    assert not torch.allclose(abc, abcc, atol=1e-2)


def test_attention_agrees_with_a_plain_transformer_layer() -> None:
    from suite.benchmarks.text.encoder import Block

    torch.manual_seed(0)
    block = Block(width=8, heads=2, dropout=0.0)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True)
    parts = {
        "self_attn.in_proj_weight": block.query_key_value.weight,
        "self_attn.in_proj_bias": block.query_key_value.bias,
    }
    names = (
        ("attention_out", "self_attn.out_proj"),
        ("attention_norm", "norm1"),
        ("feed_norm", "norm2"),
        ("feed.0", "linear1"),
        ("feed.2", "linear2"),
    )
    parts |= {
        f"{theirs}.{kind}": block.get_parameter(f"{ours}.{kind}")
        for ours, theirs in names
        for kind in ("weight", "bias")
    }
    layer.load_state_dict(parts)
    lengths = torch.tensor([5, 2, 1])
    inside = torch.arange(5) < lengths[:, None]
    hidden = torch.randn(3, 5, 8)
    expected = layer(hidden, src_key_padding_mask=~inside)[inside]
    assert torch.allclose(block(hidden[inside], inside), expected, atol=1e-5)


def test_views_are_of_all_sentences_one_after_the_other(encoder: SentenceEncoder) -> None:
    tokens = torch.tensor([[START, 2, 3], [START, 4, PADDING]])
    encoder.eval()
    once = encoder(tokens, torch.tensor([3, 2]))
    assert torch.allclose(encoder(tokens, torch.tensor([3, 2]), views=2), once.repeat(2, 1), atol=1e-6)


def test_word_vectors_are_not_trained_and_not_saved(encoder: SentenceEncoder) -> None:
    assert all(parameter.shape != (20, 6) for parameter in encoder.parameters())
    assert "vectors" not in encoder.state_dict()


def test_the_word_average_is_a_mean_over_known_words() -> None:
    embedder = Embedder(WordAverage(torch.from_numpy(MATRIX)), Vocabulary(NUMBER, longest=9), CPU)
    embedded = embedder.embed(["The dog barks, dog!", "John", "nothing"])
    expected = np.stack([(2 * MATRIX[0] + MATRIX[1]) / 3, MATRIX[2], np.zeros(3)])
    assert np.allclose(embedded.numpy(), expected)


# --- evaluation ------------------------------------------------------------------------------------------------------


def ranks(values: list[int]) -> list[float]:
    return [sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2 for value in values]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=8))
def test_spearman_is_pearson_of_mean_ranks(rows: list[tuple[int, int]]) -> None:
    predicted, scores = (list(column) for column in zip(*rows, strict=True))
    if len(set(scores)) == 1:
        return
    got = spearman(np.array(predicted, dtype=float), np.array(scores, dtype=float))
    expected = 0.0 if len(set(predicted)) == 1 else stats.pearsonr(ranks(predicted), ranks(scores)).statistic
    assert got == pytest.approx(expected, abs=1e-12)


def test_a_diverged_model_does_not_score() -> None:
    with pytest.raises(ValueError, match="not finite"):
        spearman(np.array([0.0, np.nan]), np.array([1.0, 2.0]))


def test_an_embedding_that_knows_the_scores_is_perfect_and_a_constant_one_at_chance() -> None:
    pairs = ScoredPairs(("0",) * 5, ("1", "2", "3", "4", "5"), np.array([5.0, 4.0, 3.0, 2.0, 1.0]))

    def angle(sentences: object) -> Tensor:
        assert isinstance(sentences, tuple)
        angles = torch.tensor([float(sentence) / 2 for sentence in sentences])
        return torch.stack([angles.cos(), angles.sin()], dim=1) * 3

    assert np.allclose(cosines(angle, pairs), np.cos(np.arange(1, 6) / 2))
    assert sts_metrics(angle, pairs) == {"spearman": pytest.approx(1.0)}
    assert sts_metrics(lambda sentences: torch.full((len(sentences), 3), 0.3), pairs) == {"spearman": 0.0}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("angle", [0.0, 1.0])
def test_the_rounding_of_a_constant_encoder_orders_nothing(seed: int, angle: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    names = tuple(f"{side}{n}" for side in "ab" for n in range(50))
    common, turned = torch.linalg.qr(torch.randn(64, 2, generator=draw)).Q.T
    rows = {
        name: (common if name[0] == "a" else np.cos(angle) * common + np.sin(angle) * turned)
        + 2e-8 * torch.randn(64, generator=draw)
        for name in names
    }
    pairs = ScoredPairs(names[:50], names[50:], np.arange(50.0))

    def embed(sentences: Sequence[str]) -> Tensor:
        return torch.stack([rows[name] for name in sentences])

    assert np.ptp(cosines(embed, pairs)) > 0
    assert sts_metrics(embed, pairs) == {"spearman": 0.0}
    # what is left of a collapse, but above the rounding, still counts
    for number, name in enumerate(names[50:]):
        rows[name] = rows[name] + (1e-3 + 1e-4 * number) * turned
    assert abs(sts_metrics(embed, pairs)["spearman"]) > 0.9


def test_constant_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="all 3 pairs have the score 2"):
        spearman(np.array([0.1, 0.2, 0.3]), np.array([2.0, 2.0, 2.0]))


# --- the real files --------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_the_real_files_have_the_known_sizes() -> None:
    vectors = read_word2vec(locate("googlenews_bolukbasi", "GoogleNews-vectors-negative300-bolukbasi.bin"))
    assert vectors.matrix.shape == (26_423, 300)
    assert torch.allclose(vectors.matrix.norm(dim=1), torch.tensor(1.0), atol=1e-5)
    sizes = [len(read_sts(locate("sts_b", f"sts-{part}.csv"))) for part in ("train", "dev", "test")]
    assert sizes == [5_749, 1_500, 1_379]
    assert len(read_sentences(locate("boolq", "boolq.jsonl"))) == 47_857
