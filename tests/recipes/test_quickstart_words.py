"""The quickstart's words: endings against a grammar book, what governs what, and mistakes in the lexicon."""

import itertools
import re
import sys

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "recipes" / "quickstart"))

import lexicon
from grammar import LEXICON, ORDERS, noun_phrase, number_pair, sentence
from sampler import Sampler
from trees import NounPhrase

# Gender of every noun, from a dictionary, not from the lexicon.
MASCULINE = """Mann Junge Lehrer Freund Student Bruder Bauer Busfahrer Hund Vogel Löwe Apfel Kuchen Apfelkuchen Brief
Stuhl Tisch Küchentisch Wintermantel Schlüssel Garten Wald Bahnhof Baum Apfelbaum"""
FEMININE = """Frau Ärztin Nachbarin Schwester Tochter Katze Kuh Maus Wurst Zeitung Lampe Tasse Kaffeetasse Schule Kirche
Küche Brücke"""
NEUTER = "Kind Mädchen Pferd Ei Buch Schulbuch Auto Messer Haus Dorf Gartentor"
# The paradigms of "alt" as a grammar book prints them: masculine, feminine, neuter, plural; "." stands for the noun.
PARADIGMS = {
    ("the", "nom"): "der alte . | die alte . | das alte . | die alten .",
    ("the", "dat"): "dem alten . | der alten . | dem alten . | den alten .",
    ("the", "acc"): "den alten . | die alte . | das alte . | die alten .",
    ("this", "nom"): "dieser alte . | diese alte . | dieses alte . | diese alten .",
    ("this", "dat"): "diesem alten . | dieser alten . | diesem alten . | diesen alten .",
    ("this", "acc"): "diesen alten . | diese alte . | dieses alte . | diese alten .",
    ("every", "nom"): "jeder alte . | jede alte . | jedes alte .",
    ("every", "dat"): "jedem alten . | jeder alten . | jedem alten .",
    ("every", "acc"): "jeden alten . | jede alte . | jedes alte .",
    ("a", "nom"): "ein alter . | eine alte . | ein altes .",
    ("a", "dat"): "einem alten . | einer alten . | einem alten .",
    ("a", "acc"): "einen alten . | eine alte . | ein altes .",
    ("my", "nom"): "mein alter . | meine alte . | mein altes . | meine alten .",
    ("my", "dat"): "meinem alten . | meiner alten . | meinem alten . | meinen alten .",
    ("my", "acc"): "meinen alten . | meine alte . | mein altes . | meine alten .",
    ("our", "nom"): "unser alter . | unsere alte . | unser altes . | unsere alten .",
    ("our", "dat"): "unserem alten . | unserer alten . | unserem alten . | unseren alten .",
    ("our", "acc"): "unseren alten . | unsere alte . | unser altes . | unsere alten .",
    (None, "nom"): "| | | alte .",
    (None, "dat"): "| | | alten .",
    (None, "acc"): "| | | alte .",
}
# All other forms of nouns that are not the first one.
DATIVE_PLURALS = """Männern Frauen Kindern Jungen Mädchen Lehrern Ärztinnen Freunden Nachbarinnen Studenten Brüdern
Schwestern Töchtern Bauern Busfahrern Hunden Katzen Vögeln Pferden Kühen Mäusen Löwen Äpfeln Kuchen Eiern Würsten
Apfelkuchen Büchern Briefen Zeitungen Schulbüchern Autos Stühlen Lampen Tischen Küchentischen Tassen Kaffeetassen
Wintermänteln Schlüsseln Messern Häusern Schulen Kirchen Gärten Küchen Wäldern Dörfern Bahnhöfen Bäumen Apfelbäumen
Brücken Gartentoren"""
WEAK_NOUNS = {"Junge": "Jungen", "Student": "Studenten", "Bauer": "Bauern", "Löwe": "Löwen"}


(OLD,) = [adjective for adjective in LEXICON["adjectives"] if adjective.english == "old"]


def phrases(adjectives):
    """Every noun with every determiner that goes with it, in both numbers."""
    for noun, determiner in itertools.product(LEXICON["nouns"], [*LEXICON["determiners"], None]):
        for plural in (False, True):
            if plural if determiner is None else not plural or determiner.english_plural:
                yield NounPhrase(noun, plural, determiner, adjectives=adjectives)


