"""Plausible results of a study, made up in a second: what the report is tested with, and looked at with."""

import json

import numpy as np
import pandas as pd
from PIL import Image

from pofxy import catalog, tables

EVIL = 'ValueError: <script>alert(1)</script> & "quotes" {{ 7 * 7 }}'
PASSPORT = list(tables.SCORES)
# model: (family, verbs, its scores as metric -> (value, half of its interval, estimator))
MODELS = {
    "logistic_regression": (
        "discriminative",
        "predict predict_proba",
        {"accuracy": (0.961, 0.02, ""), "log_loss": (0.131, 0.05, "")},
    ),
    "linear_svm": ("discriminative", "predict", {"accuracy": (0.953, 0.022, "")}),
    "lenet": ("discriminative", "predict predict_proba", {"accuracy": (0.986, 0.012, ""), "log_loss": (0.052, 0.02, "")}),
    "gaussian_naive_bayes": (
        "generative",
        "predict predict_proba log_joint log_prob sample",
        {
            "accuracy": (0.911, 0.029, ""),
            "log_loss": (0.74, 0.2, ""),
            "bits_per_dim": (3.01, 0.05, "uniform-dequantised bound"),
            "frechet_distance": (38.2, 4.1, "feature_net 0a1b2c3d"),
        },
    ),
    "vae": (
        "generative",
        "log_prob_bound sample reconstruct encode",
        {
            "bits_per_dim": (1.84, 0.03, "IWAE-32"),
            "frechet_distance": (5.9, 0.8, "feature_net 0a1b2c3d"),
            "reconstruction_mse": (0.0121, 0.0006, ""),
            "psnr": (19.6, 0.3, ""),
        },
    ),
    "dcgan": ("generative", "sample", {"frechet_distance": (5.2, 0.9, "feature_net 0a1b2c3d")}),
    "real_train": ("reference", "sample", {"frechet_distance": (3.1, 0.5, "feature_net 0a1b2c3d")}),
    "independent_pixels": (
        "reference",
        "log_prob sample",
        {"bits_per_dim": (3.4, 0.02, "exact mass"), "frechet_distance": (221.0, 9.0, "feature_net 0a1b2c3d")},
    ),
}
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
SIZES = [1, 2, 5, 10, 20, 50, 100, 125.7]
WITHOUT_HISTORY = ("logistic_regression", "linear_svm", "gaussian_naive_bayes", "real_train", "independent_pixels")
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
    """Plausible results of a study, two runs of which went wrong where `bad`; gives the study's config."""
    rng = np.random.default_rng(0)
    scores, runs, curves = [], [], []
    settings = {"vae_beta4": {"of": "vae", "beta": 4}, "dcgan_fast": {"of": "dcgan", "steps": 10}} if bad else {}
    for dataset in datasets:
        _make_data(folder / "data" / dataset, dataset, rng)
        for i, (model, (family, verbs, found)) in enumerate(MODELS.items()):
            for seed in seeds if family != "reference" else seeds[:1]:
                _make_run(folder / "runs" / dataset / model / f"seed{seed}", model, verbs, rng)
                if "accuracy" in found:
                    whose = (dataset, model, family, seed)
                    curves += _make_curves(whose, found["accuracy"][0], "log_joint" in verbs, seed == seeds[0], rng)
                cost = {name: value * (1 + i) * rng.uniform(0.8, 1.2) for name, value in COST.items()}
                for name in ("sample_seconds_per_1000", "predict_ms_per_image", "predict_ms_single"):
                    cost[name] = cost[name] if name.split("_")[0] in verbs.split() else ""
                runs.append(
                    {"dataset": dataset, "model": model, "family": family, "seed": seed, "status": "ok", "verbs": verbs, **cost}
                )
                for metric, (value, half, estimator) in found.items():
                    value += rng.normal() * half / 3
                    known = catalog.metrics()[metric].constants
                    passport = (known["HIGHER_IS_BETTER"], known["UNIT"], estimator, "test", 360)
                    scores.append((dataset, model, family, seed, metric, value, value - half, value + half, *passport))
        runs.append(
            {"dataset": dataset, "model": "feature_net", "family": "judge", "seed": 0, "status": "ok", "verbs": "encode", **COST}
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
                        "verbs": "sample",
                    }
                )
    (folder / "report").mkdir(parents=True)
    pd.DataFrame(scores, columns=PASSPORT).to_csv(folder / "report/scores.csv", index=False)
    pd.DataFrame(curves, columns=list(tables.CURVES)).to_csv(folder / "report/curves.csv", index=False)
    pd.DataFrame(runs).to_csv(folder / "report/runs.csv", index=False)
    return {"study": "a made study", "datasets": list(datasets), "models": "all", "seeds": list(seeds), "settings": settings}


def _make_data(folder, name, rng):
    folder.mkdir(parents=True)
    y = np.arange(100) % 10
    x = (rng.uniform(size=(10, 1, 8, 8)) > 0.6)[y] * rng.uniform(0.5, 1, (100, 1, 8, 8))
    np.save(folder / "test_x.npy", x.astype(np.float32))
    np.save(folder / "test_y.npy", y)
    spec = {"name": name, "shape": [1, 8, 8], "classes": 10, "levels": 17, "class_names": ["<b>nought</b>", *"123456789"]}
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "audit.json").write_text(json.dumps({"duplicates": {"within_train": 3}, "counts": {"test": [10] * 10}}))


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


def _make_run(folder, model, verbs, rng):
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
    (folder / "train.json").write_text(json.dumps({"provenance": origin}))
    (folder / "evaluate.json").write_text(json.dumps({"predict_ms_per_image": 0.1, "learned": "what <it> learned"}))
    if "predict" in verbs.split():
        (folder / "predictions").mkdir()
        score = rng.normal(size=(100, 10)) * 1.2
        score[np.arange(100), np.arange(100) % 10] += 4
        np.save(folder / "predictions/labels.npy", score.argmax(1))
        if "predict_proba" in verbs.split():
            np.save(folder / "predictions/probabilities.npy", np.exp(score) / np.exp(score).sum(1, keepdims=True))
        Image.fromarray(rng.integers(0, 255, (40, 160), dtype=np.uint8)).save(folder / "pictures/learned.png")
    if "sample" in verbs.split():
        Image.fromarray(rng.integers(0, 255, (80, 160), dtype=np.uint8)).save(folder / "samples.png")
    if "reconstruct" in verbs.split():
        Image.fromarray(rng.integers(0, 255, (40, 160), dtype=np.uint8)).save(folder / "pictures/reconstructions.png")
    if model in WITHOUT_HISTORY:
        (folder / "history.csv").write_text("")
        return
    epoch = np.arange(1, 41)
    fall = np.exp(-epoch / 8) + rng.normal(0, 0.01, 40)
    columns = {"epoch": epoch, "seconds": epoch * 0.3}
    if model == "dcgan":
        columns |= {"discriminator_loss": 0.6 + fall / 4, "generator_loss": 1.6 - fall}
    else:
        columns |= {"loss": fall + 0.1, "val_loss": fall + 0.16 + 0.003 * np.maximum(epoch - 20, 0)}
    pd.DataFrame(columns).to_csv(folder / "history.csv", index=False)
