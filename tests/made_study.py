"""Plausible results of a study, made up in a second: what the report is tested with, and looked at with."""

import json

import numpy as np
import pandas as pd
from PIL import Image

from pofxy.study import catalog, columns

EVIL = 'ValueError: <script>alert(1)</script> & "quotes" {{ 7 * 7 }}'
PASSPORT = list(columns.SCORES)
WITHOUT_POSITION = [name for name in PASSPORT if name != "position"]
NET = "feature_net 0a1b2c3d"
# Scores of samples: as those of real train images, as those of independent pixels, half of the interval, estimator.
SAMPLES = {
    "frechet_distance_infinity": (1.9, 210.0, 0.9, NET),
    "kernel_distance": (0.0004, 0.9, 0.002, NET),
    "precision": (0.93, 0.02, 0.02, NET),
    "recall": (0.92, 0.01, 0.02, NET),
    "density": (1.01, 0.01, 0.05, NET),
    "coverage": (0.95, 0.02, 0.02, NET),
    "inception_score": (8.9, 1.6, 0.2, NET),
    "two_sample_test": (0.51, 0.99, 0.02, NET),
    "ndb": (0.04, 0.97, 0.03, NET),
    "distinct_classes": (1.0, 0.2, 0.0, NET),
    "class_entropy": (1.0, 0.3, 0.02, NET),
    "sharpness": (1.01, 2.6, 0.03, ""),
    "brightness": (1.0, 1.1, 0.02, ""),
    "confident_samples": (0.97, 0.3, 0.02, NET),
    "nearest_neighbor_ratio": (1.02, 1.9, 0.02, ""),
    "memorization_p_value": (0.41, 1.0, 0.0, ""),
    "authenticity": (0.62, 0.99, 0.03, ""),
}


def sampler(distance: float, at: float) -> dict:
    """Scores of samples that lie at `at` between real train images, 0, and independent pixels, 1."""
    found = {metric: (floor + at * (ceiling - floor), half, net) for metric, (floor, ceiling, half, net) in SAMPLES.items()}
    return {"frechet_distance": (distance, 0.08 * distance, NET)} | found


