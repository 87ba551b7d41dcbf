"""The quickstart's grammar against German sentences and links written by hand, a phenomenon each."""

import sys

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "recipes" / "quickstart"))

from grammar import LEXICON, links, sentence
from trees import PERFECT, THAT, Both, Clause, NounPhrase, PrepositionalPhrase, Sentence, Subordinate


def row(section, english, particle=None):
    """The row of a word, by its first English form."""
    found = [row for row in LEXICON[section] if row.english == english or row.english.split()[0] == english]
    if particle is not None:
        found = [row for row in found if row.english_particle == particle]
    assert len({row.english for row in found}) == 1, english
    return found[0]


def verb(english, particle=""):
    return row("verbs", english, particle)


def np(determiner, *words, plural=False, number=0, **more):
    *adjectives, noun = words
    determiner = determiner and next(row for row in LEXICON["determiners"] if row.english == determiner)
    (noun,) = [row for row in LEXICON["nouns"] if noun in (row.english, row.english_plural)]
    adjectives = tuple(row("adjectives", adjective) for adjective in adjectives)
    return NounPhrase(noun, plural or noun.english_plural == words[-1], determiner, number, adjectives, **more)


def pp(preposition, *noun_phrase, **more):
    (preposition,) = [row for row in LEXICON["prepositions"] if row.english == preposition]
    return PrepositionalPhrase(preposition, np(*noun_phrase, **more))


def pronoun(english):
    return row("pronouns", english)


def main(*clauses, mark=".", connectors=()):
    return Sentence(clauses, tuple(row("connectors", word) for word in connectors), mark)


def because(*clause, **more):
    return Subordinate(row("conjunctions", "because"), Clause("subordinate", *clause, **more))


def that(*clause, **more):
    return Subordinate(THAT, Clause("subordinate", *clause, **more))


