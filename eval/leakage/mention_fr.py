"""French phrases that speak of an answer or solution somebody gave the model."""

import re

from eval.leakage.detector import Patterns

_TEXT = (
    r"(?:réponse|solution|explication|justification|correction|démonstration|démarche|raisonnement"
    r"|chaîne\ de\ (?:raisonnement|pensée))"
)
# In the singular: "les réponses proposées" are the options. "donné" in "le format de réponse donné" is the format's.
_GIVEN = (
    r"(?:de\ référence|officielle|fournie?|(?<!réponse\ )donné|donnée|attendue|connue|cachée|modèle|type"
    r"|d'exemple|exemple|de\ démonstration|transmis)"
)
# What follows shows that the text stands in the prompt, or in the picture, or is the format that was asked for.
_NOT_PROMPT = r"(?!\ (?:en\ \(?[a-e]|par|sous|dans\ le\ tableau|(?:est|doit\ être)\ (?:un|une|la\ lettre)\b))"
_SAYS = (
    r"(?:(?:nous\ )?(?:dit|donne|indique|montre|affirme|confirme|précise|utilise|emploie|attend|prend|multiplie|divise"
    r"|trouve|arrive|a|est\ (?:correcte|juste|\d)|me\ semble))\b"
)
_TOLD = (
    r"(?:(?:m'|nous\ |m'en\ )?(?:a|ont|avait)\ (?:d'ailleurs\ |déjà\ )?(?:dit|indiqué|communiqué|révélé|donné|fourni))"
)
_THE_ANSWER = r"la\ (?:bonne\ |vraie\ )?(?:réponse|solution|lettre|option)"
_VALUE = r"(?:[-$\\(]*\d|\(?[b-e]\b)"

