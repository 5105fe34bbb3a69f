"""Captions of classes from a small grammar over the class names: wordings for training, and held-out wordings.

Where the classes are the digits 0 to 9, each has two names: the digit and the English word. Other class names are used as they
are, in lower case and without an article, because an article does not fit all of them.
"""

import re

NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Wordings for training, then held-out wordings, separated by semicolons.
DIGIT_WORDINGS = (
    "{}; a {}; a handwritten {}; handwritten {}; {}, the digit; the digit {}; the number {}; a picture of a {}; draw a {}; "
    "this is a {}; an image of the digit {}; {}, written by hand",
    "please write a {}; a {} by hand; show me the number {}; a picture of the handwritten digit {}; what a {} looks like; "
    "{}, as a drawing; I would like to see a {}; the number is {}",
)
NAME_WORDINGS = (
    "{}; the {}; picture of {}; an image of {}; draw {}; {}, the picture; this is {}; it shows {}; image: {}",
    "please draw {}; show me {}; the image that shows {}; {}, as a drawing; this picture is of {}; what {} looks like",
)


def captions_of(class_names: tuple[str, ...], label: int) -> tuple[list[str], list[str]]:
    """Captions of one class.

    Args:
        class_names: of all classes, in the order of the labels.
        label: of the class.

    Returns:
        the captions for training, as many for every class, and the captions of held-out wordings.
    """
    are_digits = all(name.isdecimal() and int(name) < len(NUMERALS) for name in class_names)
    name = class_names[label].lower()
    synonyms = (name, NUMERALS[int(name)]) if are_digits else (name,)
    training, held_out = (
        [wording.format(synonym) for wording in wordings.split("; ") for synonym in synonyms]
        for wordings in (DIGIT_WORDINGS if are_digits else NAME_WORDINGS)
    )
    return training, held_out


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())