# Everything in this table but the trees was written by hand: phenomenon, English, German, links, tree.
BY_HAND = [
    ("shortest", "he sleeps .", "er schläft .", "0-0 1-1 2-2",
     main(Clause("statement", verb("sleep"), pronoun("he")))),
    ("accusative", "the dog sees the man .", "der Hund sieht den Mann .", "0-0 1-1 2-2 3-3 4-4 5-5",
     main(Clause("statement", verb("see"), np("the", "dog"), object=np("the", "man")))),
    ("dative, and a noun with two forms", "a woman helps the boy .", "eine Frau hilft dem Jungen .",
     "0-0 1-1 2-2 3-3 4-4 5-5", main(Clause("statement", verb("help"), np("a", "woman"), object=np("the", "boy")))),
    ("two objects, adjectives after ein and der", "the old man gives an old child the red apple .",
     "der alte Mann gibt einem alten Kind den roten Apfel .", "0-0 1-1 2-2 3-3 4-4 5-5 6-6 7-7 8-8 9-9 10-10",
     main(Clause("statement", verb("give"), np("the", "old", "man"), indirect=np("a", "old", "child"),
                 object=np("the", "red", "apple")))),
    ("participle at the end, contraction", "they have read books in the garden .",
     "sie haben Bücher im Garten gelesen .", "0-0 1-1 2-5 3-2 4-3 5-3 6-4 7-6",
     main(Clause("statement", verb("read"), pronoun("they"), PERFECT, object=np(None, "books"),
                 place=pp("in", "the", "garden")))),
    ("sein in the perfect", "I have woken up .", "ich bin aufgewacht .", "0-0 1-1 2-2 3-2 4-3",
     main(Clause("statement", verb("wake", "up"), pronoun("I"), PERFECT))),
    ("infinitive at the end", "she must buy a new car today .", "sie muss heute ein neues Auto kaufen .",
     "0-0 1-1 2-6 3-3 4-4 5-5 6-2 7-7",
     main(Clause("statement", verb("buy"), pronoun("she"), "müssen", object=np("a", "new", "car"),
                 time=row("times", "today")))),
    ("separable verb", "my sister calls the teacher .", "meine Schwester ruft den Lehrer an .",
     "0-0 1-1 2-2 2-5 3-3 4-4 5-6",
     main(Clause("statement", verb("call"), np("my", "sister"), object=np("the", "teacher")))),
    ("separable verb, English particle", "we pick up the girl .", "wir holen das Mädchen ab .",
     "0-0 1-1 1-4 2-1 2-4 3-2 4-3 5-5",
     main(Clause("statement", verb("pick", "up"), pronoun("we"), object=np("the", "girl")))),
    ("English particle alone", "they look for this letter .", "sie suchen diesen Brief .", "0-0 1-1 2-1 3-2 4-3 5-4",
     main(Clause("statement", verb("look", "for"), pronoun("they"), object=np("this", "letter")))),
    ("verb-last, separable verb joined", "the cow sleeps because he listens to our doctor .",
     "die Kuh schläft , weil er unserer Ärztin zuhört .", "0-0 1-1 2-2 3-3 3-4 4-5 5-8 6-8 7-6 8-7 9-9",
     main(Clause("statement", verb("sleep"), np("the", "cow"),
                 after=because(verb("listen", "to"), pronoun("he"), object=np("our", "doctor"))))),
    ("verb-last, perfect", "the farmer says that the cats have eaten two eggs .",
     "der Bauer sagt , dass die Katzen zwei Eier gegessen haben .",
     "0-0 1-1 2-2 3-3 3-4 4-5 5-6 6-10 7-9 8-7 9-8 10-11",
     main(Clause("statement", verb("say"), np("the", "farmer"),
                 after=that(verb("eat"), np("the", "cats"), "perfect", object=np(None, "eggs", number=2))))),
    ("that or an object", "a bird hears that he believes the girl .", "ein Vogel hört , dass er dem Mädchen glaubt .",
     "0-0 1-1 2-2 3-3 3-4 4-5 5-8 6-6 7-7 8-9",
     main(Clause("statement", verb("hear"), np("a", "bird"),
                 after=that(verb("believe"), pronoun("he"), object=np("the", "girl"))))),
    ("clause before", "because I am tired , the child stays .", "weil ich müde bin , bleibt das Kind .",
     "0-0 1-1 2-3 3-2 4-4 5-6 6-7 7-5 8-8",
     main(Clause("before", verb("stay"), np("the", "child"),
                 before=because(verb("be"), pronoun("I"), predicate=row("adjectives", "tired"))))),
    ("relative clause", "the lion , which has seen birds , sings .",
     "der Löwe , der Vögel gesehen hat , singt .", "0-0 1-1 2-2 3-3 4-6 5-5 6-4 7-7 8-8 9-9",
     main(Clause("statement", verb("sing"), np("the", "lion", relative=Clause(
         "subordinate", verb("see"), tense=PERFECT, object=np(None, "birds")))))),
    ("relative clause of persons", "women , who laugh , work .", "Frauen , die lachen , arbeiten .",
     "0-0 1-1 2-2 3-3 4-4 5-5 6-6",
     main(Clause("statement", verb("work"), np(None, "women", relative=Clause("subordinate", verb("laugh")))))),
    ("compounds", "the bus driver buys a kitchen table .", "der Busfahrer kauft einen Küchentisch .",
     "0-0 1-1 2-1 3-2 4-3 5-4 6-4 7-5",
     main(Clause("statement", verb("buy"), np("the", "bus driver"), object=np("a", "kitchen table")))),
    ("number", "twenty three small mice wait .", "drei und zwanzig kleine Mäuse warten .",
     "0-1 0-2 1-0 2-3 3-4 4-5 5-6",
     main(Clause("statement", verb("wait"), np(None, "small", "mice", number=23)))),
    ("number below twenty, dative plural", "he works with seventeen students .", "er arbeitet mit siebzehn Studenten .",
     "0-0 1-1 2-2 3-3 4-4 5-5",
     main(Clause("statement", verb("work"), pronoun("he"), company=pp("with", None, "students", number=17)))),
    ("time in front", "this morning the brother often sings .", "heute Morgen singt der Bruder oft .",
     "0-0 1-1 2-3 3-4 4-5 5-2 6-6",
     main(Clause("time first", verb("sing"), np("the", "brother"), often=row("adverbs", "often"),
                 time=row("times", "this morning")))),
    ("place in front", "next to the old church we have waited today .",
     "neben der alten Kirche haben wir heute gewartet .", "0-0 1-0 2-1 3-2 4-3 5-5 6-4 7-7 8-6 9-8",
     main(Clause("place first", verb("wait"), pronoun("we"), PERFECT, time=row("times", "today"),
                 place=pp("next to", "the", "old", "church")))),
    ("time and place at the end", "he reads the newspaper with a friend in our kitchen today .",
     "er liest heute die Zeitung mit einem Freund in unserer Küche .",
     "0-0 1-1 2-3 3-4 4-5 5-6 6-7 7-8 8-9 9-10 10-2 11-11",
     main(Clause("statement", verb("read"), pronoun("he"), object=np("the", "newspaper"), time=row("times", "today"),
                 company=pp("with", "a", "friend"), place=pp("in", "our", "kitchen")))),
    ("question with do", "does the student call a friend ?", "ruft der Student einen Freund an ?",
     "0-0 0-5 1-1 2-2 3-0 3-5 4-3 5-4 6-6",
     main(Clause("question", verb("call"), np("the", "student"), object=np("a", "friend")), mark="?")),
    ("question", "can the horses always be hungry ?", "können die Pferde immer hungrig sein ?",
     "0-0 1-1 2-2 3-3 4-5 5-4 6-6",
     main(Clause("question", verb("be"), np("the", "horses"), "können", row("adjectives", "hungry"),
                 often=row("adverbs", "always")), mark="?")),
    ("coordination", "the cat and the dog wake up , but she stays .",
     "die Katze und der Hund wachen auf , aber sie bleibt .",
     "0-0 1-1 2-2 3-3 4-4 5-5 5-6 6-5 6-6 7-7 8-8 9-9 10-10 11-11",
     main(Clause("statement", verb("wake", "up"), Both(np("the", "cat"), np("the", "dog"))),
          Clause("statement", verb("stay"), pronoun("she")), connectors=["but"])),
    ("owner", "we find the key of the young neighbour .", "wir finden den Schlüssel von der jungen Nachbarin .",
     "0-0 1-1 2-2 3-3 4-4 5-5 6-6 7-7 8-8",
     main(Clause("statement", verb("find"), pronoun("we"),
                 object=np("the", "key", owner=np("the", "young", "neighbour"))))),
]  # fmt: skip


@pytest.mark.parametrize(("english", "german", "alignment", "tree"), [case[1:] for case in BY_HAND],
                         ids=[case[0] for case in BY_HAND])  # fmt: skip
def test_sentences_and_links_written_by_hand(english, german, alignment, tree):
    pair = sentence(tree)
    assert " ".join(word.text for word in pair.en) == english
    assert " ".join(word.text for word in pair.de) == german
    assert " ".join(f"{i}-{j}" for i, j in links(pair)) == alignment