_MENTION = re.compile(
    rf"""
    \b(?:
      {_TEXT}\ (?:correcte\ |finale\ )?{_GIVEN}\b{_NOT_PROMPT}
    | {_TEXT}\ (?:incorrecte|fausse|erronée|ratée)\ (?:donnée|fournie|montrée)\b

    # the correct solution, where it speaks
    | (?:solution\ correcte|(?:bonne|vraie)\ solution)\ (?:également\ )?{_SAYS}
    | (?:suivre|copier|recopier|utiliser)\ la\ (?:solution\ correcte|bonne\ solution)\b
    | (?<!\bla\ )solution\ correcte\ :
    | (?:bonne|vraie)\ réponse\ (?:fournie|(?:est|a\ été)\ (?:donnée|fournie|connue))\b

    # keys and labels
    | (?:le|au|du|dans\ le|selon\ le|ce\ que\ le)\ corrigé\b|corrigé\ :
    | (?:grille\ de\ correction|clé\ de\ réponses?|clé\ des\ réponses|feuille\ de\ (?:solutions?|réponses)\ ils)\b
    | vérité[\ -]terrain\b|étiquette\ de\ vérité\b

    # an answer that was given, shown, told
    | réponse(?:\ [^.,;:]{{0,25}})?\ (?:a|ayant)\ (?:déjà\ )?été\ (?:déjà\ )?(?:donnée|fournie|révélée)
        (?!\ (?:à|par|en|dans)\b)
    | réponse\ (?:étant|est)\ déjà\ (?:fournie|connue|donnée)\b
    | {_TEXT}\ qui\ (?:m'|nous\ )?(?:a\ été|est|avait\ été)\ (?:donnée?|fournie?|transmise?|remise?|révélée?|montrée?)\b
    | {_TEXT}\ (?:m'|nous\ )(?:a\ été|ait\ été|est)\ (?:donnée?|fournie?|dévoilée?|révélée?|montrée?)\b
    | {_TEXT}\ qu'on\ (?:m'a|nous\ a|nous|me)\ (?:donnée?|donne|remise?|fournie?|fournit|montrée?)\b
    | (?:on|ils)\ {_TOLD}\ (?:que\ )?(?:{_THE_ANSWER}(?!\ (?:doit|devait)\b)|le\ (?:bon\ choix|bon\ résultat))\b
    | on\ (?:nous|me|m')\ ?(?:dit|donne|fournit|révèle)\ (?:que\ )?
        (?:(?:{_THE_ANSWER}|le\ résultat)(?:\ finale)?(?:\ du\ problème)?(?:,|\ est\b|\ vaut\b|\ :))
    | qu'on\ m'a(?:it)?\ (?:montré|révélé|donné|fourni|communiqué)\ {_THE_ANSWER}\b
    | (?:consigne|consignes|contexte|instructions?)(?:\ ci-dessus)?\ (?:me\ )?(?:contient|contiennent|donne|donnent)
        \ (?:la\ solution|la\ (?:bonne\ )?réponse(?!\ (?:sous|en|doit)))
    | (?:texte|information|contexte)\ privilégiée?\b

    # hints that give the result away
    | l'(?:indice|indication)\ (?:nous\ )?(?:dit|révèle)\ (?:déjà\ )?
        (?:que\ (?:c'est|(?:la\ (?:valeur|réponse|somme)|le\ (?:résultat|total)|\w)\ (?:est|vaut|fait|=))(?!\ une?\b)
        |{_VALUE})
    | (?:indice|indication)\ (?:avec|contenant)\ (?:le\ résultat|la\ réponse)\b
    | (?:indice|indication)\ (?:reçue?|fournie\ donne)\b

    # text above the reply
    | (?:solution|réponse)\ (?:correcte|détaillée|donnée|présentée|fausse|de\ référence)(?:\ montrée)?
        \ (?:ci-dessus|plus\ haut)\b
    | (?:bonne|mauvaise)\ (?:réponse|solution)\ ci-dessus\b|référence\ ci-dessus\b

    # the reference as a noun of its own
    | la\ référence\ {_SAYS}|attend\ la\ référence\b
    | (?:d'après|selon|avec|conforme\ à|citer|mentionner|répéter|suivant|injectant)\ la\ référence
        \b(?!\ (?:à|de|du|des|spatiale)\b)
    | (?:réponse|étapes|résultat|valeur)\ de\ la\ référence\b|par\ la\ référence\ (?:que|qu')
    | (?:correspond\ à|égal\ à|retrouve|sur\ \d+,)\ la\ valeur\ de\ référence\b

    # what the teacher was asked not to do
    | (?:sans|pas(?:\ le\ droit\ de|\ censé)?|jamais|m'interdit\ de)\ (?:de\ )?
        (?:recopier|copier|mentionner|citer|répéter|paraphraser|révéler)\ (?:qu'on\ m'a\ montré\ )?
        la\ (?:solution|référence|bonne\ réponse)\b
    | semblant\ de\ ne\ pas\ connaître\ la\ (?:réponse|solution)\b

    # an answer known before the work
    | (?:savons|sait|sais)\ déjà\ que\ la\ (?:bonne\ )?réponse\ (?:est|vaut)\ {_VALUE}
    | sachant\ que\ la\ (?:bonne\ )?réponse\ (?:est|vaut)\ {_VALUE}
    | en\ partant\ de\ la\ (?:bonne\ )?réponse\b
    | dispose\ déjà\ de\ la\ (?:bonne\ )?réponse\b

    # other rollouts shown to the teacher
    | la\ mauvaise\ solution\b(?!\ (?:est|de|du|à)\b)
    | (?:la\ )?(?:tentative|solution|copie)\ (?:réussie|ratée|infructueuse|erronée)\b
    | (?:solution|réponse)\ (?:correcte|juste|réussie)\ (?:précédente|d'un\ pair|de\ mon\ camarade)\b
    | exemple\ de\ (?:réponse|solution)\ correcte\b
    )
    # "la solution ci-dessus" may be the reply's own, unless the reply begins with it
    | ^.{{0,50}}\bla\ (?:solution|réponse|explication)\ (?:ci-dessus|plus\ haut|au-dessus)\b
    """,
    re.VERBOSE,
)

_INNOCENT = re.compile(
    r"\b(?:pas (?:accès )?(?:au|le|de) corrigé|(?:aucune?|sans|pas de) (?:réponse|solution|corrigé)"
    r"(?: de référence| officielle| fournie| donnée)?"
    r"|(?:concentration|volume|masse|ph|température|ml|quantité) de la solution (?:donnée|fournie|connue)"
    r"|(?:la )?solution (?:donnée|fournie|connue) (?:contient|a un|est (?:acide|basique|saturée|neutre)|de l'équation"
    r"|du système)"
    r"|(?:type|format|forme) de réponse (?:attendue?|donnée?)"
    r"|(?:angle|point|ligne|numéro|électrode|tension|niveau|vecteurs?) de référence)\b"
)

_CUES = (
    "réponse|solution|référence|corrigé|correction|vérité|indice|indication|raisonnement|explication|justification"
    "|démonstration|démarche|tentative|copie|privilégié|on m'a|on nous"
)

FRENCH = Patterns((tuple(_CUES.split("|")),), _INNOCENT, _MENTION)
