from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.benchmarks.text.counterfactual import PAIRS, has_gendered_word, swap

WORDS = [word for pair in PAIRS for word in pair]
NEUTRAL = ["table", "reads", "human", "shepherd", "mango", "theme", "manage", "42", "Sheila", "history", "other"]
CASES = [str.lower, str.capitalize, str.upper]


@pytest.mark.parametrize(
    "sentence, swapped",
    [
        ("He told the actress about his brother.", "She told the actor about her sister."),
        ('HE SAID: "The King\'s men!"', 'SHE SAID: "The Queen\'s women!"'),
        ("My mother-in-law  hurt\therself", "My father-in-law  hurt\thimself"),
        ("Her book, not his.", "His book, not hers."),
        ("It is hers; give it to her.", "It is his; give it to him."),
        ("We saw her at home with her (older) sons.", "We saw him at home with his (older) daughters."),
        ("Mr. John Smith, his fiancée and Sir Paul", "Mrs. John Smith, her fiancé and Madam Paul"),
        ("They gave him books", "They gave her books"),
        ("his", "hers"),
        ("", ""),
    ],
)
def test_swaps_words_and_keeps_all_else(sentence: str, swapped: str) -> None:
    assert swap(sentence) == swapped


def test_every_word_has_one_counterpart() -> None:
    assert len(set(WORDS)) == len(WORDS)
    assert all(word == word.lower() for word in WORDS)
    assert not {"his", "him", "her", "hers"} & set(WORDS)


words = st.one_of(
    st.builds(lambda case, word: case(word), st.sampled_from(CASES), st.sampled_from(WORDS)),
    st.sampled_from(NEUTRAL),
    st.text(" 0123456789.,;!?\"'()_-", max_size=5),
)
sentences = st.lists(words, max_size=12).flatmap(
    lambda parts: st.sampled_from([" ", ", ", "-", "'s ", " - "]).map(lambda gap: gap.join(parts))
)


@given(sentences.filter(lambda sentence: not {"his", "him", "her", "hers"} & set(sentence.lower().split())))
def test_swapping_twice_gives_the_sentence_back(sentence: str) -> None:
    assert swap(swap(sentence)) == sentence


@given(sentences)
def test_a_sentence_changes_exactly_if_it_has_a_gendered_word(sentence: str) -> None:
    assert (swap(sentence) != sentence) == has_gendered_word(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Then his older brother saw him.",
        "It was his, and he liked him for his wit",
        "Her friends thanked her for hers.",
    ],
)
def test_pronouns_swapped_twice_come_back_where_the_next_word_tells_them_apart(sentence: str) -> None:
    assert swap(swap(sentence)) == sentence


@pytest.mark.parametrize("sentence", ["The weather is mild.", "Sheila manages a theme park.", "Hers1 hero_worship"])
def test_a_sentence_without_gendered_words_stays(sentence: str) -> None:
    assert not has_gendered_word(sentence)
    assert swap(sentence) == sentence
