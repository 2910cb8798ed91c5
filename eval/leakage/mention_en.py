"""English phrases that speak of an answer or solution somebody gave the model."""

import re

from eval.leakage.detector import Patterns

# What somebody gave the model: "the reference answer", "provided solution", "known result" …
_GIVEN = (
    r"(?:reference|given|provided|known|supplied|official|ground[- ]truth|gold|golden|expected|model|sample|hidden"
    r"|example|demonstration|demonstrated|annotated|disclosed)"
)
_TEXT = (
    r"(?:answers?|solutions?|explanations?|rationales?|reasoning(?!\ (?:ability|questions?|skills?|tasks?))"
    r"|chain[- ]of[- ]thought|answer[- ]key)"
)
# "answer" must end the noun phrase: a "given answer choice" or "provided answer options" stand in the prompt.
_NOT_OPTIONS = r"(?![- ]?(?:choices?|options?|formats?|types?|template|space|box|sheet|field|line|set\b|\(?[a-e]\)))"
_SAYS = (
    r"(?:(?:also\ |already\ )?(?:gives?|says?|states?|shows?|tells?|yields?|indicates?|confirms?|uses?|has|claims?"
    r"|reads?|arrives?|notes?|argues?|finds?|expects?|clarifies|lists))\b"
)
_RIGHT = r"(?:correct|right|true|final)"
_TO_ME = r"(?:to\ (?:me|us)|above|in\ the\ prompt|as\ (?:a\ )?reference)"
_WAS = r"(?:was|were|am|are|have\ been|had\ been|having\ been|'ve\ been|'m|'re)"
# A value, so that "know the answer must be an integer" or "the hint says to answer with a letter" stay clean.
_VALUE = r"(?:[-$\\(]*\d|\(?[b-e]\b)"

_MENTION = re.compile(
    rf"""
    \b(?:
      {_GIVEN}\ (?:correct\ |final\ )?{_TEXT}\b{_NOT_OPTIONS}

    # the correct solution, where it speaks or was given
    | (?:correct|right|true)\ solution\ (?:{_SAYS}|is\ given|was\ given|is\ provided)
    | (?:follow|copy|use|using|see)\ the\ correct\ solution\b
    | (?<!\bthe\ )correct\ solution:
    | (?:correct|right|true)\ answer\ (?:{_SAYS}|(?:is|was)\ (?:given|provided|known|stated)\b)
    | {_RIGHT}\ answer\ (?:(?:is|was|has\ been)\ )?already\ (?:given|provided|known|available)\b

    # keys and labels
    | (?:answer|solution|marking)\ key\b
    | the\ key\ (?:says|lists|gives|has)\ {_VALUE}
    | ground[- ]truth\b(?!\ {_TEXT})

    # an answer or solution that was given, shown, told
    | (?:answer|solution)\ (?:(?:that\ )?(?:is|was|has\ been)\ )?(?:given|provided|supplied)\ {_TO_ME}\b
    | answer\ (?:that\ )?(?:has\ been|was|already)\ (?:already\ )?(?:given|provided|supplied|revealed)
        (?!\ (?:by|in|on|with)\b)\b
    | the\ answer\ (?:given|provided|supplied)\ (?:is|was)\b
    | solution\ that\ (?:was|has\ been)\ (?:given|provided|supplied|shown)\b
    | (?:answer|solution|reasoning|explanation)\ (?:was|has\ been|is|that\ was)\ (?:disclosed|revealed|supplied|handed)
    | (?:answer|solution|reasoning|explanation|rationale)\ (?:provided|supplied|handed)(?:\ to\ (?:me|us))?
        (?=\s(?:says|states|to)\b)
    | (?:answer|solution|attempt|explanation|reasoning|hint),?\ (?:(?:that|which)\ )?(?:i|we)
        \ (?:(?:was|were|have\ been|had\ been)\ (?:given|shown|handed|provided)|received)\b
    | (?:i|we)(?:\ {_WAS}|'ve\ been|'m|'re)\ (?:also\ |already\ )?(?:told|informed|given)\ (?:that\ )?the
        \ (?:{_RIGHT}\ )?(?:answer|result|choice|option)\ (?:to\ the\ problem\ )?(?:is|was|equals|=)
    | (?:i|we)(?:\ {_WAS}|'ve\ been|'m|'re)\ (?:already\ )?(?:told|given|shown|handed|provided\ with)
        \ (?:the\ (?:{_RIGHT}\ )?answer\b{_NOT_OPTIONS}|(?:the|a)\ correct\ solution\b)
    | having\ been\ told\ (?:that\ )?the\ (?:{_RIGHT}\ )?(?:answer|solution|result)\b
    | (?:prompt|instructions?(?:\ above)?|context|privileged\ text)\ (?:also\ |already\ )?
        (?:tells?|gives?|says?|states?|contains?|includes?)(?:\ (?:me|us))?(?:\ that)?\ the\ (?:{_RIGHT}\ )?
        (?:answer|solution)(?:\ is\ {_VALUE}|(?=[.,;:!]|$))
    | (?:stated|given|told)\ in\ (?:my|the)\ (?:context|prompt)\ that\ the\ {_RIGHT}\ (?:answer|option|choice)\b
    | privileged\ (?:text|information|context)\b

    # hints that give the result away
    | hint\ (?:already\ )?(?:says|said|reveals|states|tells\ (?:us|me))\ (?:that\ )?
        (?:(?:it|\w|the\ (?:answer|result|value|total|sum))\ (?:is|equals|=)\ (?!an?\b)|{_VALUE})
    | hint\ (?:given|provided):?\ {_VALUE}
    | hint\ with\ the\ (?:final\ )?(?:answer|result|value)\b

    # text above the reply
    | (?:correct|worked|reference|right|wrong|incorrect)\ (?:answer|solution|attempt)\ (?:shown\ |given\ )?above\b
    | (?:answer|solution)\ (?:shown|displayed)\ above\b
    | text\ above\ the\ correct\ solution\b

    # the reference as a noun of its own
    | (?:according\ to|based\ on|consistent\ with|matches|match|agrees?\ with|agreement\ with|as\ per|against)
        \ the\ (?:reference|provided|given)\b(?=\s*(?:[.,;:!?)]|$))
    | the\ reference\ (?:{_SAYS}|is\ (?:correct|right|\d)|above\b)
    | (?:match|matches|agrees\ with|equals)\ the\ reference\ value\b
    | (?:stated|said|given|shown|is|answer|steps)\ in\ the\ reference\b(?=\s*(?:[.,;:!?)]|$|is\b|are\b|being\b|to\b))
    | (?:know|knew|known|answer,?)\ (?:[^.]{{0,12}}\ )?from\ the\ reference\b
    | the\ reference's\b

    # what the teacher was asked not to do
    | (?:not|don't|won't|can't|mustn't|shouldn't|never|without|forbids?\ (?:me|us))
        \ (?:(?:(?:supposed|allowed|asked)\ )?to\ )?
        (?:mention|mentioning|copy|copying|quote|quoting|repeat|rephrase|rephrasing|paraphrase|paraphrasing|reveal)
        \ (?:that\ )?the\ (?:correct\ |given\ |provided\ )?(?:reference|solution)\b
    | pretend\ (?:not\ to|(?:that\ )?i\ (?:do\ not|don't))\ know\ the\ (?:answer|solution)\b

    # an answer known before the work
    | (?:already\ know|knowing)\ (?:that\ )?the\ (?:{_RIGHT}\ )?answer\ (?:is|must\ be|has\ to\ be)\ {_VALUE}
    | work(?:ing|ed)?\ back(?:wards?)?\ from\ the\ (?:{_RIGHT}\ )?answer\b{_NOT_OPTIONS}

    # other rollouts shown to the teacher
    | the\ (?:wrong|incorrect|failed|unsuccessful)\ (?:solution|attempt)\b(?!\ (?:is|to|of|for|set)\b)
    | (?:previous|earlier|other|another|peer's|sibling's)\ (?:correct|successful)
        \ (?:answer|solution|attempt|response)\b
    | successful\ (?:attempt|rollout)\b
    | correct\ example\ (?:answer|response|solution)\b
    )
    # "the solution above" may be the reply's own, unless the reply begins with it
    | ^.{{0,60}}\bthe\ (?:answer|solution|explanation)\ above\b
    """,
    re.VERBOSE,
)

