"""The results of a study, made up in a second: what the report is tested and looked at with."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from pofxy.study import catalog, columns, plan

# A message that HTML and templates must escape.
EVIL = 'ValueError: <script>alert(1)</script> & "quotes" {{ 7 * 7 }}'
NET = "feature_net 0a1b2c3d"
# The number of images behind a score, and of images in the test split's files.
SCORED = 360
TEST = 100


class Score(NamedTuple):
    """A score before it varies with the seed: value, half of its interval, estimator, and the cell of the column `bound`."""

    value: float
    half: float = 0.0
    estimator: str = ""
    bound: str = ""


class Model(NamedTuple):
    """Family, capabilities separated by spaces, and scores by metric ("bits_per_dim train" is one of the train split)."""

    family: str
    capabilities: str
    scores: dict[str, Score]


class SampleMetric(NamedTuple):
    """A metric of samples: its value for real train images and for independent pixels, half of its interval, its estimator."""

    floor: float
    ceiling: float
    half: float
    estimator: str = ""


SAMPLE_METRICS = {
    "kernel_distance": SampleMetric(0.0004, 0.9, 0.002, NET),
    "precision": SampleMetric(0.93, 0.02, 0.02, NET),
    "recall": SampleMetric(0.92, 0.01, 0.02, NET),
    "density": SampleMetric(1.01, 0.01, 0.05, NET),
    "coverage": SampleMetric(0.95, 0.02, 0.02, NET),
    "inception_score": SampleMetric(8.9, 1.6, 0.2, NET),
    "two_sample_test": SampleMetric(0.51, 0.99, 0.02, NET),
    "ndb": SampleMetric(0.04, 0.97, 0.03, NET),
    "distinct_classes": SampleMetric(1.0, 0.2, 0.0, NET),
    "class_entropy": SampleMetric(1.0, 0.3, 0.02, NET),
    "sharpness": SampleMetric(1.01, 2.6, 0.03),
    "brightness": SampleMetric(1.0, 1.1, 0.02),
    "confident_samples": SampleMetric(0.97, 0.3, 0.02, NET),
    "nearest_neighbor_ratio": SampleMetric(1.02, 1.9, 0.02),
    "memorization_p_value": SampleMetric(0.41, 1.0, 0.0),
    "authenticity": SampleMetric(0.62, 0.99, 0.03),
}


def sampler(distance: float, at: float) -> dict[str, Score]:
    """Scores of samples with this Fréchet distance; the others have the normalized score `at`."""
    at_infinity = 0.8 * distance
    scores = {
        "frechet_distance": Score(distance, 0.08 * distance, NET),
        "frechet_distance_infinity": Score(at_infinity, 0.06 * at_infinity, NET),
    }
    for metric, (floor, ceiling, half, estimator) in SAMPLE_METRICS.items():
        scores[metric] = Score(floor + at * (ceiling - floor), half, estimator)
    return scores


def scored(halves: dict[str, float], *values: float) -> dict[str, Score]:
    """Scores of the metrics in `halves` (half of their intervals), with these values."""
    return {metric: Score(value, half) for (metric, half), value in zip(halves.items(), values, strict=True)}


RECONSTRUCTION = {"reconstruction_mse": 0.0005, "psnr": 0.3, "ssim": 0.01, "denoising": 0.001}
LATENTS = {
    "linear_probe": 0.02,
    "latent_knn_accuracy": 0.02,
    "latent_nmi": 0.02,
    "latent_ari": 0.02,
    "latent_trustworthiness": 0.004,
}
INPAINTING = {"inpainting_error": 0.002, "inpainting_labels": 0.03}
CONDITIONAL = {"train_on_synthetic": 0.02, "train_on_union": 0.01}


def density(metric: str, value: float, train: float | None, estimator: str, bound: bool) -> dict[str, Score]:
    """A likelihood of the test split and, where given, of the train split."""
    scores = {metric: Score(value, 0.05, estimator, str(bound))}
    if train is not None:
        scores[f"{metric} train"] = Score(train, 0.02, estimator, str(bound))
    return scores


MODELS = {
    "logistic_regression": Model(
        "discriminative",
        "predict decision_function predict_proba",
        {"accuracy": Score(0.961, 0.02), "log_loss": Score(0.131, 0.05)},
    ),
    "linear_svm": Model("discriminative", "predict", {"accuracy": Score(0.953, 0.022)}),
    "lenet": Model("discriminative", "predict predict_proba", {"accuracy": Score(0.986, 0.012), "log_loss": Score(0.052, 0.02)}),
    "gaussian_naive_bayes": Model(
        "generative",
        "predict predict_proba log_joint log_prob sample inpaint",
        {"accuracy": Score(0.911, 0.029), "log_loss": Score(0.74, 0.2)}
        | density("bits_per_dim", 3.01, 2.94, "uniform-dequantized bound", bound=True)
        | {"label_agreement": Score(0.81, 0.02, NET)}
        | scored(CONDITIONAL, 0.84, 0.97)
        | scored(INPAINTING, 0.071, 0.74)
        | sampler(38.2, 0.17),
    ),
    "vae": Model(
        "generative",
        "log_prob_bound sample reconstruct inpaint encode decode",
        {"decoded_noise_distance": Score(9.3, 0.9, NET)}
        | density("bits_per_dim", 1.84, 1.62, "IWAE-32", bound=True)
        | scored(RECONSTRUCTION, 0.0121, 19.6, 0.87, 0.021)
        | scored(INPAINTING, 0.043, 0.86)
        | scored(LATENTS, 0.94, 0.95, 0.71, 0.62, 0.97)
        | sampler(5.5, 0.03),
    ),
    "autoencoder": Model(
        "generative",
        "reconstruct encode",
        scored(RECONSTRUCTION, 0.0091, 20.8, 0.91, 0.026) | scored(LATENTS, 0.95, 0.94, 0.66, 0.58, 0.98),
    ),
    "dcgan": Model(
        "generative",
        "sample",
        sampler(5.2, 0.02) | {"memorization_p_value": Score(0.0004), "authenticity": Score(0.31, 0.03)},
    ),
    "conditional_gan": Model(
        "generative",
        "sample",
        sampler(6.4, 0.04)
        | {"label_agreement": Score(0.96, 0.01, NET)}
        | scored(CONDITIONAL, 0.93, 0.985)
        | {"kernel_distance": Score(-0.0006, 0.002, NET)},
    ),
    "real_train": Model(
        "reference",
        "sample",
        sampler(3.1, 0.0) | {"label_agreement": Score(0.99, 0.01, NET)} | scored(CONDITIONAL, 0.975, 0.98),
    ),
    "independent_pixels": Model(
        "reference",
        "log_prob sample inpaint",
        density("bits_per_dim", 3.4, None, "exact mass", bound=False) | scored(INPAINTING, 0.088, 0.31) | sampler(221.0, 1.0),
    ),
    "noise": Model(
        "reference",
        "log_prob sample",
        {"bits_per_dim": Score(4.09, 0.0, "exact mass", "False")} | sampler(410.0, 1.0),
    ),
    "copycat": Model("reference", "sample", sampler(3.0, 0.0) | {"memorization_p_value": Score(0.0), "authenticity": Score(0.0)}),
    "one_per_class": Model(
        "reference", "sample", sampler(60.0, 0.3) | {"recall": Score(0.02, 0.01, NET), "coverage": Score(0.03, 0.01, NET)}
    ),
}
# The same for a table of two columns run_key distribution is known.
TABLE_MODELS = {
    "logistic_regression": Model(
        "discriminative",
        "predict decision_function predict_proba",
        {"accuracy": Score(0.902, 0.03), "log_loss": Score(0.28, 0.05)},
    ),
    "gaussian_naive_bayes": Model(
        "generative",
        "predict predict_proba log_joint log_prob sample",
        {"accuracy": Score(0.871, 0.03), "log_loss": Score(0.34, 0.05)}
        | density("log_density", -2.31, -2.29, "exact density", bound=False),
    ),
    "independent_pixels": Model("reference", "log_prob sample", density("log_density", -2.9, None, "exact density", bound=False)),
    "oracle": Model(
        "reference",
        "predict predict_proba log_joint log_prob sample",
        {"accuracy": Score(0.915, 0.03), "log_loss": Score(0.231, 0.04)}
        | density("log_density", -2.05, None, "exact density", bound=False),
    ),
}
KNOWN_DISTRIBUTION = {"entropy": 2.06, "bayes_accuracy": 0.917, "bayes_log_loss": 0.229}


class Probe(NamedTuple):
    """A curve of accuracies under a probe: its conditions, its points, and how fast the accuracy falls along it."""

    conditions: list[str]
    points: list[float]
    fall: float


PROBES = {
    "robustness": Probe(
        ["gaussian_noise", "blur", "occlusion", "shift", "rotation", "contrast", "inversion"], [0, 1, 2, 3, 4, 5], 0.12
    ),
    "missing_pixels": Probe(["mean imputation"], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 0.7),
    "adversarial": Probe(["FGSM", "PGD"], [0, 0.02, 0.05, 0.1, 0.2, 0.3], 2.5),
}


class Curve(NamedTuple):
    """Another curve: the beginning of the capability that it needs, its conditions, its points, its unit."""

    capability: str
    conditions: list[str]
    points: list[float]
    unit: str


REGIONS = ["lower half", "centre", "half the pixels"]
OOD_DATASETS = ["noise", "inverted", "shuffled pixels", "fashion_mnist"]
CURVES = {
    "denoising": Curve("reconstruct", ["model", "Gaussian filter", "mean image"], [0.1, 0.2, 0.3, 0.5], "squared intensity"),
    "inpainting": Curve("inpaint", REGIONS, [0], "squared intensity"),
    "inpainting_labels": Curve("inpaint", REGIONS, [0], "accuracy"),
    "latent_probe": Curve("encode", ["linear probe", "k-NN", "PCA, linear probe", "PCA, k-NN"], [1, 10, 125.7], "accuracy"),
    "ood_likelihood": Curve("log_prob", OOD_DATASETS, [0], "AUROC"),
    "ood_typicality": Curve("log_prob", OOD_DATASETS, [0], "AUROC"),
    "ood_softmax": Curve("predict_proba", OOD_DATASETS, [0], "AUROC"),
    "ood_energy": Curve("decision_function", OOD_DATASETS, [0], "AUROC"),
}
BASELINES = {"latent_nmi": 0.61, "latent_ari": 0.5, "latent_trustworthiness": 0.95}
# Training images per class of the learning curve; the last is the whole train split.
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
FAILED = {"vae_beta4": ("timeout", "not done after the time limit of 60 s"), "dcgan_fast": ("failed", EVIL)}
SETTINGS = {"vae_beta4": {"of": "vae", "beta": 4}, "dcgan_fast": {"of": "dcgan", "steps": 10}}
PICTURES = {
    "sample": ["samples.png", "pictures/nearest.png"],
    "decode": ["pictures/decoded.png"],
    "reconstruct": ["pictures/reconstructions.png", "pictures/denoised.png"],
    "inpaint": ["pictures/inpaintings.png"],
}


def make_study(folder: Path, bad: bool = True, seeds: tuple[int, ...] = (0,), datasets: tuple[str, ...] = ("digits",)) -> dict:
    """Writes the results of a study.

    Args:
        folder: the results folder.
        bad: whether two runs of each data set fail.
        seeds: of all models but the references, which have the first of them alone.
        datasets: names. `gaussians` is a table run_key distribution is known; all others are images.

    Returns:
        The study's config.
    """
    rng = np.random.default_rng(0)
    scores = []
    runs = []
    curves = []
    for dataset in datasets:
        images = dataset != "gaussians"
        models = MODELS if images else TABLE_MODELS
        _make_data(folder / "data" / dataset, dataset, rng)
        for i, (model, (family, capabilities, of_model)) in enumerate(models.items()):
            for seed in seeds if family != "reference" else seeds[:1]:
                run_key = (dataset, model, family, seed)
                _make_run(folder / "runs" / dataset / model / f"seed{seed}", model, capabilities.split(), images, rng)
                if "accuracy" in of_model and family != "reference" and images:
                    accuracy = of_model["accuracy"].value
                    curves += _make_curves(run_key, accuracy, "log_joint" in capabilities, seed == seeds[0], rng)
                if images:
                    curves += _more_curves(run_key, capabilities.split(), rng)
                runs.append(_run_row(run_key, capabilities, _cost(capabilities.split(), i, rng)))
                scores += _make_scores(run_key, of_model, models, rng)
        runs.append(_run_row((dataset, "feature_net", "feature_net", 0), "encode", COST))
        if bad:
            for model, (status, reason) in FAILED.items():
                _make_failure(folder / "runs" / dataset / model / "seed0", status, reason)
                runs.append(_run_row((dataset, model, "generative", 0), "sample", {}, status, reason))
    (folder / "report").mkdir(parents=True)
    pd.DataFrame(scores, columns=list(columns.SCORES)).to_csv(folder / "report/scores.csv", index=False)
    pd.DataFrame(curves, columns=list(columns.CURVES)).to_csv(folder / "report/curves.csv", index=False)
    pd.DataFrame(runs).to_csv(folder / "report/runs.csv", index=False)
    return {
        "study": "a made study",
        "datasets": list(datasets),
        "models": "all",
        "seeds": list(seeds),
        "settings": SETTINGS if bad else {},
    }


def make_large_study(folder: Path, copies: int, seeds: tuple[int, ...], datasets: tuple[str, ...]) -> dict:
    """Writes the files of all runs of a study of many models, but not the tables that `collect` makes of them.

    Args:
        folder: the results folder.
        copies: how many variants of each model there are, the model itself included.
        seeds: of all models but the references.
        datasets: names of data sets of images.

    Returns:
        The study's config.
    """
    rng = np.random.default_rng(0)
    trained = [model for model, made in MODELS.items() if made.family != "reference"]
    variants = {f"{model}_{i}": {"of": model} for model in trained for i in range(1, copies)}
    config = {
        "study": "a_large_study",
        "results": str(folder),
        "datasets": {name: {"of": "digits"} for name in datasets},
        "models": [*trained, *variants],
        "seeds": list(seeds),
        "settings": variants,
    }
    for dataset in datasets:
        _make_data(folder / "data" / dataset, dataset, rng)
    for run in plan.runs(config):
        place = folder / "runs" / run.key
        made = MODELS.get(run.of, Model("", "encode", {}))
        key = (run.dataset, run.model, run.family, run.seed)
        capabilities = made.capabilities.split()
        _make_run(place, run.of, capabilities, True, rng)
        (place / "sample.json").write_text('{"sample_seconds": 0.3, "n": 360}')
        if run.family == "feature_net":
            continue
        learning = (
            _make_curves(key, made.scores["accuracy"].value, "log_joint" in capabilities, plan.learns(config, run), rng)
            if ("accuracy" in made.scores)
            else []
        )
        own = [row for row in learning if row[4] != "learning_curve"]
        (place / "learning").mkdir()
        subsets = [row for row in learning if row[4] == "learning_curve" and row[6] < SIZES[-1]]
        for name, rows, header in (
            ("scores.csv", _make_scores(key, made.scores, MODELS, rng), columns.SCORES),
            ("curves.csv", own + _more_curves(key, capabilities, rng), columns.CURVES),
            ("learning/curve.csv", subsets, columns.CURVES),
        ):
            pd.DataFrame(rows, columns=list(header)).to_csv(place / name, index=False)
    return config


def _run_row(run_key: tuple, capabilities: str, cost: dict, status: str = "ok", reason: str = "") -> dict:
    """A row of runs.csv."""
    return dict(zip(columns.RUN_KEY, run_key)) | {"status": status, "reason": reason, "capabilities": capabilities} | cost


def _cost(capabilities: list[str], i: int, rng: np.random.Generator) -> dict:
    """The costs of the i-th model; empty cells for those that its capabilities do not allow."""
    cost: dict = {name: value * (1 + i) * rng.uniform(0.8, 1.2) for name, value in COST.items()}
    for name in ("sample_seconds_per_1000", "predict_ms_per_image", "predict_ms_single"):
        if name.split("_")[0] not in capabilities:
            cost[name] = ""
    return cost


def _make_scores(run_key: tuple, scores: dict[str, Score], models: dict[str, Model], rng: np.random.Generator) -> list[tuple]:
    """Rows of scores.csv of one run."""
    rows = []
    for name, (value, half, estimator, bound) in scores.items():
        metric, _, split = name.partition(" ")
        value += rng.normal() * half / 3 if half else 0
        known = catalog.metrics()[metric]
        interval = (value - half, value + half)
        provenance = (known.higher_is_better, known.unit, estimator, bound, split or "test", SCORED)
        rows.append((*run_key, metric, value, *interval, *provenance, "" if split else _normalized(metric, value, models)))
    return rows


def _normalized(metric: str, value: float, models: dict[str, Model]) -> float | str:
    """0 at real train images, 1 at independent pixels; "" where one of them has no such score."""
    references = [models[model].scores for model in ("real_train", "independent_pixels") if model in models]
    ends = [scores[metric].value for scores in references if metric in scores]
    if len(ends) < 2 or ends[0] == ends[1]:
        return ""
    return (value - ends[0]) / (ends[1] - ends[0])


def _make_failure(folder: Path, status: str, reason: str) -> None:
    (folder / "logs").mkdir(parents=True)
    (folder / "logs/train.log").write_text("".join(f"line {n}\n" for n in range(40)) + f"Traceback: {EVIL}\n")
    (folder / "failure.json").write_text(json.dumps({"stage": "train", "status": status, "reason": reason}))


def _make_data(folder: Path, name: str, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    y = np.arange(TEST) % 10
    audit: dict = {"duplicates": {"within_train": 3}, "counts": {"train": [126] * 10, "test": [10] * 10}}
    if name == "gaussians":
        y = y % 3
        x = rng.normal(size=(TEST, 2)) * 0.5 + np.array([[0, 0], [2, 0], [1, 2]])[y]
        spec = {"name": name, "shape": [2], "classes": 3, "levels": None, "class_names": ["a", "b", "c"]}
        audit["known_distribution"] = KNOWN_DISTRIBUTION
    else:
        x = (rng.uniform(size=(10, 1, 8, 8)) > 0.6)[y] * rng.uniform(0.5, 1, (TEST, 1, 8, 8))
        spec = {"name": name, "shape": [1, 8, 8], "classes": 10, "levels": 17, "class_names": ["<b>nought</b>", *"123456789"]}
    np.save(folder / "test_x.npy", x.astype(np.float32))
    np.save(folder / "test_y.npy", y)
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "audit.json").write_text(json.dumps(audit))


def _make_curves(run_key: tuple, best: float, exact: bool, first_seed: bool, rng: np.random.Generator) -> list[tuple]:
    """Rows of curves.csv: the accuracy falls along each probe's curve and rises along the learning curve, sooner for a density.

    Args:
        run_key: data set, model, family, seed.
        best: accuracy on all test images after the whole train split.
        exact: whether the model is a density.
        first_seed: whether it has learning curves.
        rng: noise of the curves.
    """
    rows = []
    for curve, (conditions, points, fall) in PROBES.items():
        for condition in conditions:
            steepness = fall * rng.uniform(0.5, 1.5) * (0.5 if condition == "FGSM" else 1)
            if curve == "missing_pixels" and exact:
                condition = "exact marginal"
            for at in points:
                value = max(best * np.exp(-steepness * at), 0.1) if at else best
                interval = (value - 0.03, min(value + 0.03, 1))
                rows.append((*run_key, curve, condition, at, 0, value, *interval, "accuracy", "", "test", SCORED))
    for draw in range(5 if first_seed else 0):
        for size in SIZES if draw == 0 else SIZES[:-1]:
            value = best - (best - 0.1) * np.exp(-((size / (3 if exact else 12)) ** 0.6)) + rng.normal() * 0.02 / np.sqrt(size)
            rows.append((*run_key, "learning_curve", "", size, draw, value, "", "", "accuracy", "", "test", SCORED))
    return rows


def _more_curves(run_key: tuple, capabilities: list[str], rng: np.random.Generator) -> list[tuple]:
    """Rows of curves.csv of CURVES, as far as the capabilities allow."""
    rows = []
    for curve, (needed, conditions, points, unit) in CURVES.items():
        if not any(capability.startswith(needed) for capability in capabilities):
            continue
        for c, condition in enumerate(conditions):
            for at in points:
                value = _curve_value(curve, c, at)
                # The two baselines of denoising are the same for every model.
                if curve != "denoising" or c == 0:
                    value += rng.normal() * 0.004
                interval = (value - 0.02 * abs(value), value + 0.02 * abs(value))
                rows.append((*run_key, curve, condition, at, 0, value, *interval, unit, "", "test", SCORED))
    return rows


def _curve_value(curve: str, c: int, at: float) -> float:
    """The value of a curve under its c-th condition at a point, before noise."""
    if curve == "denoising":
        return (0.018 + 0.05 * at, 0.004 + 0.16 * at, 0.067)[c]
    if curve == "inpainting":
        return 0.04 + 0.02 * c
    if curve == "inpainting_labels":
        return 0.9 - 0.1 * c
    if curve == "latent_probe":
        return 0.95 - (0.5 + 0.05 * c) * float(np.exp(-at / 8))
    if curve == "ood_likelihood":
        return (0.99, 0.7, 0.93, 0.28)[c]
    return (0.9, 0.55, 0.8, 0.85)[c]


def _make_run(folder: Path, model: str, capabilities: list[str], images: bool, rng: np.random.Generator) -> None:
    """The files of one run, but for its scores."""
    (folder / "logs").mkdir(parents=True)
    (folder / "pictures").mkdir()
    (folder / "predictions").mkdir()
    (folder / "logs/train.tsv").write_text("s\tcpu_time\tmax_rss\n12.5\t12.1\t640\n")
    provenance = {
        "commit": "0123456789abcdef",
        "dirty": False,
        "config_hash": "0a1b2c",
        "versions": {"torch": "2.13.0"},
        "machine": {"cores": 2},
    }
    monitored = {"training_samples": [1, 20, 40], "collapsed": None} if images and model in ("vae", "dcgan") else {}
    (folder / "train.json").write_text(json.dumps({"provenance": provenance} | monitored))
    evaluation: dict = {"predict_ms_per_image": 0.1, "learned": "what <it> learned"}
    if "encode" in capabilities:
        evaluation["baselines"] = BASELINES
        angle = 2 * np.pi * (np.arange(TEST) % 10) / 10
        latents = 3 * np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(size=(TEST, 2))
        np.save(folder / "predictions/latent_map.npy", latents)
    (folder / "evaluate.json").write_text(json.dumps(evaluation))
    if "predict" in capabilities:
        _make_predictions(folder / "predictions", "predict_proba" in capabilities, rng)
        if images:
            Image.fromarray(rng.integers(0, 255, (40, 160), dtype=np.uint8)).save(folder / "pictures/learned.png")
    if monitored:
        (folder / "training_samples").mkdir()
        np.save(folder / "training_samples/samples.npy", rng.integers(0, 255, (3, 10, 1, 8, 8), dtype=np.uint8))
    for capability, names in PICTURES.items():
        for name in names if images and capability in capabilities else ():
            Image.fromarray(rng.integers(0, 255, (80, 160), dtype=np.uint8)).save(folder / name)
    if model in WITHOUT_HISTORY:
        (folder / "history.csv").write_text("")
    else:
        _history(model, rng).to_csv(folder / "history.csv", index=False)


def _make_predictions(folder: Path, probabilities: bool, rng: np.random.Generator) -> None:
    """Labels of the test images, most of them right, and their probabilities."""
    score = rng.normal(size=(TEST, 10)) * 1.2
    score[np.arange(TEST), np.arange(TEST) % 10] += 4
    np.save(folder / "labels.npy", score.argmax(1))
    if probabilities:
        np.save(folder / "probabilities.npy", np.exp(score) / np.exp(score).sum(1, keepdims=True))


def _history(model: str, rng: np.random.Generator) -> pd.DataFrame:
    """history.csv: the losses of 40 epochs."""
    epoch = np.arange(1, 41)
    fall = np.exp(-epoch / 8) + rng.normal(0, 0.01, 40)
    history = {"epoch": epoch, "seconds": epoch * 0.3}
    if model == "dcgan":
        history["discriminator_loss"] = 0.6 + fall / 4
        history["generator_loss"] = 1.6 - fall
        history["discriminator_accuracy"] = 0.5 + fall / 4
        history["generator_gradient_norm"] = 2 + fall
        history["diversity"] = np.where(epoch % 20 == 0, 0.9, np.nan)
    else:
        history["loss"] = fall + 0.1
        history["val_loss"] = fall + 0.16 + 0.003 * np.maximum(epoch - 20, 0)
    return pd.DataFrame(history)
