"""A cheap guess of what language a text is in: by its script, and for Latin, Cyrillic and Arabic script by its words.

Good for a paragraph, a hint for a query: callers must survive a wrong guess.
"""

import re
from collections import Counter
from heapq import nlargest
from unicodedata import normalize

from rungwise_server.retrieval.stopwords import STOPWORDS

_SAMPLE = 2000
_LETTERS = {
    "ja": "\u3040-\u30ff\uff66-\uff9f",
    "ko": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3",
    "zh": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "th": "\u0e01-\u0e3a\u0e40-\u0e4e",
    "lo": "\u0e81-\u0edf",
    "km": "\u1780-\u17d3",
    "my": "\u1000-\u109f",
    "cyrillic": "\u0400-\u052f",
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "arabic": "\u0600-\u06ff\u0750-\u077f",
    "he": "\u0590-\u05ff",
    "hi": "\u0900-\u0963\u0966-\u097f",
    "ta": "\u0b80-\u0bff",
    "hy": "\u0530-\u058f",
    "latin": "A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff",
}
_SCRIPTS = {name: re.compile(f"[{letters}]") for name, letters in _LETTERS.items()}
_FAMILIES = {
    "latin": STOPWORDS.keys() - {"ru", "uk", "el", "ar", "fa", "he", "hi"},
    "cyrillic": {"ru", "uk"},
    "arabic": {"ar", "fa"},
}
_OWN = (
    ("latin", "vi", "ơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ"),
    ("cyrillic", "uk", "іїєґ"),
    ("arabic", "fa", "پچژگ"),
)
_WORD = re.compile(r"[^\W\d_]+")
_KANA_SHARE = 0.05
_LEAD = 1.25
_STOPPED = {
    word: [code for code, words in STOPWORDS.items() if word in words] for word in set().union(*STOPWORDS.values())
}


def script(text: str) -> str:
    """The script that most letters of the text's beginning are in: `latin`, `cyrillic`, `arabic`, or where a script has
    one language here, that language's code. Empty where there are no letters.
    """
    sample = text[:_SAMPLE]
    counts = {name: len(letters.findall(sample)) for name, letters in _SCRIPTS.items() if not sample.isascii()}
    if not counts:
        return "latin" if _SCRIPTS["latin"].search(sample) else ""
    # A Chinese or Japanese character says as much as a word of letters does.
    for name in ("ja", "ko", "zh"):
        counts[name] *= 3
    if counts["ja"] > _KANA_SHARE * (counts["ja"] + counts["zh"]):
        counts["ja"] += counts["zh"]
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else ""


def guess(text: str) -> str:
    """The text's language as an ISO 639-1 code; empty when unsure (which most queries without function words are)."""
    family = script(text)
    if family not in _FAMILIES:
        return family
    sample = normalize("NFC", text[:_SAMPLE]).lower()
    for used_by, code, letters in _OWN:
        if used_by == family and sum(map(sample.count, letters)) > 1 + len(sample) // 50:
            return code
    scores: dict[str, float] = {}
    for word, count in Counter(_WORD.findall(sample)).items():
        codes = [code for code in _STOPPED.get(word, ()) if code in _FAMILIES[family]]
        for code in codes:
            # A word that only one language has says more; one that is everywhere in the text says it only a bit louder.
            scores[code] = scores.get(code, 0.0) + min(count, 3) / len(codes)
    best, second = nlargest(2, [(score, code) for code, score in scores.items()] + [(0.0, ""), (0.0, "")])
    return best[1] if best[0] >= _LEAD * second[0] else ""
