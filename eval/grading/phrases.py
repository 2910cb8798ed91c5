"""The words around final answers, in English, Chinese, French and German (and a few of their neighbours')."""

import re

# "the answer is", "correct option:", 故选, "Réponse :", "Die Antwort lautet", …; a sign or a verb must follow.
_NOUN = (
    r"\b(?:final |correct |right |best |my |the ){0,3}(?:answer|ans\b)(?: choice| option)?"
    r"|\b(?:correct|right|best|proper|valid|(?:most |best )?(?:appropriate|suitable|likely|accurate|fitting))"
    r"[ \t]+(?:option|choice|one|alternative|statement)"
    r"|\b(?:final|my)[ \t]+(?:choice|pick|guess|result|option|selection)"
    r"|\br[ée]ponse(?:[ \t]+(?:correcte|finale|exacte|juste))?(?![a-zé])"
    r"|\bantwort(?:option|en)?\b|\bendergebnis\b|\b(?:richtige|korrekte)[ \t]+(?:option|auswahl|l[öo]sung)\b"
    r"|\brespuesta(?:[ \t]+(?:correcta|final))?\b|\brisposta(?:[ \t]+(?:corretta|esatta|finale))?\b"
    r"|\bresposta(?:[ \t]+(?:correta|certa|final))?\b|\bответ(?![а-я])"
)
_LINK = (
    r"(?:[ \t*_]+(?:here[ \t]+|therefore[ \t]+|thus[ \t]+|then[ \t]+|so[ \t]+)?"
    r"(?:is|was|would[ \t]+be|should[ \t]+be|must[ \t]+be|will[ \t]+be|may[ \t]+be|could[ \t]+be|has[ \t]+to[ \t]+be|"
    r"can[ \t]+only[ \t]+be|comes[ \t]+to|equals|"
    r"est|serait|ist|lautet|w[äa]re|es|è|é|sera)\b"
    r"(?:[ \t]+(?:then|thus|therefore|clearly|simply|indeed|probably|likely|definitely|donc|also|also)(?![\w]))?"
    r"(?:[ \t]+(?:option|choice|la|die)(?=[ \t]+\(?[A-J]\b))?"
    r"|\W{0,3}[:=\u2192]|[ \t]*\][ \t]*:?|[ \t*_]+[\u2013\u2014-](?=[ \t])|(?=[ \t]+\([A-J]\)[^\w]*$))"
)
_CHINESE = (
    r"(?:正确的(?:选项|答案)?(?:是|为)[ \t]*[:]?|\u3010[ ]*(?:最终|正确)?(?:答案|选项)[ ]*\u3011[ \t]*[:是为]?"
    r"|(?:最终|正确|本题|最后)?的?(?:答案|选项|結果|答)(?:[ \t*]*(?:应该|应|就|只能|必须)?(?:是|为|為|选|選)|\W{0,3}:)"
    r"[ \t*]*[:]?(?:选项)?"
    r"|(?:故|因此|所以|应|應|应该|于是|因而|综上|综上所述|本题|答案)[,，]?[ \t]*"
    r"(?:正确答案|答案)?(?:应|应该|就)?(?:选择|选|選)(?:项|项是"
    r"|项为)?[ \t]*[:]?(?:选项)?"
    r"|(?:我)?选择?(?:的是|的答案是)?(?:选项)?[ \t]*(?=[(\"*]*[A-J]\b[)\"*]*[.。]?[ \t]*$))"
)
_CHOOSE = (
    r"\b(?:(?:I|we)(?:'d|'ll| would| will| should| must| can| have to)?[ \t]+(?:therefore |thus |then |confidently )?"
    r"(?:choose|pick|select|go with|go for|say|answer|conclude|opt for|settle on|chose|picked|selected)"
    r"|je (?:choisis|dirais)|ich (?:w[äa]hle|nehme))\b(?:[ \t]+(?:that|it is|it's|the answer|l'option"
    r"|option|choice|answer)){0,3}"
    r"(?=[ \t]*[:(\"*]*(?:[A-J]\b|[-\d\\$]))"
)
ANSWER = re.compile(
    rf"(?:(?:{_NOUN})(?:{_LINK})|{_CHINESE}|{_CHOOSE})(?:\*\*|[:*]|[ \t])*"
    r"|^[ \t]*(?:[#*]++[^\n]{0,40}\b(?:answer|antwort|r[ée]ponse)|[#*]++[^\n]{0,20}答案)[* \t:]*\n",  # a heading
    re.I | re.M,
)
# Stated after a box, these take its place.
FINAL = re.compile(r"final|answer[\W_]*[:\u3011]|答案|故选|réponse[\W_]*:|antwort[\W_]*:|correct", re.I)
# After "the answer is": no answer.
NO_ANSWER = re.compile(
    r"(?:in|as|also|thus|therefore|obtained|found|based|given|shown|above|below|correct|right|wrong"
    r"|incorrect|reasonable|"
    r"consistent|verified|confirmed|clear|obvious|unique|not (?:given|known|clear|possible|listed|among|here|in|one)|"
    r"un(?:known|clear)|what|which|the (?:one|same)|because|since|if|when|when)\b(?![ \t]*[(]?[A-J]\b[)]?)",
    re.I,
)