_INNOCENT = re.compile(
    r"\b(?:reference (?:angle|frame|point|line|triangle|axis|level)|frames? of reference"
    r"|(?:no|without (?:a|the|any)|any|an?) (?:known|expected|given|provided) (?:answers?|solutions?)"
    r"|(?:no|any|(?:not|don't|didn't) have (?:access to )?(?:an?|the)|without (?:an?|the))"
    r" (?:official |reference )?(?:answer key|reference (?:answer|solution)|ground truth)"
    r"|(?:sample|model|known|given|supplied|provided|hidden|expected) solutions? (?:of|to) the"
    r" (?:equation|system|inequality)"
    r"|(?:volume|concentration|mass|density|amount|ph|temperature|ml|grams?|moles?) of the"
    r" (?:sample|given|supplied|provided) solutions?"
    r"|(?:sample|given|supplied|provided) solutions? (?:contains?|has|is made|of \w+ acid|concentration|volume)"
    r"|expected answer (?:is|should be|must be) (?:an?|in|the (?:letter|option))"
    r"|example (?:answers?|solutions?) (?:to|of) (?:this|these|such))\b"
)

# Without one of each group a sentence is clean: a text, and what makes it a given one.
_TEXTS = (
    "answer|solution|refer|truth|hint|key|expla|rationale|reasoning|chain|attempt|rollout|response|privileged|told"
    "|informed|context"
)
_SIGNS = (
    "refer|given|provided|known|supplied|official|truth|gold|expected|model|sample|hidden|example|demonstrat|annotated"
    "|disclosed|correct solution|right solution|true solution|correct answer |right answer |true answer |final answer "
    "| key|revealed|handed|shown|received|told|informed|having been|prompt|instruction|context|privileged|hint| above"
    "|copy|quot|phras|mention|repeat|reveal|pretend|already|knowing the|knowing that|back|attempt|rollout"
    "|wrong|incorrect|failed|unsuccessful|answer was"
)

ENGLISH = Patterns((tuple(_TEXTS.split("|")), tuple(_SIGNS.split("|"))), _INNOCENT, _MENTION)
