"""The synchronous grammar turns one tree into an English and a German sentence and the links between their words.

Every builder returns a pair, the words of both languages. Each word carries the keys of what it expresses, and two
words that share a key are linked.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from lexicon import STRONG, WEAK, Pronoun, read_lexicon
from trees import PERFECT, PRESENT, Both, Clause, NounPhrase, PrepositionalPhrase, Sentence, Subordinate

LEXICON = read_lexicon()
HELPERS = {helper.infinitive: helper for helper in LEXICON["helpers"]}
NUMBERS = {int(number.value): number for number in LEXICON["numbers"]}
CONTRACTIONS = {(row.preposition, row.article): row.german for row in LEXICON["contractions"]}
DEFINITE = next(row for row in LEXICON["determiners"] if row.like == "der")
OF = next(row for row in LEXICON["prepositions"] if row.slot == "owner")
# The slots of a clause in both languages. "finite" is the German verb that agrees, "end" the rest of it: a particle, a
# participle, an infinitive. "helper" is the English verb that stands before "often", "verb" the rest of it.
ORDERS = {
    "statement": (
        "subject helper often verb predicate indirect object company place time after",
        "subject finite time often indirect object company place predicate end after",
    ),
    "time first": (
        "time subject helper often verb predicate indirect object company place after",
        "time finite subject often indirect object company place predicate end after",
    ),
    "place first": (
        "place subject helper often verb predicate indirect object company time after",
        "place finite subject time often indirect object company predicate end after",
    ),
    "before": (
        "before subject helper often verb predicate indirect object company place time after",
        "before finite subject time often indirect object company place predicate end after",
    ),
    "question": (
        "helper subject often verb predicate indirect object company place time after",
        "finite subject time often indirect object company place predicate end after",
    ),
    "subordinate": (
        "subject helper often verb predicate indirect object company place time after",
        "subject time often indirect object company place predicate end finite after",
    ),
}


class Word(NamedTuple):
    """A word is held with the keys of what it expresses."""

    text: str
    keys: Tuple[object, ...]


class Pair(NamedTuple):
    """A pair holds the words of both languages."""

    en: List[Word]
    de: List[Word]


def linked(english: str, german: str) -> Pair:
    """Makes words of both languages, every one linked with every one of the other language."""
    key = object()
    return Pair([Word(text, (key,)) for text in english.split()], [Word(text, (key,)) for text in german.split()])


def joined(*pairs: Pair) -> Pair:
    """Puts pairs one after the other in both languages."""
    return Pair([word for pair in pairs for word in pair.en], [word for pair in pairs for word in pair.de])


def number_pair(value: int) -> Pair:
    """Builds a number from 2 to 99: "twenty three" is "drei und zwanzig", and "und" belongs to the tens."""
    if value in NUMBERS:
        return linked(NUMBERS[value].english, NUMBERS[value].german)
    one, ten = NUMBERS[value % 10], NUMBERS[value - value % 10]
    ones, tens = linked(one.english, one.german), linked(ten.english, f"und {ten.german}")
    return Pair(tens.en + ones.en, ones.de + tens.de)


def noun_phrase(phrase: Union[NounPhrase, Both], case: str) -> Pair:
    """Builds a noun phrase, whose German side is in a case."""
    if isinstance(phrase, Both):
        return joined(noun_phrase(phrase.first, case), linked("and", "und"), noun_phrase(phrase.second, case))
    noun, determiner = phrase.noun, phrase.determiner
    gender = "p" if phrase.plural else noun.gender
    parts, ending = [], STRONG[case][gender]
    if determiner is not None:
        article_ending = determiner.ending(case, gender)
        english = determiner.english_plural if phrase.plural else determiner.english
        parts.append(linked(english, determiner.german + article_ending))
        if article_ending:
            ending = WEAK[case][gender]
    if phrase.number:
        parts.append(number_pair(phrase.number))
    for adjective in phrase.adjectives:
        parts.append(linked(adjective.english, adjective.german.rstrip("e") + ending))
    parts.append(linked(noun.english_plural if phrase.plural else noun.english, noun.decline(phrase.plural, case)))
    if phrase.owner is not None:
        parts.append(prepositional_phrase(PrepositionalPhrase(OF, phrase.owner)))
    if phrase.relative is not None:
        parts.append(relative_clause(phrase))
    pair = joined(*parts)
    if pair.en[0].text == "a" and pair.en[1].text[0] in "aeiou":
        pair.en[0] = pair.en[0]._replace(text="an")
    return pair


def relative_clause(phrase: NounPhrase) -> Pair:
    """Builds a relative clause with its commas; the relative pronoun is the definite article's nominative."""
    gender = "p" if phrase.plural else phrase.noun.gender
    english = "who" if "person" in phrase.noun.kinds.split() else "which"
    pronoun = linked(english, DEFINITE.german + DEFINITE.ending("nom", gender))
    form = "plural" if phrase.plural else "third"
    return joined(linked(",", ","), clause(phrase.relative, (pronoun, form)), linked(",", ","))


