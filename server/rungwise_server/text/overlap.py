"""Words of a question and how far a text has them: the part of finding an answer that needs no model.

Words count by how rare they are among the texts at hand. German compounds and inflections meet by their beginnings;
scripts without spaces are read as character bigrams.
"""

import re
import unicodedata
from collections.abc import Sequence
from math import log

from rungwise_server.text.sentences import UNSPACED

_RUN = re.compile(rf"(?P<cjk>[{UNSPACED}\uac00-\ud7af]+)|[^\W_{UNSPACED}\uac00-\ud7af]+(?:[.,:]\d+)*")
_GRAMMAR = re.compile("[\u3040-\u309f]{2}$|.?[的了是什么谁吗呢哪几在何誰]")
_STEM = 4  # letters that two words must share to be related

_FUNCTION_WORDS = {
    "en": "a an the and or but if then than so of to in on at by for from with without about into over under after "
    "before between during until up down out off as is are was were be been being am do does did doing done has "
    "have had having can could will would shall should may might must i me my we us our you your he him his she "
    "her it its they them their this that these those there here who whom whose which what when where why how not "
    "no nor only own same very just also too any some all each both more most other such much many one ones s t d "
    "ll re ve get got tell please "
    "often long large big far fast high old quickly soon",
    "de": "der die das den dem des ein eine einen einem einer eines und oder aber wenn dann als so von zu im in am an "
    "auf bei für aus mit ohne über unter nach vor zwischen während bis ab um ist sind war waren sein wird werden "
    "wurde wurden hat haben hatte hatten kann können konnte muss müssen soll sollen darf dürfen mag will ich mich "
    "mir mein meine meinen meiner wir uns unser du dich dir dein deine er ihn ihm sein seine sie ihr ihre es man "
    "dies dieser diese dieses jene wer wen wem wessen welche welcher welches welchen was wann wo warum wieso wie "
    "viel viele vielen nicht kein keine keinen nur auch noch schon sehr zum zur vom beim ins da dort hier etwas "
    "mal bitte gibt es lang lange hoch groß oft häufig weit schnell alt müsst werdet wirst bist hast kannst",
    "fr": "le la les l un une des du de d et ou mais si alors que qui quoi dont où quand comment pourquoi combien quel "
    "quelle quels quelles à au aux en dans sur sous par pour avec sans entre vers chez est sont était être été a "
    "ont avoir avait je me mon ma mes nous notre nos vous votre vos il elle ils elles son sa ses leur leurs ce "
    "cet cette ces se s n ne pas plus y on peut doit faut c j m t qu",
    "es": "el la los las un una unos unas de del y o pero si que qué quien quién cual cuál cuales cuáles cuando cuándo "
    "donde dónde como cómo cuanto cuánto cuantos cuántos cuánta cuántas por para con sin entre hasta desde a al "
    "en sobre es son era fue ser está están hay ha han haber yo me mi mis nos nuestro su sus se te tu tus lo le "
    "les este esta estos estas ese esa no más muy también puede debe",
}
_STOPPED = {language: frozenset(words.split()) for language, words in _FUNCTION_WORDS.items()}


def likely_language(text: str) -> str:
    """The language that most of a short text's function words are of; empty where no language leads."""
    words = re.findall(r"\w+", text.casefold())
    counts = sorted(((sum(w in stopped for w in words), code) for code, stopped in _STOPPED.items()), reverse=True)
    return counts[0][1] if counts[0][0] > counts[1][0] else ""


def terms(text: str, language: str = "") -> dict[str, float]:
    """The terms of a text, each with its worth: 1, or .3 for bigrams that are mostly grammar, such as pure hiragana.

    Function words of `language` are left out, unless nothing else is there.
    """
    stopped = _STOPPED.get(language, frozenset())
    found: dict[str, float] = {}
    for match in _RUN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        run = match[0]
        if match["cjk"] is None:
            if run not in stopped:
                found[run] = 1.0
        elif len(run) == 1:
            found[run] = 0.5
        else:
            for i in range(len(run) - 1):
                found[run[i : i + 2]] = 0.3 if _GRAMMAR.match(run[i : i + 2]) else 1.0
    return found or (terms(text) if stopped else found)


def related(one: str, other: str) -> float:
    """How nearly two terms are one word: 1 for the same, less for another ending or a longer compound, else 0."""
    if one == other:
        return 1.0
    short, long = sorted((len(one), len(other)))
    if short == 3 and long == 4 and one[:3] == other[:3]:
        return 0.9
    if short < _STEM or one[:_STEM] != other[:_STEM]:
        return 0.0
    shared = next((i for i in range(short) if one[i] != other[i]), short)
    if shared >= 0.75 * long or (shared == short and long - short <= 3):
        return 0.9
    return 0.6 if shared == short or shared >= max(5, 0.6 * short) or shared >= 0.66 * long else 0.0


def overlaps(question: dict[str, float], texts: Sequence[dict[str, float]]) -> list[list[float]]:
    """For each text, how nearly it has each term of the question, 0 to 1, in the order of `question`."""
    vocabulary: dict[str, list[tuple[str, str]]] = {}
    for word in {word for text in texts for word in text}:
        for form in _forms(word):
            vocabulary.setdefault(form[:3], []).append((form, word))
    near: list[dict[str, float]] = []
    for term in question:
        words: dict[str, float] = {}
        for wanted in _forms(term):
            for form, word in vocabulary.get(wanted[:3], ()):
                if value := related(wanted, form):
                    words[word] = max(value, words.get(word, 0.0))
        near.append(words)
    return [
        [max((value for word, value in words.items() if word in text), default=0.0) if words else 0.0 for words in near]
        for text in texts
    ]


def _forms(word: str) -> tuple[str, ...]:
    """The word, and without the German participle's `ge`, so that geprüft meets prüfen."""
    return (word, word[2:]) if len(word) > 6 and word.startswith("ge") else (word,)


def rarity(question: dict[str, float], found: Sequence[Sequence[float]]) -> list[float]:
    """A weight for each term of the question: its worth, times how few of the texts have it (as BM25 counts that)."""
    n = len(found)
    weights = []
    for i, worth in enumerate(question.values()):
        having = sum(row[i] for row in found)
        weights.append(worth * log(1 + (n - having + 0.5) / (having + 0.5)))
    return weights
