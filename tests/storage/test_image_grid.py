"""Pictures of samples."""

import numpy as np
import pytest
import torch
from PIL import Image

from pofxy.storage.image_grid import save_scatter


@pytest.mark.parametrize(("columns", "labels"), [(2, torch.arange(50) % 3), (1, None)])
def test_rows_of_a_table_are_shown_as_points(columns, labels, tmp_path):
    x = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    save_scatter(tmp_path / "points.png", x[:, :columns], labels)
    picture = np.asarray(Image.open(tmp_path / "points.png").convert("RGB"))
    assert picture.shape[0] == picture.shape[1] > 300
    colored = (picture.max(2).astype(int) - picture.min(2) > 60).sum()
    assert colored > 2 * len(x), "there are points, in colors"
