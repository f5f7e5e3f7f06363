"""Which answers decline: our own wording, models' wording in several languages, and answers that only sound like it."""

import pytest

from rungwise_server.judging.declines import declines

DECLINES = [
    "The documents I may read for you do not answer this.",
    "Die Dokumente, die ich für dich lesen darf, beantworten das nicht.",
    "Les documents que je peux lire pour vous ne répondent pas à cette question.",
    "Los documentos que puedo leer para usted no responden a esta pregunta.",
    "閲覧を許可されている文書には、この質問への答えがありません。",
    "我可以为您查阅的文档中没有这个问题的答案。",
    "I'm sorry, but I couldn’t find any information about parking in the provided documents.",
    "Unfortunately, the passages don't mention the CEO's salary. The closest is the pay scale [2].",
    "The provided context does not specify this.",
    "There is no information about that in the documents [1].",
    "This cannot be answered from the passages.",
    "I don't know.",
    "I am unable to answer this from the sources I was given.",
    "The hotel limit for Oslo is not mentioned.",
    "Based on the passages, no information is given about parental leave in Osaka.",
    "Leider enthalten die Unterlagen dazu keine Angaben.",
    "Aus den Textstellen geht das nicht hervor.",
    "Dazu kann ich anhand der Dokumente nichts sagen.",
    "Je ne trouve aucune information à ce sujet dans les documents.",
    "No dispongo de información sobre ese tema.",
    "提供された資料には該当する記載がありません。",
    "申し訳ありませんが、その情報は見つかりませんでした。",
    "根据提供的文档,没有提到这个信息。",
    "文件中沒有相關資訊。",
    "无法根据现有资料回答这个问题。",
    "I documenti non menzionano questo aspetto.",
    "Os documentos não mencionam esse valor.",
    "De documenten bevatten hierover geen informatie.",
]
ANSWERS = [
    "",
    "28 days [1].",
    "No. Unused leave is not paid out [3].",
    "Breakfast is not included in the price [2].",
    "You cannot find your own replacement; ask your manager [1].",
    "The hotel limit is 170 GBP a night [1]. It covers London. The documents do not say what holds in Oslo.",
    "Employees do not need a receipt below 10 GBP [4].",
    "Nein, der Akku ist nicht im Preis enthalten [2].",
    "Resturlaub verfällt nicht vor dem 30. Juni [1].",
    "Non, les vélos ne sont pas assurés [1].",
    "No, la batería no está incluida [2].",
    "返品はできません[1]。",
    "不可以,电池不包含在内[2]。",
    "Documents must be kept for ten years [2].",
    "The information desk is open from 9 to 17 [1].",
]


@pytest.mark.parametrize("answer", DECLINES)
def test_says_that_it_has_none(answer: str) -> None:
    assert declines(answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_is_an_answer(answer: str) -> None:
    assert not declines(answer)
