"""Whether an answer declines: says that the documents hold no answer, instead of giving one.

By wording alone, in nine languages: our own (`models.extractive`), and the phrases by which language models say it.
Only an answer's beginning is read. Models first say that they cannot answer and then what they found nearby, which is a
decline all the same; an answer that closes with what the documents leave open is an answer.
"""

import re

_READ = 2  # sentences
_MARK = re.compile(r"[\[【]\s*\d{1,3}(?:\s*[,;、]\s*\d{1,3})*\s*[\]】]")
_SENTENCE = re.compile(r"[。！？\n]+|(?<=[.!?])\s+")
_OPENING = re.compile(
    r"^\W*(?:(?:i'?m\s+|i am\s+)?(?:sorry|unfortunately|apologies)|leider|désolée?|malheureusement|lo siento|"
    r"lamentablemente|desafortunadamente|申し訳ありません|すみません|抱歉|很抱歉|对不起)\W*$",
    re.IGNORECASE,
)

_EN_DOCUMENTS = (
    r"(?:documents?|documentation|passages?|context|sources?|texts?|excerpts?|snippets?|materials?|information|data|"
    r"articles?|records?|files?)"
)
_EN_SAY = (
    r"(?:answers?|say|mention|contain|include|provide|specify|state|cover|hold|address|discuss|give|list|describe|"
    r"indicate|have|offer|tell|explain|detail|reveal|disclose|clarify|reference|talk|speak)"
)
_EN_SAID = (
    r"(?:mentioned|specified|stated|provided|covered|included|addressed|given|found|available|contained|described|"
    r"listed|disclosed|answered|discussed|indicated)"
)
_NOT = r"(?:not|n't)"