def test_every_ending_of_every_noun_phrase_against_a_grammar_book():
    genders = {noun: gender for gender, nouns in enumerate((MASCULINE, FEMININE, NEUTER)) for noun in nouns.split()}
    assert sorted(genders) == sorted(noun.german.split()[0] for noun in LEXICON["nouns"])
    seen = set()
    for phrase, case in itertools.product(phrases((OLD,)), ("nom", "dat", "acc")):
        name = phrase.noun.german.split()[0]
        paradigm = PARADIGMS[phrase.determiner and phrase.determiner.english, case].split("|")
        *expected, dot = paradigm[3 if phrase.plural else genders[name]].split()
        *found, noun = [word.text for word in noun_phrase(phrase, case).de]
        assert found == expected and dot == ".", (found, expected)
        if phrase.plural and case == "dat":
            assert noun in DATIVE_PLURALS.split()
        elif phrase.plural:
            assert noun in DATIVE_PLURALS.split() or noun + "n" in DATIVE_PLURALS.split()
        else:
            assert noun == (name if case == "nom" else WEAK_NOUNS.get(name, name))
        seen.add((phrase.determiner and phrase.determiner.english, case))
    assert seen == set(PARADIGMS)


def test_what_governs_which_case():
    prepositions = {preposition.german: preposition.case for preposition in LEXICON["prepositions"]}
    assert prepositions == {"mit": "dat", "ohne": "acc", "für": "acc", "in": "dat", "hinter": "dat", "neben": "dat",
                            "unter": "dat", "von": "dat"}  # fmt: skip
    datives = {
        row.german_particle + row.german_form("infinitive")
        for row in LEXICON["verbs"]
        if row.objects in ("dat", "dat that")
    }
    assert datives == {"helfen", "danken", "zuhören", "glauben"}
    with_sein = {
        row.german_particle + row.german_form("infinitive") for row in LEXICON["verbs"] if row.perfect == "sein"
    }
    assert with_sein == {"sein", "bleiben", "ankommen", "aufwachen"}


def test_numbers_from_2_to_99():
    teens = "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn".split()
    ones = "- ein zwei drei vier fünf sechs sieben acht neun".split()
    tens = "- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
    for value in range(2, 100):
        ten, one = divmod(value, 10)
        expected = ones[one] if ten == 0 else teens[one] if ten == 1 else f"{ones[one]} und {tens[ten]}"
        found = [word.text for word in number_pair(value).de]
        assert found == (tens[ten] if one == 0 and ten > 1 else expected).split()


def test_word_orders_have_the_same_constituents():
    constituents = {"time", "subject", "often", "predicate", "indirect", "object", "company", "place", "after"}
    for name, (english, german) in ORDERS.items():
        expected = constituents | ({"before"} if name == "before" else set())
        assert sorted(english.split()) == sorted(expected | {"helper", "verb"}), name
        assert sorted(german.split()) == sorted(expected | {"finite", "end"}), name


def test_translation_is_a_function_both_ways():
    """No noun phrase of a case, and no sentence, has two translations."""
    adjectives = [(), *((adjective,) for adjective in LEXICON["adjectives"])]
    for case in ("nom", "dat", "acc"):
        pairs = [noun_phrase(phrase, case) for phrase in itertools.chain(*map(phrases, adjectives))]
        english, german = ({tuple(word.text for word in words) for words in side} for side in zip(*pairs))
        assert len(english) == len(german) == len(pairs)
    sampler, to_german, to_english = Sampler(7), {}, {}
    for number in range(15000):
        pair = sentence(sampler.sentence(1 + number // 12000))
        english, german = (" ".join(word.text for word in words) for words in pair)
        assert to_german.setdefault(english, german) == german
        assert to_english.setdefault(german, english) == english
    assert len(to_german) < 15000  # some did come twice


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("man | men | m |", "man | men |", "a row of [nouns] has 6 columns, not 5"),
        ("man | men | m |", "man | men | masculine |", "gender is one of m, f, n, not 'masculine'"),
        ("see sees seen", "see sees saw had seen oh", "english has 3 or 5 words, not 6"),
        ("[verbs]", "[verb]", "no section [verb]; there are nouns"),
        ("[nouns]", "", "a row before the first [section]"),
        (
            "| haben | acc | person | food text thing",
            "| haben | acc | person | drink",
            "goes with the kind drink, but [nouns] has none of it",
        ),
        ("today | heute", "today | am Tage", "a time has as many words in both languages"),
    ],
)
def test_mistakes_in_the_lexicon_get_one_line(tmp_path, old, new, message):
    path = tmp_path / "lexicon.txt"
    text = lexicon.LEXICON.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SystemExit, match=f"^{re.escape(str(path))}(:[0-9]+)?: .*{re.escape(message)}"):
        lexicon.read_lexicon(path)