# model: (family, capabilities, its scores as metric -> (value, half of its interval, estimator))
MODELS = {
    "logistic_regression": (
        "discriminative",
        "predict decision_function predict_proba",
        {"accuracy": (0.961, 0.02, ""), "log_loss": (0.131, 0.05, "")},
    ),
    "linear_svm": ("discriminative", "predict", {"accuracy": (0.953, 0.022, "")}),
    "lenet": ("discriminative", "predict predict_proba", {"accuracy": (0.986, 0.012, ""), "log_loss": (0.052, 0.02, "")}),
    "gaussian_naive_bayes": (
        "generative",
        "predict predict_proba log_joint log_prob sample inpaint",
        {
            "accuracy": (0.911, 0.029, ""),
            "log_loss": (0.74, 0.2, ""),
            "bits_per_dim": (3.01, 0.05, "uniform-dequantized bound"),
            "bits_per_dim train": (2.94, 0.02, "uniform-dequantized bound"),
            "label_agreement": (0.81, 0.02, NET),
            "train_on_synthetic": (0.84, 0.03, ""),
            "train_on_union": (0.97, 0.01, ""),
            "inpainting_error": (0.071, 0.002, ""),
            "inpainting_labels": (0.74, 0.03, ""),
            **sampler(38.2, 0.17),
        },
    ),
    "vae": (
        "generative",
        "log_prob_bound sample reconstruct inpaint encode decode",
        {
            "decoded_noise_distance": (9.3, 0.9, NET),
            "bits_per_dim": (1.84, 0.03, "IWAE-32"),
            "bits_per_dim train": (1.62, 0.02, "IWAE-32"),
            "reconstruction_mse": (0.0121, 0.0006, ""),
            "psnr": (19.6, 0.3, ""),
            "ssim": (0.87, 0.01, ""),
            "denoising": (0.021, 0.001, ""),
            "inpainting_error": (0.043, 0.002, ""),
            "inpainting_labels": (0.86, 0.03, ""),
            "linear_probe": (0.94, 0.02, ""),
            "latent_knn_accuracy": (0.95, 0.02, ""),
            "latent_nmi": (0.71, 0.02, ""),
            "latent_ari": (0.62, 0.02, ""),
            "latent_trustworthiness": (0.97, 0.004, ""),
            **sampler(5.5, 0.03),
        },
    ),
    "autoencoder": (
        "generative",
        "reconstruct encode",
        {
            "reconstruction_mse": (0.0091, 0.0005, ""),
            "psnr": (20.8, 0.3, ""),
            "ssim": (0.91, 0.01, ""),
            "denoising": (0.026, 0.001, ""),
            "linear_probe": (0.95, 0.02, ""),
            "latent_knn_accuracy": (0.94, 0.02, ""),
            "latent_nmi": (0.66, 0.02, ""),
            "latent_ari": (0.58, 0.02, ""),
            "latent_trustworthiness": (0.98, 0.004, ""),
        },
    ),
    "dcgan": (
        "generative",
        "sample",
        sampler(5.2, 0.02) | {"memorization_p_value": (0.0004, 0.0, ""), "authenticity": (0.31, 0.03, "")},
    ),
    "conditional_gan": (
        "generative",
        "sample",
        sampler(6.4, 0.04)
        | {
            "label_agreement": (0.96, 0.01, NET),
            "train_on_synthetic": (0.93, 0.02, ""),
            "train_on_union": (0.985, 0.008, ""),
            "kernel_distance": (-0.0006, 0.002, NET),
        },
    ),
    "real_train": (
        "reference",
        "sample",
        sampler(3.1, 0.0)
        | {"label_agreement": (0.99, 0.01, NET), "train_on_synthetic": (0.975, 0.01, ""), "train_on_union": (0.98, 0.01, "")},
    ),
    "independent_pixels": (
        "reference",
        "log_prob sample inpaint",
        {
            "bits_per_dim": (3.4, 0.02, "exact mass"),
            "inpainting_error": (0.088, 0.002, ""),
            "inpainting_labels": (0.31, 0.04, ""),
            **sampler(221.0, 1.0),
        },
    ),
    "noise": ("reference", "log_prob sample", {"bits_per_dim": (4.09, 0.0, "exact mass"), **sampler(410.0, 1.0)}),
    "copycat": (
        "reference",
        "sample",
        sampler(3.0, 0.0) | {"memorization_p_value": (0.0, 0.0, ""), "authenticity": (0.0, 0.0, "")},
    ),
    "one_per_class": ("reference", "sample", sampler(60.0, 0.3) | {"recall": (0.02, 0.01, NET), "coverage": (0.03, 0.01, NET)}),
}
# The same for a table of two columns whose law is known.
TABLE_MODELS = {
    "logistic_regression": (
        "discriminative",
        "predict decision_function predict_proba",
        {"accuracy": (0.902, 0.03, ""), "log_loss": (0.28, 0.05, "")},
    ),
    "gaussian_naive_bayes": (
        "generative",
        "predict predict_proba log_joint log_prob sample",
        {
            "accuracy": (0.871, 0.03, ""),
            "log_loss": (0.34, 0.05, ""),
            "log_density": (-2.31, 0.05, "exact density"),
            "log_density train": (-2.29, 0.03, "exact density"),
        },
    ),
    "independent_pixels": ("reference", "log_prob sample", {"log_density": (-2.9, 0.05, "exact density")}),
    "oracle": (
        "reference",
        "predict predict_proba log_joint log_prob sample",
        {"accuracy": (0.915, 0.03, ""), "log_loss": (0.231, 0.04, ""), "log_density": (-2.05, 0.04, "exact density")},
    ),
}
LAW = {"entropy": 2.06, "bayes_accuracy": 0.917, "bayes_log_loss": 0.229}
# Strength of each condition's curve: how fast accuracy falls along it.
CURVES = {
    "robustness": (
        ["gaussian_noise", "blur", "occlusion", "shift", "rotation", "contrast", "inversion"],
        [0, 1, 2, 3, 4, 5],
        0.12,
    ),
    "missing_pixels": (["mean imputation"], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 0.7),
    "adversarial": (["FGSM", "PGD"], [0, 0.02, 0.05, 0.1, 0.2, 0.3], 2.5),
}
# Other curves than accuracies: conditions, places, value at the first place, slope, unit.
MORE_CURVES = {
    "denoising": ("reconstruct", ["model", "Gaussian filter", "mean image"], [0.1, 0.2, 0.3, 0.5], "squared intensity"),
    "inpainting": ("inpaint", ["lower half", "centre", "half the pixels"], [0], "squared intensity"),
    "inpainting_labels": ("inpaint", ["lower half", "centre", "half the pixels"], [0], "accuracy"),
    "latent_probe": ("encode", ["linear probe", "k-NN", "PCA, linear probe", "PCA, k-NN"], [1, 10, 125.7], "accuracy"),
    "ood_likelihood": ("log_prob", ["noise", "inverted", "shuffled pixels", "fashion_mnist"], [0], "AUROC"),
    "ood_typicality": ("log_prob", ["noise", "inverted", "shuffled pixels", "fashion_mnist"], [0], "AUROC"),
    "ood_softmax": ("predict_proba", ["noise", "inverted", "shuffled pixels", "fashion_mnist"], [0], "AUROC"),
    "ood_energy": ("decision_function", ["noise", "inverted", "shuffled pixels", "fashion_mnist"], [0], "AUROC"),
}
BASELINES = {"latent_nmi": 0.61, "latent_ari": 0.5, "latent_trustworthiness": 0.95}
TEST = 100
SIZES = [1, 2, 5, 10, 20, 50, 100, 125.7]
WITHOUT_HISTORY = (
    *("logistic_regression", "linear_svm", "gaussian_naive_bayes"),
    *(model for model, (family, *_) in MODELS.items() if family == "reference"),
)
COST = {
    "parameters": 12_000,
    "fit_seconds": 12.0,
    "sample_seconds_per_1000": 0.8,
    "predict_ms_per_image": 0.05,
    "predict_ms_single": 0.4,
    "peak_mb": 640.0,
    "model_bytes": 250_000,
}