# Between reasons and what follows from them.
CONCLUSION = re.compile(
    r"(?:^|[\s,;.:(])(?:so|therefore|thus|hence|consequently|accordingly|in conclusion|we conclude"
    r"|in total|altogether|"
    r"overall|and then|which (?:gives|means|leaves|yields|makes)|giving|leaving|leaves|yields|"
    r"donc|ainsi|par conséquent|also|daher|somit|folglich|deshalb|insgesamt|ergo)\b[,:]?(?: that\b"
    r"| there (?:are|is)\b)?"
    r"|所以|因此|故|从而|综上|于是|总共|一共",
    re.I,
)
# What comes after explains.
REASON = re.compile(
    r"[,;:(]? *\b(?:because|since|as|which|where|whereas|while|given|who|when|if|not counting|"
    r"weil|da|denn|parce que|car|puisque|wegen)\b|因为|由于|其中|分成",
    re.I,
)
SUBORDINATE = re.compile(
    r"\b(?:because|since|as|which|where|whereas|while|with|for|given|who|that|after|before|than|when|if|in|on|per|of)\b",
    re.I,
)
LEADING = re.compile(
    r"^\W*(?:if|when|since|because|after|as|with|without|by|in|of|on|at|from|for|given|counting|removing"
    r"|adding|looking|using|"
    r"among|out of|step \d+|\d+[.)]|wenn|nach|da|von|im|in|si|après|avec|sur|parmi|dans|en"
    r"|如果|在|从)\b[^,，]*[,，:]\s*",
    re.I,
)
# Between what is asked for and its number.
COPULA = re.compile(
    r"\b(?:is|are|was|were|be|equals?|equal to|it's|that's|there's|becomes?|ist|sind|war|beträgt|betragen"
    r"|ergibt|lautet|"
    r"est|sont|était|vaut|fait|il y a|es gibt)\b|是|为|有|等于|得|共|[:→⇒]|\\(?:to|Rightarrow|implies)(?![a-z])",
    re.I,
)
VERB = re.compile(
    r"\b(?:been|has|have|had|contains?|shows?|gives?|gets?|got|finds?|found|obtain|makes?|measures?|costs?"
    r"|totals?|reads?|"
    r"counts?|counted|sees?|needs?|yields?|remains?|lasted|lasts?|hat|haben|gibt|gab|donne|mesure|compte|is|are)\b",
    re.I,
)
LEFT_OVER = re.compile(
    r"(?: [^\W\d]+){0,3} (?:remain|remains|are left|is left|left|in total|altogether|in all|übrig|bleiben"
    r"|restent|total)\b"
    r"|[^\W\d]{0,4}剩下",
    re.I,
)
NEGATION = re.compile(
    r"(?:\bnot(?! only)|\bnever|\bisn't|\baren't|\bwasn't|\bcan't be|\bcannot be|\bdoesn't equal"
    r"|n't(?: be)?|\binstead of|\brather than"
    r"|\bexcept|\bwithout|\beliminat\w+|\brul(?:e|es|ed|ing) out|\bexclud\w+|\bunlike|\bneither|\bnor|\bother than|"
    r"\bnicht|\bstatt|\bkein|\bnon|\bpas|\bau lieu de|不是|而非|并非|不等于|不选|排除)"
    r"(?: (?:be|equal|equal to|just|exactly|the|a|an|option|options|choice|at|to|la|die|der)){0,4}[ :*(\"]{0,6}$",
    re.I,
)
# A bound is not the number.
BOUND = re.compile(
    r"\b(?:(?:less|more|fewer|greater|larger|smaller|bigger|higher|lower) than|at least|at most|up to"
    r"|weniger als|mehr als|"
    r"mindestens|höchstens|plus de|moins de|au moins)\W*$|(?:至少|至多|超过|小于|大于)$",
    re.I,
)
WRONG = (
    r"(?:is|are|was|were|:)?\s{0,3}"
    r"(?:not (?:the )?(?:correct|right|answer|it)|wrong|incorrect|false|ruled out|excluded)\b"
)
HEDGE = re.compile(r"\b(?:or|to|through|oder|bis|ou|à|o)\b|或|至|到|~|–|—", re.I)
BETWEEN = re.compile(r"\b(?:between|from|entre|zwischen|either|entweder|soit)\b|介于", re.I)
LABEL = re.compile(
    r"^[\W\d_]*(?:(?:the |our |final |grand )*(?:total|result|sum|conclusion|solution|difference"
    r"|final count|count|value|number)"
    r"(?: \w+){0,3}|ergebnis|l[öo]sung|summe|résultat|total|somme|结果|总数|总计|共计|结论) ?[*_]*[:=][*_]* ?(?=.)",
    re.I,
)
ASIDE = re.compile(
    r"^[\W_]*(?:note|notes|nb|n\.b|p\.?s|let me know|confidence|hope|see|explanation|check|verification"
    r"|verify|here|where|"
    r"feel free|please|if you (?:have|need|want|would)|remember|tip|hint|source|reference|anmerkung"
    r"|hinweis|remarque|注|备注|说明)\b",
    re.I,
)
REFUSAL = re.compile(
    r"\b(?:unable to|cannot|can't|can not|could not|impossible to|not possible to|not able to|no way to"
    r"|hard to|difficult to)"
    r" (?:\w+ )?(?:be )?(?:determine|see|view|provide|answer|tell|say|identify|analy[sz]e|calculate|find"
    r"|conclude|know|give|"
    r"predict|make out|read|access|directly)|\bi'?m sorry|无法(?:确定|判断|看)",
    re.I,
)
NONE_THERE = re.compile(
    r"there (?:are|is|were) (?:no|none)\b(?! way| answer| information| enough| sufficient)(?: \w+){0,3}", re.I
)

# Speech of a thought, for replies whose template opened it.
THINKING = re.compile(
    r"^\W*(?:okay|ok|alright|hmm+|so[, ]+(?:let|i |i'|the question|we|to|first|looking)|let me|let's"
    r"|got it|first[, ]+i|well,|"
    r"i need to|i have to|we need to|we are given|now,? let|the user|the question asks|the problem)"
    r"|\b(?:wait|hmm+|let me (?:check|see|think|re|count|look|verify|double)|let's (?:check|see|think|count|re|look)|"
    r"i (?:should|need to|think)|maybe i|hold on|actually,)",
    re.I,
)
