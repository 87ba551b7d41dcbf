"""The grammar turns these trees into sentences of both languages; a tree is neither English nor German."""

from typing import NamedTuple, Optional, Tuple, Union

from lexicon import Adjective, Determiner, Noun, Preposition, Pronoun, Verb, Words

PRESENT, PERFECT = "present", "perfect"  # tenses; the third kind is the German infinitive of a modal verb
THAT = Words("that", "dass")  # the conjunction after verbs of saying and knowing


class NounPhrase(NamedTuple):
    """A noun phrase holds a noun and what belongs to it; ``number`` 0 means none.

    The relative clause has no subject of its own.
    """

    noun: Noun
    plural: bool
    determiner: Optional[Determiner] = None
    number: int = 0
    adjectives: Tuple[Adjective, ...] = ()
    owner: Optional["NounPhrase"] = None
    relative: Optional["Clause"] = None


class Both(NamedTuple):
    """``Both`` joins two noun phrases by "and"."""

    first: NounPhrase
    second: NounPhrase


class PrepositionalPhrase(NamedTuple):
    """A prepositional phrase holds a preposition and its noun phrase."""

    preposition: Preposition
    noun_phrase: NounPhrase


class Subordinate(NamedTuple):
    """A subordinate clause is held with its conjunction."""

    conjunction: Words
    clause: "Clause"


class Clause(NamedTuple):
    """A clause holds a verb and what goes with it; ``order`` is one of ORDERS, and what a fronted constituent needs is
    there."""

    order: str
    verb: Verb
    subject: Union[NounPhrase, Both, Pronoun, None] = None
    tense: str = PRESENT
    predicate: Optional[Adjective] = None
    indirect: Union[NounPhrase, Both, None] = None
    object: Union[NounPhrase, Both, None] = None
    often: Optional[Words] = None
    company: Optional[PrepositionalPhrase] = None
    place: Optional[PrepositionalPhrase] = None
    time: Optional[Words] = None
    before: Optional[Subordinate] = None
    after: Optional[Subordinate] = None


class Sentence(NamedTuple):
    """A sentence holds main clauses and the connectors between them, one fewer; ``mark`` is the last word."""

    clauses: Tuple[Clause, ...]
    connectors: Tuple[Words, ...] = ()
    mark: str = "."
