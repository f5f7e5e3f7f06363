"""What meets what: a query and a passage share a term, or do not."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.types import SparseVector

ENCODER = Bm25Encoder()


def score(query: str, passage: str, language: str = "") -> float:
    """The BM25 score with every IDF one."""
    wanted, held = ENCODER.query(query), ENCODER.passage(passage, language)
    weights = dict(zip(held.indices, held.values, strict=True))
    return sum(value * weights.get(term, 0.0) for term, value in zip(wanted.indices, wanted.values, strict=True))


@pytest.mark.parametrize(
    ("query", "passage"),
    [
        ("refunds", "The refund is paid when the order was cancelled."),
        ("Wie hoch sind die Rückerstattungen?", "Die Rückerstattung wird mit der nächsten Rechnung verrechnet."),
        ("Rückerstattungen", "Die Rückerstattung wird mit der nächsten Rechnung verrechnet."),
        ("les remboursements", "Le remboursement est versé dans les dix jours qui suivent la demande."),
        ("reembolsos", "El reembolso se paga en los diez días que siguen a la solicitud."),
        ("возвраты", "Возврат денег будет сделан в течение десяти дней, если вы этого хотите."),
        ("muller", "Herr Müller ist für die Rechnungen zuständig."),
        ("Müller", "Herr Muller ist für die Rechnungen zuständig."),
        ("Strasse", "Die Straße ist gesperrt."),
        ("résumé", "Please send your resume with the application."),
        ("ERR_CONN_42", "The log says ERR_CONN_42 and stops."),
        ("err_conn_42", "The log says ERR_CONN_42 and stops."),
        ("42", "The log says ERR_CONN_42 and stops."),
        ("conn", "The log says ERR_CONN_42 and stops."),
        ("v1.2.3", "Since v1.2.3 this is the default."),
        ("connection pool size", "Set maxConnectionPoolSize to 10."),
        ("maxConnectionPoolSize", "max_connection_pool_size = 10"),
        ("snake", "def snake_case_name():"),
        ("http server", "class HTTPServer:"),
        ("e-mail", "Write an email."),
        ("IL6", "Levels of IL-6 were raised."),
        ("10000", "It costs 10,000 euros."),
        ("IT", "The IT department helps."),
        ("ana@example.com", "Mail to ana@example.com for help."),
        ("有給", "年次有給休暇は入社日に付与される。"),
        ("梅", "梅雨は五月から七月。"),
        ("梅雨", "梅"),
        ("휴가", "연차 휴가는 15일이다."),
        ("วันหยุด", "พนักงานมีวันหยุดสิบวัน"),
        ("छुट्टियां", "हर साल बीस छुट्टियां मिलती हैं।"),
        ("API の制限", "The API has limits."),
        ("カナ", "ﾊﾝｶｸｶﾅ"),
        ("ﬁnance", "finance"),
        ("the", "the the the"),
    ],
)
def test_a_query_meets_a_passage(query: str, passage: str) -> None:
    assert score(query, passage) > 0


@pytest.mark.parametrize(
    ("query", "passage"),
    [
        ("refund", "Moss grows on the north side."),
        ("what is the", "Moss is what grows on the north side of the tree."),
        ("die und der", "Die Rückerstattung und der Antrag sind nicht hier."),
        ("東京", "大阪"),
        ("it", "It is late."),
        ("", "anything"),
    ],
)
def test_a_query_misses_a_passage(query: str, passage: str) -> None:
    assert score(query, passage) == 0


def test_a_wrong_language_still_finds_the_word_itself() -> None:
    for language in ("de", "fr", "hu", "", "xx", "ru"):
        assert score("running refunds quickly", "running refunds quickly", language) > 0


def test_the_language_that_is_asked_in_counts_most() -> None:
    english, hungarian = "How are the universities doing?", "Die Universitäten sind wie immer."
    assert score("universities of the world", english, "en") > score("universities of the world", hungarian, "de")


def test_all_of_a_name_is_better_than_its_parts() -> None:
    assert score("ERR_CONN_42", "ERR_CONN_42") > score("ERR_CONN_42", "err 42 and conn")


def test_more_often_is_more_and_longer_is_less() -> None:
    assert score("refund", "refund refund") > score("refund", "refund")
    assert score("refund", "refund " * 400) < 3 * score("refund", "refund")
    assert score("refund", "refund " + "moss " * 400) < score("refund", "refund moss")


def test_term_ids_are_those_of_yesterday() -> None:
    vector = ENCODER.passage("Refund 梅雨 ERR_42")
    assert sorted(vector.indices) == [308272061, 332024374, 841265288, 1295270119, 1406000324, 1529615448, 1917745534]


def test_endless_queries_are_cut() -> None:
    assert len(ENCODER.query(" ".join(f"word{n}" for n in range(100_000))).indices) < 5000


def test_threads_do_not_disturb_each_other() -> None:
    texts = [f"universities{n} running{n} generalisations{n} Rückerstattungen{n}" for n in range(100)]
    texts += ["universities running generalisations ties " + "abcdefgh"[n % 8] * n for n in range(100)]
    alone = [Bm25Encoder().passage(text, "en") for text in texts]
    together = Bm25Encoder()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: together.passage(text, "en"), texts)) == alone


@given(st.text(), st.sampled_from(["", "en", "de", "ja", "vi", "zz"]))
def test_any_text_makes_a_sparse_vector(text: str, language: str) -> None:
    for vector in (ENCODER.passage(text, language), ENCODER.query(text)):
        check(vector)


@given(st.text(min_size=1, alphabet=st.characters(categories=["L", "N"]), max_size=20))
def test_every_word_finds_itself(word: str) -> None:
    if ENCODER.passage(word).indices:
        assert score(word, word) > 0


def check(vector: SparseVector) -> None:
    assert len(vector.indices) == len(vector.values) == len(set(vector.indices))
    assert all(0 <= index < 1 << 32 for index in vector.indices)
    assert all(math.isfinite(value) and value > 0 for value in vector.values)
