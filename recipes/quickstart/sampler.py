"""The sampler draws random trees of the grammar with a given number of clauses."""

import random
from typing import List, Sequence, Tuple, TypeVar, Union

from grammar import LEXICON
from lexicon import Adjective, Determiner, Pronoun
from trees import PERFECT, PRESENT, THAT, Both, Clause, NounPhrase, PrepositionalPhrase, Sentence, Subordinate

MODALS = [helper.infinitive for helper in LEXICON["helpers"] if helper.infinitive not in ("haben", "sein")]
# How often each of these is chosen where it is possible.
QUESTION, PRONOUN, COORDINATED, OWNER, BARE_PLURAL, COUNTED = 0.12, 0.25, 0.08, 0.07, 0.07, 0.10
PLURAL, ADJECTIVE, SECOND_ADJECTIVE = 0.25, 0.35, 0.25
PERFECT_TENSE, MODAL_TENSE = 0.3, 0.2
OFTEN, COMPANY, PLACE, TIME, FRONTED = 0.15, 0.10, 0.22, 0.25, 0.35
ANOTHER_MAIN_CLAUSE, RELATIVE_CLAUSE, CLAUSE_BEFORE, COMPLEMENT = 0.3, 0.3, 0.3, 0.5

Row = TypeVar("Row")


