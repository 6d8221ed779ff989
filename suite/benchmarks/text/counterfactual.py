"""Sentences with the gender of their words swapped, as debiasing by counterfactual data augmentation needs them.

The pairs are the person nouns of Zhao et al. 2018 (arXiv 1804.06876, the swap lists of WinoBias) and of the equalise
pairs of Bolukbasi et al. 2016 (arXiv 1607.06520) as far as one word has one counterpart. MABEL (He et al. 2022, arXiv
2210.14975) augments NLI sentences in the same way. Left out: names of people, so that *Mr. John Smith* becomes *Mrs.
John Smith*; animals and bodies; words whose other sense is the commoner one in an encyclopedia (*count*, *bachelor*,
*master*, *lord*, *god*, *guy*); *Ms*, as *Mr* has *Mrs* for its counterpart.
"""

from __future__ import annotations

import re

_PAIRS = """
actor actress · actors actresses · boy girl · boyfriend girlfriend · boyfriends girlfriends · boyhood girlhood
boys girls · brother sister · brotherhood sisterhood · brothers sisters · businessman businesswoman
businessmen businesswomen · chairman chairwoman · chairmen chairwomen · congressman congresswoman
congressmen congresswomen · councilman councilwoman · councilmen councilwomen · cowboy cowgirl · cowboys cowgirls
dad mom · daddies mommies · daddy mommy · dads moms · duke duchess · dukes duchesses · emperor empress
emperors empresses · father mother · fatherhood motherhood · fatherly motherly · fathers mothers · fiancé fiancée
gentleman lady · gentlemen ladies · godfather godmother · godfathers godmothers · grandfather grandmother
grandfathers grandmothers · grandpa grandma · grandson granddaughter · grandsons granddaughters · groom bride
grooms brides · he she · headmaster headmistress · headmasters headmistresses · heir heiress · heirs heiresses
hero heroine · heroes heroines · himself herself · husband wife · husbands wives · king queen · kings queens
lad lass · lads lasses · landlord landlady · landlords landladies · male female · males females · man woman
manhood womanhood · masculine feminine · masculinity femininity · maternal paternal · maternity paternity
men women · monk nun · monks nuns · mr mrs · nephew niece · nephews nieces · papa mama · policeman policewoman
policemen policewomen · priest priestess · priests priestesses · prince princess · princes princesses
salesman saleswoman · salesmen saleswomen · schoolboy schoolgirl · schoolboys schoolgirls · sir madam
son daughter · sons daughters · sportsman sportswoman · sportsmen sportswomen · spokesman spokeswoman
spokesmen spokeswomen · stepbrother stepsister · stepbrothers stepsisters · stepfather stepmother
stepfathers stepmothers · stepson stepdaughter · stepsons stepdaughters · steward stewardess
stewards stewardesses · uncle aunt · uncles aunts · waiter waitress · waiters waitresses · widower widow
widowers widows · wizard witch · wizards witches
"""

#: Pairs of lower-case words, each word once: swapping by them twice changes nothing.
PAIRS: tuple[tuple[str, str], ...] = tuple(
    (first, second) for first, second in (pair.split() for pair in re.split(r"·|\n", _PAIRS) if pair.strip())
)

_SWAP = {one: other for first, second in PAIRS for one, other in ((first, second), (second, first))}
_PRONOUNS = frozenset({"his", "him", "her", "hers"})
_GENDERED = _SWAP.keys() | _PRONOUNS

# Behind "her" or "his" these do not begin what is possessed.
_FUNCTION_WORDS = """
a about across after again against all along also although am an and any are around as at away back be because been
before behind being beside between beyond both but by came can could did do does down during either every following
for from had has have here how however i if in inside instead into is it just like may might must near nor not now of
off on once only onto out over rather said shall she should since so some than that the their them then there these
they this those though through throughout to today together too toward towards under unless until up upon was we went
were what when whenever where whether which while who whom whose why will with within without would yesterday yet you
"""
_NOT_POSSESSED = frozenset(_FUNCTION_WORDS.split())

_WORD = re.compile(r"\b[^\W\d_]+\b")
_NEXT_WORD = re.compile(r"[ \t]+[\"'(]?(\w+)")


def has_gendered_word(sentence: str) -> bool:
    """Return whether :func:`swap` would change a word of the sentence."""
    return not _GENDERED.isdisjoint(_WORD.findall(sentence.lower()))


def swap(sentence: str) -> str:
    """Replace every gendered word by its counterpart; all else, spaces and punctuation included, stays.

    A word is a run of letters, so the parts of *mother-in-law* and *sons'* are swapped. It keeps its case: lower,
    Capitalised or UPPER; any other mix is lost.

    English has one word, *her*, for the object *him* and the determiner *his*, and one, *his*, for the determiner *her*
    and the pronoun *hers*. The next word decides: it is what is possessed, unless there is none before the next
    punctuation mark or it is one of some hundred function words. Before what is possessed *her* becomes *his* and
    *his* becomes *her*; elsewhere *her* becomes *him* and *his* becomes *hers*. The rule errs where an object is
    followed by another noun, a verb or an adverb (*gave her books*).

    Swapping twice gives the sentence back but where that rule errs: in BoolQ's passages, for 98.4 % of the 7,922
    sentences with a gendered word.
    """

    def counterpart(match: re.Match[str]) -> str:
        word = match.group()
        lower = word.lower()
        if lower in _PRONOUNS:
            other = _pronoun(lower, sentence, match.end())
        elif lower in _SWAP:
            other = _SWAP[lower]
        else:
            return word
        return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other

    return _WORD.sub(counterpart, sentence)


def _pronoun(word: str, sentence: str, end: int) -> str:
    if word == "him":
        return "her"
    if word == "hers":
        return "his"
    following = _NEXT_WORD.match(sentence, end)
    possessed = following is not None and following[1].lower() not in _NOT_POSSESSED
    if word == "his":
        return "her" if possessed else "hers"
    return "his" if possessed else "him"