def make_study(folder, bad: bool = True, seeds=(0,), datasets=("digits",)) -> dict:
    """Plausible results of a study, two runs of which went wrong where `bad`; gives the study's config.

    A data set called gaussians is a table whose law is known; all others are images.
    """
    rng = np.random.default_rng(0)
    scores, runs, curves = [], [], []
    settings = {"vae_beta4": {"of": "vae", "beta": 4}, "dcgan_fast": {"of": "dcgan", "steps": 10}} if bad else {}
    known = catalog.metrics()
    for dataset in datasets:
        models = TABLE_MODELS if dataset == "gaussians" else MODELS
        _make_data(folder / "data" / dataset, dataset, rng)
        for i, (model, (family, capabilities, found)) in enumerate(models.items()):
            for seed in seeds if family != "reference" else seeds[:1]:
                place = folder / "runs" / dataset / model / f"seed{seed}"
                _make_run(place, model, capabilities, dataset != "gaussians", rng)
                whose = (dataset, model, family, seed)
                if "accuracy" in found and family != "reference" and dataset != "gaussians":
                    curves += _make_curves(whose, found["accuracy"][0], "log_joint" in capabilities, seed == seeds[0], rng)
                curves += _more_curves(whose, capabilities.split(), rng) if dataset != "gaussians" else []
                cost = {name: value * (1 + i) * rng.uniform(0.8, 1.2) for name, value in COST.items()}
                for name in ("sample_seconds_per_1000", "predict_ms_per_image", "predict_ms_single"):
                    cost[name] = cost[name] if name.split("_")[0] in capabilities.split() else ""
                runs.append(
                    {
                        "dataset": dataset,
                        "model": model,
                        "family": family,
                        "seed": seed,
                        "status": "ok",
                        "capabilities": capabilities,
                        **cost,
                    }
                )
                for name, (value, half, estimator) in found.items():
                    metric, _, split = name.partition(" ")
                    value += rng.normal() * half / 3 if half else 0
                    constants = known[metric].constants
                    passport = (constants["HIGHER_IS_BETTER"], constants["UNIT"], estimator, split or "test", 360)
                    position = _position(metric, value, models) if not split else ""
                    scores.append((*whose, metric, value, value - half, value + half, *passport, position))
        runs.append(
            {
                "dataset": dataset,
                "model": "feature_net",
                "family": "judge",
                "seed": 0,
                "status": "ok",
                "capabilities": "encode",
                **COST,
            }
        )
        if bad:
            for model, status, reason in (
                ("vae_beta4", "timeout", "not done after the time limit of 60 s"),
                ("dcgan_fast", "failed", EVIL),
            ):
                run = folder / "runs" / dataset / model / "seed0"
                (run / "logs").mkdir(parents=True)
                (run / "logs/train.log").write_text("".join(f"line {n}\n" for n in range(40)) + f"Traceback: {EVIL}\n")
                (run / "failure.json").write_text(json.dumps({"stage": "train", "status": status, "reason": reason}))
                runs.append(
                    {
                        "dataset": dataset,
                        "model": model,
                        "family": "generative",
                        "seed": 0,
                        "status": status,
                        "reason": reason,
                        "capabilities": "sample",
                    }
                )
    (folder / "report").mkdir(parents=True)
    pd.DataFrame(scores, columns=[*WITHOUT_POSITION, "position"]).to_csv(folder / "report/scores.csv", index=False)
    pd.DataFrame(curves, columns=list(columns.CURVES)).to_csv(folder / "report/curves.csv", index=False)
    pd.DataFrame(runs).to_csv(folder / "report/runs.csv", index=False)
    return {"study": "a made study", "datasets": list(datasets), "models": "all", "seeds": list(seeds), "settings": settings}


