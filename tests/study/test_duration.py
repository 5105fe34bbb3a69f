"""How long a study is expected to take: from earlier runs, from scaled figures, and while it runs."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from pofxy.study import catalog, costs, duration
from pofxy.study.run import Run
from pofxy.study.sizes import Size

SMALL = Size(rows=1000, test_rows=200, numbers=64)
# Two models on one data set: a net of 2,000 steps of batch 64, and a model that is fitted in closed form.
FIGURES = {
    "speed": 0.5,
    "between": 0.0,
    "start": {"train": 1.0, "evaluate": 1.0},
    "sizes": {"made": vars(SMALL)},
    "jobs": {
        "made": {
            "vae": {"train": {"seconds": 21.0, "memory": 400, "work": 128_000}, "evaluate": {"seconds": 5.0, "memory": 500}},
            "gaussian": {"train": {"seconds": 3.0, "memory": 200}, "evaluate": {"seconds": 2.0, "memory": 200}},
        }
    },
    "disk": {"made": {"vae": 3.0, "gaussian": 1.0}},
}
GROWTH = {"vae": {"fit": 0.5, "evaluate": 1.0}, "gaussian": {"fit": 2.0, "evaluate": 1.0}}


def made_job(folder: Path, rule: str, model: str, work: float = 0, dataset: str = "mine", seed: int = 0) -> duration.Job:
    run = Run(dataset, model, model, "generative", seed, ())
    return duration.Job(rule, 1, str(folder / run.key / f"logs/{rule}.tsv"), run, work)


def note(job: duration.Job, seconds: float) -> None:
    """Writes what a job cost, as its frame does."""
    path = Path(job.cost_file or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tcpu_time\tmax_rss\n{seconds}\t{seconds}\t300.0\n")


def estimator(folder: Path, size: Size | None = SMALL, **changes) -> duration.Estimator:
    given = {"sizes": {"mine": size}, "figures": FIGURES, "growth": GROWTH, "speed": 0.5} | changes
    return duration.Estimator(folder, **given)


def test_what_a_job_took_before_is_expected_again_and_other_seeds_next(tmp_path):
    first, second, third = (made_job(tmp_path, "train", "vae", 128_000, seed=seed) for seed in range(3))
    note(first, 10)
    note(second, 30)
    expect = estimator(tmp_path, known_jobs=[first, second, third]).expect
    assert expect(first).seconds == 10 and expect(first).memory == 300
    assert expect(third).seconds == 20
    assert "as long as earlier runs took" in duration.describe([first], 1, estimator(tmp_path))


def test_a_job_of_the_whole_study_takes_what_it_took_before(tmp_path):
    job = duration.Job("report", 1, str(tmp_path / "report/logs/report.tsv"))
    assert estimator(tmp_path).expect(job).seconds == costs.SECONDS_OF_OTHERS
    note(job, 31)
    assert estimator(tmp_path).expect(job) == duration.Expected(31, 300, 0, "earlier")


@pytest.mark.parametrize(
    ("rule", "model", "work", "size", "expected"),
    [
        ("train", "vae", 128_000, SMALL, 21),
        ("train", "vae", 256_000, SMALL, 41),
        ("train", "vae", 128_000, Size(10_000, 2000, 64), 21),
        ("train", "vae", 128_000, Size(1000, 200, 256), 1 + 20 * 2),
        ("train", "gaussian", 0, Size(5000, 200, 64), 1 + 2 * 5),
        ("train", "gaussian", 0, Size(1000, 200, 128), 1 + 2 * 4),
        ("evaluate", "vae", 0, Size(1000, 600, 128), 1 + 4 * 3 * 2),
    ],
    ids=["as it was", "steps", "rows do not count in steps", "numbers in a row", "rows", "numbers squared", "test rows"],
)
def test_figures_scale_with_steps_rows_and_numbers(tmp_path, rule, model, work, size, expected):
    job = made_job(tmp_path, rule, model, work)
    assert estimator(tmp_path, size).expect(job).seconds == pytest.approx(expected)
    slower = estimator(tmp_path, size, speed=1.0)
    assert slower.expect(job).seconds == pytest.approx(2 * expected), "a machine that takes twice as long"


def test_memory_and_disk_grow_with_the_data(tmp_path):
    job = made_job(tmp_path, "train", "vae", 128_000)
    small, large = (estimator(tmp_path, size).expect(job) for size in (SMALL, Size(1000, 400, 256)))
    assert (small.memory, small.disk) == (400, 3)
    assert large.disk == 3 * 4 * 2 and large.memory == pytest.approx(400 + 200 + 12e-6 * 1000 * 192)
    text = duration.describe([job, made_job(tmp_path, "train", "gaussian")], 2, estimator(tmp_path))
    assert "with 2 at once, 600 MB of memory, 4 MB of disk" in text


def test_jobs_that_are_done_correct_what_is_expected_of_the_others(tmp_path):
    jobs = [made_job(tmp_path, "train", "vae", 128_000, dataset=f"d{i}") for i in range(5)]
    sizes = {f"d{i}": SMALL for i in range(5)}
    for job in jobs[:3]:
        note(job, 63)
    expect = estimator(tmp_path, sizes=sizes, known_jobs=jobs).expect
    assert expect(jobs[4]).seconds == pytest.approx(63), "three times as long as the figures say"
    evaluation = made_job(tmp_path, "evaluate", "vae", dataset="d4")
    assert expect(evaluation).seconds == pytest.approx(15), "for want of evaluations, the ratio of all jobs"


def test_what_is_not_known_is_said(tmp_path):
    job = made_job(tmp_path, "train", "vae", 128_000)
    assert "a guess: nothing is known" in duration.describe([job], 1, estimator(tmp_path, figures={}))
    text = duration.describe([job], 1, estimator(tmp_path, None))
    assert "the size of mine is not known before it is downloaded: as made" in text
    assert "mine is scaled from made, which is rough" in duration.describe([job], 1, estimator(tmp_path, Size(1000, 200, 3072)))
    assert "rough" not in duration.describe([job], 1, estimator(tmp_path))
    text = duration.describe([made_job(tmp_path, "train", "dcgan", 128_000)], 1, estimator(tmp_path))
    assert "no figures of dcgan: as other generative models" in text


def test_work_is_shared_among_places_and_no_shorter_than_its_longest_run(tmp_path):
    vae = [made_job(tmp_path, "train", "vae", 128_000, seed=seed) for seed in range(10)]
    text = duration.describe(vae, 2, estimator(tmp_path))
    assert text.startswith("10 jobs: 10 train\nabout 2 min with 2 at once")
    run = [made_job(tmp_path, "train", "vae", 128_000), made_job(tmp_path, "evaluate", "vae")]
    assert "about 26 s with 8 at once" in duration.describe(run, 8, estimator(tmp_path))


def test_the_rest_is_estimated_anew_while_a_study_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(duration, "SECONDS_BETWEEN_LOOKS", 0.01)
    jobs = [made_job(tmp_path, "train", "vae", 128_000, seed=seed) for seed in range(4)]
    lines: list[str] = []
    thread = threading.Thread(target=duration.follow, args=(jobs, 1, lambda: estimator(tmp_path), lines.append))
    thread.start()
    for job in jobs:
        time.sleep(0.1)
        note(job, 210)
        os.utime(job.cost_file or "", (time.time() + 1, time.time() + 1))
    thread.join(timeout=10)
    assert not thread.is_alive(), "it ends with the last job"
    assert [line.split(" jobs")[0] for line in lines] == [f"pofxy: {n} of 4" for n in (1, 2, 3)]
    assert lines[-1].endswith("about 4 min to go"), "as long as the first three took"


def test_every_model_has_figures_or_takes_its_familys():
    """A new model needs no figures of its own; those that are shipped name models that exist."""
    figures = costs.shipped()
    known = catalog.models()
    assert {model for jobs in figures["jobs"].values() for model in jobs} <= set(known)
    assert set(costs.growth()) <= set(known)
    expect = duration.Estimator(Path("none"), {"digits": None}, figures, costs.growth(), figures["speed"])
    for name, entry in known.items():
        run = Run("digits", name, name, entry.family, 0, entry.capabilities)
        found = expect.expect(duration.Job("train", 1, None, run, 1))
        assert found.seconds > 0 and found.source == "shipped"
    without = {name for name in known if not any(name in jobs for jobs in figures["jobs"].values())}
    assert {remark.split()[3].rstrip(":") for remark in expect.remarks} >= without


def test_the_speed_of_the_machine_is_measured_once(tmp_path):
    path = tmp_path / "speed/machine.json"
    speed = costs.machine_speed(path)
    assert 0.05 < speed < 20 and json.loads(path.read_text()) == {"speed": speed}
    path.write_text('{"speed": 7}')
    assert costs.machine_speed(path) == 7
