"""The vocabulary of the sample corpus: plain words, words of emotion, and invented words that no lexicon knows."""

PLAIN = tuple(
    """
    a about after again all and any at away back because before book bring but by call car chair city come day did
    door down every find for friend from get give go good hand has have he hear help her here his home house how i
    in into is it just keep kitchen know last leave letter like little long look make many me meet money morning
    most my name never new night no not now of office old on one only open or other our out over paper people phone
    place put read room said same say school see she so some something station still street table take talk tell
    than that the their them then there they thing think this time to today told tomorrow town train two under up
    us wait walk want was water way we week well were what when where which who will window with work would year
    yes yesterday you your
    """.split()
)
"""Common English words that name no emotion."""


EMOTION_WORDS = {
    emotion: tuple(words.split())
    for emotion, words in {
        "neutral": "calm fine normal ordinary quiet steady usual settled even routine okay plain",
        "angry": "angry furious mad annoyed irritated outraged rage hate hostile resentful bitter fuming",
        "happy": "happy glad joyful delighted cheerful pleased excited wonderful smiling grateful merry proud",
        "sad": "sad unhappy sorrow crying grief lonely miserable tearful gloomy heartbroken hopeless mourning",
        "worried": "worried anxious nervous afraid uneasy tense concerned fearful troubled doubtful restless scared",
        "surprise": "surprised amazed astonished shocked sudden unexpected startled stunned speechless incredible",
    }.items()
}
"""Words of each emotion, in MER's order."""

NAMES = ("neutral", "angry", "happy", "sad", "worried", "surprised")
"""What someone who may use any word calls each emotion, in the same order."""

SHADES = {
    emotion: (tuple(lower.split()), tuple(higher.split()))
    for emotion, (lower, higher) in {
        "neutral": ("serious indifferent neutral bored", "calm composed attentive neutral"),
        "angry": ("furious outraged hateful aggressive", "annoyed dissatisfied impatient frustrated"),
        "happy": ("content relieved amused grateful", "joyful excited delighted proud"),
        "sad": ("desperate miserable hopeless lonely", "disappointed hurt regretful tired"),
        "worried": ("afraid panicked terrified desperate", "nervous concerned uncertain hesitant"),
        "surprise": ("shocked confused stunned disbelieving", "astonished amazed curious excited"),
    }.items()
}
"""Words for an emotion of lower and of higher valence than it has on average."""

KNOWN = tuple(sorted({*PLAIN, *(word for words in EMOTION_WORDS.values() for word in words)}))
"""Every real word of the corpus."""

_ONSETS = ("bl", "dr", "fr", "gl", "kr", "pl", "sk", "thr", "tr", "v", "z")
_NUCLEI = ("ai", "e", "ou", "u")
_MIDDLES = ("lv", "mb", "ndr", "rk", "zz")
_ENDINGS = ("ax", "ix", "ook", "oth", "uv")

INVENTED = tuple(
    f"{onset}{nucleus}{middle}{ending}"
    for onset in _ONSETS
    for nucleus in _NUCLEI
    for middle in _MIDDLES
    for ending in _ENDINGS
)
"""1,100 words that sound like English and mean nothing."""