def prepositional_phrase(phrase: PrepositionalPhrase) -> Pair:
    """Builds a preposition and its noun phrase; where German contracts ("in dem" is "im"), the word has both keys."""
    preposition = linked(phrase.preposition.english, phrase.preposition.german)
    noun = noun_phrase(phrase.noun_phrase, phrase.preposition.case)
    both = (phrase.preposition.german, noun.de[0].text)
    if both not in CONTRACTIONS:
        return joined(preposition, noun)
    contracted = Word(CONTRACTIONS[both], preposition.de[0].keys + noun.de[0].keys)
    return Pair(preposition.en + noun.en, [contracted] + noun.de[1:])


def verb_slots(tree: Clause, form: str) -> Dict[str, Pair]:
    """Fills the slots of a clause that a verb takes: helper and verb (English), finite and end (German)."""
    verb, particle = tree.verb, tree.verb.german_particle
    english_particle = f" {verb.english_particle}"
    if tree.tense == PRESENT:
        english = verb.english_form(form)
        first, rest = "", english + english_particle
        if verb.objects == "predicate":
            first, rest = english, ""
        elif tree.order == "question":
            first, rest = ("does" if form == "third" else "do"), verb.english_form("infinitive") + english_particle
        finite, end = verb.german_form(form), particle
        if tree.order == "subordinate":
            finite, end = particle + finite, ""
        pair = linked(f"{first} {rest}", f"{finite} {end}")
        helpers = len(first.split())
        return {"helper": Pair(pair.en[:helpers], []), "verb": Pair(pair.en[helpers:], []),
                "finite": Pair([], pair.de[:1]), "end": Pair([], pair.de[1:])}  # fmt: skip
    perfect = tree.tense == PERFECT
    helper = linked(*HELPERS[verb.perfect if perfect else tree.tense].finite(form))
    which = "participle" if perfect else "infinitive"
    main = linked(verb.english_form(which) + english_particle, particle + verb.german_form(which))
    return {"helper": Pair(helper.en, []), "verb": Pair(main.en, []),
            "finite": Pair([], helper.de), "end": Pair([], main.de)}  # fmt: skip


def subordinate(phrase: Subordinate) -> Pair:
    """Builds a conjunction and its clause, without a comma."""
    return joined(linked(phrase.conjunction.english, phrase.conjunction.german), clause(phrase.clause))


def after(phrase: Subordinate) -> Pair:
    """Builds a subordinate clause at the end: German has a comma, which belongs to the conjunction."""
    pair = subordinate(phrase)
    return Pair(pair.en, [Word(",", pair.de[0].keys)] + pair.de)


def clause(tree: Clause, relative: Optional[Tuple[Pair, str]] = None) -> Pair:
    """Builds a clause.

    Args:
        tree: the clause; only that of a relative clause has no subject
        relative: its relative pronoun, and the verb form that agrees with what that stands for

    Returns:
        the words, ordered as ORDERS says
    """
    slots = {name: Pair([], []) for names in ORDERS["before"] for name in names.split()}
    if relative is not None:
        slots["subject"], form = relative
    elif isinstance(tree.subject, Pronoun):
        slots["subject"], form = linked(tree.subject.english, tree.subject.german), tree.subject.form
    else:
        slots["subject"], form = noun_phrase(tree.subject, "nom"), "plural"
        if isinstance(tree.subject, NounPhrase) and not tree.subject.plural:
            form = "third"
    slots.update(verb_slots(tree, form))
    cases = [case for case in tree.verb.objects.split() if case in STRONG]
    if tree.indirect is not None:
        slots["indirect"] = noun_phrase(tree.indirect, cases[0])
    if tree.object is not None:
        slots["object"] = noun_phrase(tree.object, cases[-1])
    if tree.predicate is not None:
        slots["predicate"] = linked(tree.predicate.english, tree.predicate.german)
    if tree.often is not None:
        slots["often"] = linked(tree.often.english, tree.often.german)
    if tree.time is not None:
        slots["time"] = joined(*map(linked, tree.time.english.split(), tree.time.german.split()))
    for name, phrase in (("company", tree.company), ("place", tree.place)):
        if phrase is not None:
            slots[name] = prepositional_phrase(phrase)
    if tree.before is not None:
        slots["before"] = joined(subordinate(tree.before), linked(",", ","))
    if tree.after is not None:
        slots["after"] = after(tree.after)
    english, german = ORDERS[tree.order]
    return Pair(
        [word for name in english.split() for word in slots[name].en],
        [word for name in german.split() for word in slots[name].de],
    )


def sentence(tree: Sentence) -> Pair:
    """Builds a sentence of the corpus."""
    parts = [clause(tree.clauses[0])]
    for connector, main_clause in zip(tree.connectors, tree.clauses[1:]):
        parts += [linked(",", ","), linked(connector.english, connector.german), clause(main_clause)]
    return joined(*parts, linked(tree.mark, tree.mark))


def links(pair: Pair) -> List[Tuple[int, int]]:
    """Returns the gold alignment: all ``(i, j)``, sorted, of English words i and German words j that share a key."""
    places: Dict[object, List[int]] = {}
    for j, word in enumerate(pair.de):
        for key in word.keys:
            places.setdefault(key, []).append(j)
    return sorted({(i, j) for i, word in enumerate(pair.en) for key in word.keys for j in places.get(key, [])})
