"""One per class: a generator whose modes collapsed. Each sample is real, and there are as many different ones as classes.

Measures of fidelity alone (precision, the inception score) praise it; measures of diversity (recall, coverage) must not.
"""

from pofxy.nets.kept_images import KeptImages


class OnePerClass(KeptImages):
    """Gives one random train image of each class, again and again."""

    def __init__(self):
        super().__init__(kept=0)  # but for one of each class
