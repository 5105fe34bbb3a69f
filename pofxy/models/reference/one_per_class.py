"""One per class: a generator with mode collapse. Every sample is a real image, but there is only one image of each class.

Measures of fidelity alone (precision, inception score) rate it highly; measures of diversity (recall, coverage) must not.
"""

from pofxy.nets.kept_images import KeptImages


class OnePerClass(KeptImages):
    """Returns the same random train image of each class again and again."""

    def __init__(self):
        super().__init__(kept=0)  # KeptImages keeps at least one of each class
