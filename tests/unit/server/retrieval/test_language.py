import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.retrieval.language import guess, script

TEXTS = {
    "en": "How many days of leave do I have left when I change to part time in the middle of the year?",
    "de": "Wie viele Urlaubstage habe ich noch, wenn ich mitten im Jahr in Teilzeit wechsle?",
    "fr": "Combien de jours de congé me reste-t-il si je passe à temps partiel au milieu de l'année ?",
    "es": "¿Cuántos días de vacaciones me quedan si cambio a tiempo parcial a mitad de año?",
    "it": "Quanti giorni di ferie mi restano se passo al tempo parziale a metà dell'anno?",
    "pt": "Quantos dias de férias me restam se eu mudar para meio período no meio do ano?",
    "nl": "Hoeveel vakantiedagen heb ik nog als ik halverwege het jaar in deeltijd ga werken?",
    "sv": "Hur många semesterdagar har jag kvar om jag går ner till deltid mitt i året?",
    "pl": "Ile dni urlopu mi zostanie, jeśli w połowie roku przejdę na pół etatu?",
    "tr": "Yılın ortasında yarı zamanlı çalışmaya geçersem ne kadar izin günüm kalır ve bu nasıl olur?",
    "vi": "Tôi còn bao nhiêu ngày nghỉ phép nếu chuyển sang làm bán thời gian vào giữa năm?",
    "ru": "Сколько дней отпуска у меня останется, если я перейду на неполный рабочий день?",
    "uk": "Скільки днів відпустки в мене залишиться, якщо я перейду на неповний робочий день посеред року?",
    "el": "Πόσες ημέρες άδειας μου απομένουν αν αλλάξω σε μερική απασχόληση;",
    "ar": "كم يوما من الإجازة يتبقى لي إذا انتقلت إلى الدوام الجزئي في منتصف العام؟",
    "fa": "اگر در نیمه سال به کار پاره‌وقت تغییر دهم، چند روز مرخصی برایم باقی می‌ماند؟",
    "he": "כמה ימי חופשה נשארו לי אם אעבור למשרה חלקית באמצע השנה?",
    "hi": "यदि मैं वर्ष के मध्य में अंशकालिक काम करूं तो मेरी कितनी छुट्टियां बचेंगी?",
    "zh": "如果我在年中改为兼职，还剩下多少天假期？",
    "ja": "年の途中でパートタイムに変更した場合、有給休暇は何日残りますか。",
    "ko": "연중에 시간제로 바꾸면 휴가가 며칠 남나요?",
    "th": "ถ้าฉันเปลี่ยนเป็นพนักงานพาร์ตไทม์กลางปีจะเหลือวันลากี่วัน",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_sentence_tells_its_language(language: str) -> None:
    assert guess(TEXTS[language]) == language


@pytest.mark.parametrize("text", ["", "   ", "42", "ERR_CONN_42", "Kubernetes", "💪🎉", "---"])
def test_unsure_is_empty(text: str) -> None:
    assert guess(text) == ""


def test_a_few_foreign_words_do_not_turn_it() -> None:
    assert guess("The paper by 山田 and Müller says that the word 梅雨 is of Chinese origin.") == "en"
    assert guess("Das Meeting with the customer ist auf Montag verschoben, und alle sind dabei.") == "de"
    assert guess("Hồ Chí Minh wurde in der Provinz geboren und ist dort sehr bekannt.") == "de"
    assert guess("OpenAI は新しい API と SDK を公開しました") == "ja"


@given(st.text())
def test_any_text_has_a_guess(text: str) -> None:
    assert len(guess(text)) in (0, 2)
    assert isinstance(script(text), str)