class Sampler:
    """A sampler draws random trees, by ``random.Random.random`` alone, whose numbers are the same in every Python."""

    def __init__(self, seed: int):
        self.random = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        """Returns True as often as ``probability`` says."""
        return self.random() < probability

    def below(self, count: int) -> int:
        """Draws a number from 0 to ``count`` - 1."""
        return int(self.random() * count)

    def pick(self, rows: Sequence[Row]) -> Row:
        """Draws one of the rows, all equally likely."""
        return rows[self.below(len(rows))]

    def sentence(self, clauses: int) -> Sentence:
        """Draws a sentence of so many clauses, main and subordinate together."""
        shares = [clauses]
        while shares[-1] > 1 and self.chance(ANOTHER_MAIN_CLAUSE):
            first = 1 + self.below(shares[-1] - 1)
            shares[-1:] = [first, shares[-1] - first]
        if len(shares) == 1 and self.chance(QUESTION):
            return Sentence((self.clause(clauses, "question"),), mark="?")
        connectors = tuple(self.pick(LEXICON["connectors"]) for _ in shares[1:])
        return Sentence(tuple(self.clause(share, "statement") for share in shares), connectors)

    def clause(self, clauses: int, order: str, kind: str = "") -> Clause:
        """Draws a clause with ``clauses`` - 1 others inside.

        Args:
            clauses: how many, this one included
            order: ``statement`` (of which something may go to the front), ``question`` or ``subordinate``
            kind: of a relative clause, the kind of noun that it is about; other clauses have a subject of their own
        """
        rest, before, relative = clauses - 1, 0, 0
        if rest and order == "statement" and self.chance(CLAUSE_BEFORE):
            before = 1 + self.below(rest)
            rest -= before
        elif rest and order != "question" and not kind and self.chance(RELATIVE_CLAUSE):
            relative = 1 + self.below(min(rest, 2))
            rest -= relative
        verbs = [verb for verb in LEXICON["verbs"] if not kind or kind in verb.subjects.split()]
        that = [verb for verb in verbs if "that" in verb.objects.split()]
        complement = bool(rest and that) and self.chance(COMPLEMENT)
        verb = self.pick(that if complement else [verb for verb in verbs if verb.objects != "that"])
        subject = None
        if not kind:
            kind = self.pick(verb.subjects.split())
            subject = self.subject(kind, relative)
        tree = Clause(order, verb, subject, self.tense())
        tree = self.with_adverbials(tree if complement else self.with_complements(tree, kind))
        if rest:
            conjunction = THAT if complement else self.pick(LEXICON["conjunctions"])
            tree = tree._replace(after=Subordinate(conjunction, self.clause(rest, "subordinate")))
        if before:
            subordinate = Subordinate(self.pick(LEXICON["conjunctions"]), self.clause(before, "subordinate"))
            return tree._replace(order="before", before=subordinate)
        # A relative clause ends with a comma, which must not meet the end of a German sentence.
        if order == "statement" and not relative and tree.time is not None and self.chance(FRONTED):
            return tree._replace(order="time first")
        if order == "statement" and not relative and tree.place is not None and self.chance(FRONTED):
            return tree._replace(order="place first")
        return tree

    def tense(self) -> str:
        """Draws a tense: present, perfect or a modal verb."""
        if self.chance(PERFECT_TENSE):
            return PERFECT
        return self.pick(MODALS) if self.chance(MODAL_TENSE) else PRESENT

    def with_complements(self, tree: Clause, kind: str) -> Clause:
        """Adds to a clause what its verb takes; ``kind`` is that of its subject."""
        verb = tree.verb
        if verb.objects == "predicate":
            return tree._replace(predicate=self.pick(self.fitting("adjectives", kind)))
        if verb.objects == "dat acc":
            recipient, gift = self.noun_phrase("person"), self.noun_phrase(self.pick(verb.object_kinds.split()))
            return tree._replace(indirect=recipient, object=gift)
        if verb.object_kinds:
            return tree._replace(object=self.maybe_two(self.pick(verb.object_kinds.split())))
        return tree

    def with_adverbials(self, tree: Clause) -> Clause:
        """Adds adverbs and prepositional phrases to a clause, or leaves them out."""
        if tree.predicate is None and tree.indirect is None:
            if self.chance(COMPANY):
                tree = tree._replace(company=self.prepositional_phrase("company"))
            if self.chance(PLACE):
                tree = tree._replace(place=self.prepositional_phrase("place"))
        if self.chance(TIME):
            return tree._replace(time=self.pick(LEXICON["times"]))
        if self.chance(OFTEN):  # not with a time: nothing happens "never every day"
            return tree._replace(often=self.pick(LEXICON["adverbs"]))
        return tree

    def fitting(self, section: str, kind: str) -> List:
        """Returns the nouns or adjectives of a kind."""
        return [row for row in LEXICON[section] if kind in row.kinds.split()]

    def subject(self, kind: str, relative: int) -> Union[NounPhrase, Both, Pronoun]:
        """Draws a subject of a kind, with a relative clause of ``relative`` clauses if that is not 0."""
        if relative:
            noun_phrase = self.noun_phrase(kind, owned=False)
            return noun_phrase._replace(relative=self.clause(relative, "subordinate", kind))
        if kind == "person" and self.chance(PRONOUN):
            return self.pick(LEXICON["pronouns"])
        return self.maybe_two(kind)

    def maybe_two(self, kind: str) -> Union[NounPhrase, Both]:
        """Draws one noun phrase, or two with "and" between them. These have no owners: whose would be unclear."""
        if self.chance(COORDINATED):
            return Both(self.noun_phrase(kind, owned=False), self.noun_phrase(kind, owned=False))
        return self.noun_phrase(kind)

    def noun_phrase(self, kind: str, owned: bool = True, singular: bool = False) -> NounPhrase:
        """Draws a noun phrase; ``owned`` says whether it may have an owner."""
        tree = NounPhrase(self.pick(self.fitting("nouns", kind)), False, adjectives=self.adjectives(kind))
        if owned and self.chance(OWNER):
            tree = tree._replace(owner=self.noun_phrase("person", owned=False))
        if not singular and self.chance(COUNTED):
            return tree._replace(plural=True, number=2 + self.below(98))
        if not singular and self.chance(BARE_PLURAL):
            return tree._replace(plural=True)
        plural = not singular and self.chance(PLURAL)
        return tree._replace(plural=plural, determiner=self.determiner(plural))

    def adjectives(self, kind: str) -> Tuple[Adjective, ...]:
        """Draws no adjective, one, or a quality and a colour, which need no comma: "the small red apple"."""
        if not self.chance(ADJECTIVE):
            return ()
        first, colours = self.pick(self.fitting("adjectives", kind)), self.fitting("adjectives", kind)
        colours = [row for row in colours if row.sort == "colour"]
        if first.sort == "quality" and colours and self.chance(SECOND_ADJECTIVE):
            return (first, self.pick(colours))
        return (first,)

    def determiner(self, plural: bool) -> Determiner:
        """Draws a determiner, each as often as its weight says."""
        rows = [row for row in LEXICON["determiners"] if row.english_plural or not plural]
        return self.pick([row for row in rows for _ in range(int(row.weight))])

    def prepositional_phrase(self, slot: str) -> PrepositionalPhrase:
        """Draws a prepositional phrase for a slot of a clause; places are singular."""
        preposition = self.pick([row for row in LEXICON["prepositions"] if row.slot == slot])
        kind = self.pick(preposition.kinds.split())
        return PrepositionalPhrase(preposition, self.noun_phrase(kind, owned=slot != "place", singular=slot == "place"))