def _position(metric, value, models) -> float | str:
    """Between real train images, 0, and independent pixels, 1."""
    ends = [models.get(model, ("", "", {}))[2].get(metric, (np.nan,))[0] for model in ("real_train", "independent_pixels")]
    position = (value - ends[0]) / (ends[1] - ends[0]) if np.diff(ends)[0] else np.nan
    return position if np.isfinite(position) else ""


def _make_data(folder, name, rng):
    folder.mkdir(parents=True)
    y = np.arange(TEST) % 10
    audit = {"duplicates": {"within_train": 3}, "counts": {"test": [10] * 10}}
    if name == "gaussians":
        y = y % 3
        x = rng.normal(size=(TEST, 2)) * 0.5 + np.array([[0, 0], [2, 0], [1, 2]])[y]
        spec = {"name": name, "shape": [2], "classes": 3, "levels": None, "class_names": ["a", "b", "c"]}
        audit["law"] = LAW
    else:
        x = (rng.uniform(size=(10, 1, 8, 8)) > 0.6)[y] * rng.uniform(0.5, 1, (TEST, 1, 8, 8))
        spec = {"name": name, "shape": [1, 8, 8], "classes": 10, "levels": 17, "class_names": ["<b>nought</b>", *"123456789"]}
    np.save(folder / "test_x.npy", x.astype(np.float32))
    np.save(folder / "test_y.npy", y)
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "audit.json").write_text(json.dumps(audit))


def _make_curves(whose, best, exact, first_seed, rng):
    """Rows of curves.csv: accuracy falls along each probe's curve and rises along the learning curve, sooner for a density."""
    rows = []
    for curve, (conditions, places, fall) in CURVES.items():
        for condition in conditions:
            steepness = fall * rng.uniform(0.5, 1.5) * (0.5 if condition == "FGSM" else 1)
            how = ("exact marginal" if exact else "mean imputation") if curve == "missing_pixels" else condition
            for at in places:
                value = max(best * np.exp(-steepness * at), 0.1) if at else best
                rows.append((*whose, curve, how, at, 0, value, value - 0.03, min(value + 0.03, 1), "accuracy", "", "test", 360))
    for draw in range(5 if first_seed else 0):
        for size in SIZES if draw == 0 else SIZES[:-1]:
            value = best - (best - 0.1) * np.exp(-((size / (3 if exact else 12)) ** 0.6)) + rng.normal() * 0.02 / np.sqrt(size)
            rows.append((*whose, "learning_curve", "", size, draw, value, "", "", "accuracy", "", "test", 360))
    return rows


