"""What did each model learn? Visualizations of models

What a model stores of the train split, or what its decision depends on. Below each picture stands what it shows. Each picture has
its own scale, so shades of different models cannot be compared.
"""

from markupsafe import Markup

from pofxy.report.charts.gallery import gallery, model_pictures
from pofxy.report.study import Study

ORDER = 28
PICTURE = "pictures/learned.png"
# In evaluate.json: the caption of the picture.
CAPTION = "learned"


def visualizations(study: Study, dataset: str) -> Markup | None:
    """A picture and its caption per model that has a visualization; None where none has."""
    pictures = [
        picture._replace(remark=_caption(study, dataset, picture.name)) for picture in model_pictures(study, dataset, PICTURE)
    ]
    return gallery(pictures, "what was learned", "wide own")


def _caption(study: Study, dataset: str, model: str) -> str:
    """What the model says of its picture, which is that of its first seed."""
    return str(study.evaluation(dataset, model, study.first_seed(dataset, model)).get(CAPTION) or "")
