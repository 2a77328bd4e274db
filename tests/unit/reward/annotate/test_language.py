"""Languages: long enough texts are told, doubtful ones are left undetermined."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.reward.annotate import language

SENTENCES = {
    "en": "The weather was lovely this morning, so we walked along the river.",
    "fr": "Le temps était magnifique ce matin, alors nous avons marché le long de la rivière.",
    "es": "El tiempo era precioso esta mañana, así que caminamos a lo largo del río.",
    "ru": "Сегодня утром была прекрасная погода, и мы пошли гулять вдоль реки.",
    "zh": "今天早上天气很好，所以我们沿着河边散步。",
    "ja": "今朝は天気がとても良かったので、川沿いを散歩しました。",
    "ar": "كان الطقس جميلا هذا الصباح، لذلك مشينا على طول النهر.",
    "tr": "Bu sabah hava çok güzeldi, bu yüzden nehir boyunca yürüdük.",
}


def rows(prompt, chosen="Yes.", rejected="No."):
    return pl.DataFrame({"prompt": [prompt], "chosen": [chosen], "rejected": [rejected]})


@pytest.mark.parametrize("code", SENTENCES)
def test_sentences(code):
    assert language.language_of(SENTENCES[code], 0.5) == code


@pytest.mark.parametrize("text", ["", "42", "$$1 + 1 = 2$$", "?!", "Ja", "🙂🙂"])
def test_what_cannot_be_told_is_undetermined(text):
    assert language.language_of(text, 0.5) == language.UNKNOWN


def test_the_users_turns_are_the_prompt():
    turns = [
        ("system", SENTENCES["en"] * 2),
        ("user", SENTENCES["fr"]),
        ("assistant", SENTENCES["ru"] * 2),
        ("user", SENTENCES["fr"]),
    ]
    prompt = [{"role": role, "content": text} for role, text in turns]
    assert language.annotate(rows(prompt), language.Config())["language.prompt"].to_list() == ["fr"]


def test_only_the_first_characters_are_read():
    frame = rows([{"role": "user", "content": "Hi"}], SENTENCES["fr"] + SENTENCES["ru"] * 5)
    config = language.Config(characters=len(SENTENCES["fr"]))
    assert language.annotate(frame, config)["language.chosen"].to_list() == ["fr"]


@pytest.mark.parametrize("config", [language.Config(characters=0), language.Config(least=1.5)])
def test_settings_out_of_range_are_refused(config):
    with pytest.raises(BadInput, match="language: characters="):
        language.annotate(rows([]), config)


@settings(max_examples=40)
@given(st.text(max_size=60))
def test_any_text_gets_a_code_and_the_same_one_again(text):
    code = language.language_of(text, 0.5)
    assert code.isascii()
    assert 2 <= len(code) <= 3
    assert language.language_of(text, 0.5) == code
    assert language.language_of(text, 1.1) == language.UNKNOWN