def _more_curves(whose, capabilities, rng):
    """Rows of curves.csv that are no accuracies under a probe, or none of a classifier."""
    rows = []
    for curve, (verb, conditions, places, unit) in MORE_CURVES.items():
        if not any(able.startswith(verb) for able in capabilities):
            continue
        for c, condition in enumerate(conditions):
            for at in places:
                value = {
                    "denoising": (0.018 + 0.05 * at, 0.004 + 0.16 * at, 0.067)[min(c, 2)] if curve == "denoising" else 0,
                    "inpainting": 0.04 + 0.02 * c,
                    "inpainting_labels": 0.9 - 0.1 * c,
                    "latent_probe": 0.95 - (0.5 + 0.05 * c) * np.exp(-at / 8),
                }.get(curve, (0.99, 0.7, 0.93, 0.28)[c] if "likelihood" in curve else (0.9, 0.55, 0.8, 0.85)[c])
                value += 0 if curve == "denoising" and c else rng.normal() * 0.004
                low, high = value - 0.02 * abs(value), value + 0.02 * abs(value)
                rows.append((*whose, curve, condition, at, 0, value, low, high, unit, "", "test", 360))
    return rows


def _make_run(folder, model, capabilities, images, rng):
    (folder / "logs").mkdir(parents=True)
    (folder / "pictures").mkdir()
    (folder / "logs/train.tsv").write_text("s\th:m:s\tmax_rss\n12.5\t0:00:12\t640\n")
    origin = {
        "commit": "0123456789abcdef",
        "dirty": False,
        "config_hash": "0a1b2c",
        "versions": {"torch": "2.13.0"},
        "machine": {"cores": 2},
    }
    drawn = {"training_samples": [1, 20, 40], "collapsed": None} if images and model in ("vae", "dcgan") else {}
    (folder / "train.json").write_text(json.dumps({"provenance": origin} | drawn))
    (folder / "predictions").mkdir()
    said = {"predict_ms_per_image": 0.1, "learned": "what <it> learned"}
    if "encode" in capabilities.split():
        said["baselines"] = BASELINES
        y = np.arange(TEST) % 10
        angle = 2 * np.pi * y / 10
        codes = 3 * np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(size=(TEST, 2))
        np.save(folder / "predictions/codes_map.npy", codes)
    (folder / "evaluate.json").write_text(json.dumps(said))
    if "predict" in capabilities.split():
        score = rng.normal(size=(TEST, 10)) * 1.2
        score[np.arange(TEST), np.arange(TEST) % 10] += 4
        np.save(folder / "predictions/labels.npy", score.argmax(1))
        if "predict_proba" in capabilities.split():
            np.save(folder / "predictions/probabilities.npy", np.exp(score) / np.exp(score).sum(1, keepdims=True))
        if images:
            Image.fromarray(rng.integers(0, 255, (40, 160), dtype=np.uint8)).save(folder / "pictures/learned.png")
    pictures = {
        "sample": ["samples.png", "pictures/nearest.png"],
        "decode": ["pictures/decoded.png"],
        "reconstruct": ["pictures/reconstructions.png", "pictures/denoised.png"],
        "inpaint": ["pictures/inpaintings.png"],
    }
    if "training_samples" in drawn:
        (folder / "training_samples").mkdir()
        np.save(folder / "training_samples/samples.npy", rng.integers(0, 255, (3, 10, 1, 8, 8), dtype=np.uint8))
    for name in (name for verb, names in pictures.items() if images and verb in capabilities.split() for name in names):
        Image.fromarray(rng.integers(0, 255, (80, 160), dtype=np.uint8)).save(folder / name)
    if model in WITHOUT_HISTORY:
        (folder / "history.csv").write_text("")
        return
    epoch = np.arange(1, 41)
    fall = np.exp(-epoch / 8) + rng.normal(0, 0.01, 40)
    columns = {"epoch": epoch, "seconds": epoch * 0.3}
    if model == "dcgan":
        columns |= {"discriminator_loss": 0.6 + fall / 4, "generator_loss": 1.6 - fall}
        columns |= {"discriminator_accuracy": 0.5 + fall / 4, "generator_gradient_norm": 2 + fall}
        columns |= {"diversity": np.where(epoch % 20 == 0, 0.9, np.nan)}
    else:
        columns |= {"loss": fall + 0.1, "val_loss": fall + 0.16 + 0.003 * np.maximum(epoch - 20, 0)}
    pd.DataFrame(columns).to_csv(folder / "history.csv", index=False)
