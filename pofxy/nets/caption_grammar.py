"""Captions of classes, by a small grammar over their names: wordings to learn from, and some that are held out.

Classes 0 to 9 are numbers, and each has two names: the numeral and the word. Names of other kinds stand as they are, in lower
case, and take no article, which some of them would not bear.
"""

import re

NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Of each: to learn from, and held out.
NUMBERS = (
    "{}; a {}; a handwritten {}; handwritten {}; {}, the digit; the digit {}; the number {}; a picture of a {}; draw a {}; "
    "this is a {}; an image of the digit {}; {}, written by hand",
    "please write a {}; a {} by hand; show me the number {}; a picture of the handwritten digit {}; what a {} looks like; "
    "{}, as a drawing; I would like to see a {}; the number is {}",
)
NAMES = (
    "{}; the {}; picture of {}; an image of {}; draw {}; {}, the picture; this is {}; it shows {}; image: {}",
    "please draw {}; show me {}; the image that shows {}; {}, as a drawing; this picture is of {}; what {} looks like",
)


def captions_of(class_names: tuple[str, ...], label: int) -> tuple[list[str], list[str]]:
    """Captions of a class to learn from, as many for every class, and those of held-out wordings."""
    numbers = all(name.isdecimal() and int(name) < len(NUMERALS) for name in class_names)
    name = class_names[label].lower()
    names = (name, NUMERALS[int(name)]) if numbers else (name,)
    seen, held_out = (
        [wording.format(name) for wording in wordings.split("; ") for name in names]
        for wordings in (NUMBERS if numbers else NAMES)
    )
    return seen, held_out


def words_of(text: str) -> list[str]:
    """Lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())
