"""Latents of the test images, and what is made of them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsDecode, SupportsEncode
from pofxy.base.data import DataSpec
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantity import quantity
from pofxy.evaluation.tsne import embed

# Starts of K-means.
N_INIT: Any = 5  # scikit-learn's own annotation says str


@quantity(rows="test", source="{latent_dim} dimensions")
def latents(model: SupportsEncode, x: Tensor) -> Tensor:
    """The latent vector of each test image, (N, Z)."""
    return predict_batched(model, "encode", x)


@quantity(kept=False)
def latent_dim(latents: Tensor) -> int:
    """Z, the number of dimensions of the latents."""
    return latents.shape[1]


@quantity(rows="test")
def latent_map(latents: Tensor) -> np.ndarray:
    """The latents of the first test images in two dimensions, by t-SNE."""
    return embed(np.asarray(latents))


@quantity(rows="test", source="{latent_dim} dimensions")
def latent_clusters(latents: Tensor, spec: DataSpec) -> np.ndarray:
    """The cluster of each latent vector, (N,), by K-means with as many clusters as classes, the best of several starts."""
    from sklearn.cluster import KMeans

    return KMeans(spec.classes, n_init=N_INIT, random_state=0).fit_predict(np.asarray(latents))


@quantity(rows="test")
def pca_latents(latents: Tensor, x: Tensor, x_train_subset: Tensor) -> np.ndarray:
    """Principal components of the test images, as many as the latents have dimensions: the baseline of latents, (N, Z)."""
    from sklearn.decomposition import PCA

    rows = x_train_subset.flatten(1)  # (M', ...) -> (M', D)
    size = min(latents.shape[1], rows.shape[1], len(rows))
    components = PCA(size, svd_solver="covariance_eigh").fit(rows)
    return components.transform(x.flatten(1)).astype(np.float32)


@quantity(rows="samples", source="feature_net {feature_net_hash}")
def decoded_features(
    model: SupportsDecode, latents: Tensor, test_pixels: Tensor, feature_net: SupportsEncode, feature_net_hash: str
) -> Tensor:
    """Features of what the decoder makes of standard normal noise, as many as there are test images to compare with, (n, F)."""
    noise = torch.randn(len(test_pixels), latents.shape[1])
    return predict_batched(feature_net, "encode", predict_batched(model, "decode", noise))