# Each holds anywhere in a sentence that is read.
_DECLINES = (
    # English
    rf"\b{_EN_DOCUMENTS}\b.{{0,60}}\b(?:do|does|did)(?:n't| not)\b.{{0,24}}\b{_EN_SAY}\b",
    rf"\b{_EN_DOCUMENTS}\b.{{0,60}}\b(?:contains?|has|have|provides?|includes?|gives?|offers?|makes?)\s+no\b",
    r"\bno(?:thing| (?:\w+ ){0,3}(?:information|mention|answers?|details?|passages?|indication|references?|data))\b"
    r".{0,60}\b(?:in|from|within|found|about|on|regarding|concerning|available|provided|given|of)\b",
    rf"\b(?:is|are|was|were)(?:n't| not)\b.{{0,20}}\b{_EN_SAID}\b.{{0,30}}\b(?:in|by|within|from)\b.{{0,30}}"
    rf"\b{_EN_DOCUMENTS}\b",
    r"\b(?:i|we)\s+(?:\w+ )?(?:could|can|was|were|am|do|did|have)(?:n't|\s?not)\b.{0,30}"
    r"\b(?:find|answer|determine|locate|tell|provide|know|have|see|able|found|identify|confirm|say)\b",
    r"\b(?:i|we)(?:'m| am| are| was|'re)?\s+unable to\b",
    r"\b(?:cannot|can't|can not|could not|couldn't) be (?:answered|determined|found|established|inferred)\b",
    rf"\b(?:not enough|insufficient|no sufficient|lack of)\s+(?:\w+ )?{_EN_DOCUMENTS}\b",
    rf"\b{_EN_DOCUMENTS}\b.{{0,40}}\b(?:is|are)\s+(?:silent|insufficient)\b",
    # German
    r"\b(?:dokumente?n?|unterlagen|passagen?|quellen?|textstellen|abschnitte?n?|kontext|texte?n?|angaben|informationen)\b"
    r".{0,80}\b(?:nicht|keine[nrs]?|kein)\b.{0,60}(?:beantwort|enth[aä]lt|erwähn|genannt|angegeben|hervor|find|sag|nenn|"
    r"liefer|steh|geh|antwort|information|angabe|hinweis|aussage|auskunft|entnehmen|gefunden)",
    r"\b(?:enthalten|beantworten|nennen|erwähnen|sagen)\s+(?:(?:dazu|darüber|hierzu)\s+)?"
    r"(?:nichts|keine[nr]?|das nicht)\b",
    r"\b(?:keine|nicht genügend|nicht genug)\s+(?:\w+ ){0,2}(?:informationen?|angaben?|antwort|hinweise?|auskunft|"
    r"aussage)\b",
    r"\b(?:ich|wir)\b.{0,20}\b(?:kann|konnte|können|konnten|weiß|finde|habe)\b.{0,60}\b(?:nicht|nichts|keine[nr]?)\b",
    r"\b(?:kann|konnte|weiß|finde|habe)\s+ich\b.{0,60}\b(?:nicht|nichts|keine[nr]?)\b",
    r"\b(?:kann|lässt sich)\b.{0,60}\bnicht\s+(?:beantwort|sagen|entnehmen|feststell|bestimm)",
    # French
    r"\b(?:documents?|passages?|sources?|contexte|textes?|extraits?|informations?)\b.{0,80}\b(?:ne|n')\s?.{1,30}"
    r"\b(?:pas|aucune?|rien)\b",
    r"\baucune?\s+(?:information|mention|réponse|indication|donnée|document|passage)\b",
    r"\b(?:je|nous)\s+(?:ne|n')\s?.{1,30}\b(?:pas|aucune?|rien)\b",
    # Spanish, Italian, Portuguese
    r"\b(?:documentos?|pasajes?|fuentes?|contexto|textos?|fragmentos?)\b.{0,60}\bno\s+(?:\w+ )?(?:responde|menciona|"
    r"especifica|indica|contiene|incluye|dice|proporciona|ofrece|aparece|da|hay)",
    r"\bno\s+(?:se\s+)?(?:menciona|especifica|encuentr|encontr|dispongo|tengo|hay\s+(?:ninguna\s+)?informaci|"
    r"puedo\s+(?:responder|encontrar|determinar))",
    r"\bninguna\s+(?:informaci|menci|respuesta)",
    r"\b(?:documenti|passaggi|fonti|contesto|testi?)\b.{0,60}\bnon\b",
    r"\bnessuna\s+(?:informazion|menzion|rispost)|\bnon\s+(?:è|viene|ho|posso|trovo|ci sono)\s+(?:\w+ )?"
    r"(?:menzionat|specificat|indicat|trovat|rispond|informazion)",
    r"\b(?:documentos|trechos|passagens|fontes|contexto|textos)\b.{0,60}\bnão\b",
    r"\bnenhuma\s+(?:informaç|menç|respost)|\bnão\s+(?:encontrei|há\s+informaç|posso\s+responder|consigo|sei)\b",
    # Dutch
    r"\b(?:documenten|bronnen|passages?|context|teksten)\b.{0,60}\b(?:niet|geen)\b|\bgeen\s+(?:informatie|antwoord)\b",
    # Japanese
    r"(?:文書|資料|文章|文脈|文献|ドキュメント|コンテキスト|パッセージ|情報|記載|記述|言及|答え|回答|該当)[^。]{0,40}"
    r"(?:ありません|見つかりません|見当たりません|されていません|されていない|いません|含まれない|できません|なかった|"
    r"ない|不明)",
    r"(?:分かり|わかり|お答えでき|回答でき|判断でき|見つかり|確認でき)ません",
    # Chinese, both scripts
    r"(?:没有|沒有|并未|並未|未能|未)[^。，]{0,8}(?:提供|提到|提及|说明|說明|包含|找到|涉及|回答|答案|信息|資訊|相关|相關|记载|記載)",
    r"(?:无法|無法|不能)[^。，]{0,16}(?:回答|确定|確定|找到|得知|判断|判斷|提供)|找不到|不知道|不清楚",
)  # fmt: skip
_ANYWHERE = re.compile("|".join(f"(?:{one})" for one in _DECLINES), re.IGNORECASE)

# Each holds only in a sentence that cites nothing: with a marker it may well be what the documents say.
_WITHOUT_MARK = re.compile(
    r"\b(?:is|are|was|were|has|have)(?:n't| not)\s+(?:been\s+)?(?:\w+ly\s+)?(?:mentioned|specified|stated|disclosed|"
    r"addressed|discussed)\b|\bi\s+(?:don't|do not)\s+know\b|\bnot enough information\b|"
    r"\b(?:there (?:is|was) no|no)\s+(?:\w+ )?(?:information|mention|answer)\b|"
    r"\b(?:nicht|nirgends)\s+(?:erwähnt|genannt|angegeben|beschrieben)\b",
    re.IGNORECASE,
)


def declines(answer: str) -> bool:
    """Whether `answer` says that it has none. An empty one says nothing, and so does not decline."""
    read = 0
    for sentence in _SENTENCE.split(answer.replace("\u2019", "'")):
        told = sentence.strip()
        if not told or _OPENING.match(told):
            continue
        bare = _MARK.sub("", told)
        if _ANYWHERE.search(bare) or (bare == told and _WITHOUT_MARK.search(bare)):
            return True
        read += 1
        if read == _READ:
            break
    return False
