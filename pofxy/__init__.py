"""pofxy trains both sides of p(x, y), discriminative and generative models, on the same data, and renders one comparison.

The packages, from top to bottom; each imports only those below it, and those in one line do not know each other:

- `report`, `models`: the report; one file per model
- `evaluation`: metrics, the quantities that they are made of, intervals
- `nets`: layers and losses that several models share
- `training`, `sampling`: the training loop; samples of a fitted model
- `workflow`: what every job of the workflow does: its log, its time limit, its cost, its provenance
- `tracking`: the only package that imports MLflow
- `data`: data sets, splits, known distributions
- `storage`: files, saved models, grids of images
- `study`: what exists, what a study is going to do, what makes what again; without array libraries
- `base`: what a model is: capabilities, tags, the data that it is fitted on
"""
