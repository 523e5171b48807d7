"""Runs of a comparison of models: every config trained, tested and measured with every seed.

Each step is a process of the tool that a user would call. What is done is not done again: a run
whose ``result.json`` is there is finished, a training that was interrupted goes on, and a run that
failed leaves its cause in ``failure.json``, is tried again the next time and stops no other.
"""
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

from mmengine.config import Config

from rscc.config.files import existing_config
from rscc.utils import read_json, write_json
from rscc.visualization.training_log import read_training_log
from tools.benchmark.benchmarked_model import innermost_dataset, read_plan
from tools.benchmark.trainings import TRAINED

ROOT = Path(__file__).resolve().parents[2]
PLAN, RESULT, FAILURE = 'plan.json', 'result.json', 'failure.json'
#: In a folder of its own: MMEngine writes what it made of it beside the checkpoints.
CONFIG = 'short/config.py'
#: Steps of the training that measures how many fit into the minutes.
PROBE_STEPS = 40
#: Held while configs are read, which is not made for several threads.
_READING = threading.Lock()


class StepFailed(RuntimeError):
    """A step of a run that ended with an error; the message is its cause."""


@dataclass
class Study:
    """What is compared, and with what means.

    Attributes:
        configs: Config files or names; a row each.
        folder: Gets a folder for every run.
        seeds: Trainings of each config, from seed 0 on.
        steps: Optimiser steps of every training; None where ``minutes`` says.
        minutes: Length of a training; the steps of a config that fit into it are measured once.
        batch_size: Pairs a step; None for that of each config.
        jobs: Runs side by side.
        threads: CPU threads of each.
        gpus: CUDA devices, each used by one run at a time; none leaves the choice to the tools.
        amp: Train and test in reduced precision.
        data_root: Folder of the datasets; None for ``RSCC_DATA`` or its default.
    """
    configs: Sequence[str]
    folder: Path
    seeds: int = 3
    steps: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    jobs: int = 1
    threads: int = 1
    gpus: Sequence[str] = ()
    amp: bool = False
    data_root: str | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError('a comparison gives every training the same --steps or the same '
                             f'--minutes; found steps={self.steps}, minutes={self.minutes}')
        names = [name_of(config) for config in self.configs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not names:
            raise ValueError(f'configs named twice: {", ".join(twice)}' if twice else
                             'no config to compare: expected at least one')
        for option in ('seeds', 'steps', 'minutes', 'batch_size', 'jobs', 'threads'):
            value = getattr(self, option)
            if value is not None and value <= 0:
                raise ValueError(f'{option}={value}: expected more than 0')

    @property
    def budget(self) -> dict[str, Any]:
        """What the runs in one folder must share."""
        return dict(steps=self.steps, minutes=self.minutes, batch_size=self.batch_size,
                    amp=self.amp)

    def run_folder(self, config: str, seed: int) -> Path:
        """Return the folder of one run."""
        return self.folder / f'{name_of(config)}_seed{seed}'


def name_of(config: str) -> str:
    """Return the name of a row: that of its config without folder and ending."""
    return Path(config).stem


@dataclass
class Processes:
    """Steps that run as processes of their own, and end with whoever started them.

    Attributes:
        stopped: Set by :meth:`stop`; no process is started after it.
    """
    stopped: threading.Event = field(default_factory=threading.Event)
    _running: set[subprocess.Popen] = field(default_factory=set)

    def run(self, command: Sequence[object], log: Path, environment: dict[str, str]
            ) -> int | None:
        """Run a command; what it prints goes into ``log``.

        Returns:
            Largest resident memory of the process in bytes; None where the system does not tell.

        Raises:
            StepFailed: With the last line that it printed.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open('w') as file:
            if self.stopped.is_set():
                raise StepFailed('interrupted')
            process = subprocess.Popen([sys.executable, *map(str, command)], stdout=file,
                                       stderr=subprocess.STDOUT, start_new_session=True,
                                       env={**os.environ, **environment})
            self._running.add(process)
            try:
                peak = _wait(process)
            finally:
                self._running.discard(process)
        if process.returncode:
            raise StepFailed(f'{Path(str(command[0])).name}: {cause_in(log, process.returncode)}')
        return peak

    def stop(self) -> None:
        """End what runs, and start nothing more."""
        self.stopped.set()
        for process in tuple(self._running):
            process.terminate()


def _wait(process: subprocess.Popen) -> int | None:
    """Wait for a process and return its largest resident memory, if the system tells."""
    if not hasattr(os, 'wait4'):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


def cause_in(log: Path, code: int) -> str:
    """Return why a process failed: its line that says so, else the last one."""
    lines = [line.strip() for line in log.read_text(errors='replace').splitlines() if line.strip()]
    told = next((line for line in reversed(lines) if line.startswith('error: ')), None)
    if code < 0 and told is None:
        return f'ended by signal {-code}' + (' (out of memory?)' if code == -9 else '')
    return (told or (lines[-1] if lines else f'ended with {code}')).removeprefix('error: ')[:300]


def run_study(study: Study, machine: dict[str, Any], command: str, date: str) -> None:
    """Do what is missing of a study, runs side by side; an interruption ends them.

    Args:
        study: What is compared.
        machine: Description of this machine, kept for the table.
        command: The command line, likewise.
        date: ISO date, likewise.

    Raises:
        ValueError: If the folder holds runs of another budget.
        KeyboardInterrupt: After all processes have been told to end.
    """
    _check_folder(study, dict(machine=machine, command=command, date=date))
    processes, devices = Processes(), Queue()
    for device in study.gpus or [None] * study.jobs:
        devices.put(device)
    # Seed by seed, so that an interrupted study has whole comparisons.
    runs = [(config, seed) for seed in range(study.seeds) for config in study.configs]
    probes = {config: threading.Lock() for config in study.configs}
    expected = _data_of_first(study.configs)
    with ThreadPoolExecutor(len(study.gpus) or study.jobs) as pool:
        waiting = [pool.submit(_run, study, config, seed, processes, devices, probes[config],
                               expected) for config, seed in runs]
        try:
            for run in waiting:
                run.result()
        except BaseException:
            processes.stop()
            pool.shutdown(cancel_futures=True)
            raise


def _check_folder(study: Study, told: dict[str, Any]) -> None:
    """Write what the study is, or refuse a folder that holds another."""
    plan = study.folder / PLAN
    known = read_json(plan) if plan.is_file() else None
    if known is not None and known['budget'] != study.budget:
        raise ValueError(f"'{study.folder}' holds runs with {known['budget']}, and these would "
                         f'have {study.budget}: name another --work-dir')
    # Rows that were asked for before stay where they have a result: a misspelt one does not.
    before = [row for row in (known or {}).get('rows', ())
              if any(study.folder.glob(f'{row}_seed*/{RESULT}'))]
    rows = list(dict.fromkeys([*before, *map(name_of, study.configs)]))
    seeds = max(study.seeds, (known or {}).get('seeds', 0))
    study.folder.mkdir(parents=True, exist_ok=True)
    write_json(plan, dict(budget=study.budget, rows=rows, seeds=seeds, threads=study.threads,
                          jobs=len(study.gpus) or study.jobs, **told))


def data_of(config: str) -> tuple:
    """Return what tells whether two configs answer the same test split."""
    plan = read_plan(config)
    dataset = innermost_dataset(plan.cfg, 'test')
    return dataset.get('data_root'), dataset.get('split'), plan.frames, plan.side


def _data_of_first(configs: Sequence[str]) -> tuple | None:
    """Return the data of the first config that can be read."""
    for config in configs:
        try:
            return data_of(config)
        except Exception:  # the row itself will say what is wrong
            continue
    return None


def _run(study: Study, config: str, seed: int, processes: Processes, devices: Queue,
         probe: threading.Lock, expected: tuple | None) -> None:
    """Do one run unless it is done; whatever goes wrong is written down as its cause."""
    device = devices.get()
    folder = study.run_folder(config, seed)
    try:
        if processes.stopped.is_set():
            return
        with probe:
            steps = study.steps or _steps_in(study, config, processes, device)
        with _READING:
            if not _prepare(study, config, seed, steps, expected):
                return
        print(f'{folder.name}: {steps} steps', flush=True)
        _train_test_measure(study, folder, processes, device)
        print(f'{folder.name}: done', flush=True)
    except Exception as error:
        if not processes.stopped.is_set():
            told = str(error.args[0] if type(error) is KeyError else error) or repr(error)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / FAILURE, dict(cause=told))
            print(f'{folder.name}: failed: {told}', flush=True)
    finally:
        devices.put(device)


def _prepare(study: Study, config: str, seed: int, steps: int, expected: tuple | None) -> bool:
    """Write the config of a run; return whether anything is to be done.

    Raises:
        ValueError: If the config answers other data than the first, or cannot be shortened.
    """
    found, folder = data_of(config), study.run_folder(config, seed)
    if found != expected:
        raise ValueError('answers other data than the first row (data_root, split, frames, side '
                         f'in pixels): {found}, not {expected}')
    cfg = shortened(config, steps, seed, study.batch_size)
    text, written = cfg.pretty_text, folder / CONFIG
    if written.is_file() and Config.fromfile(written).pretty_text != text:
        # The config has changed since: what was made by the old one is kept beside.
        number = next(n for n in range(1, 1000) if not Path(f'{folder}.old{n}').exists())
        folder.rename(f'{folder}.old{number}')
    (folder / FAILURE).unlink(missing_ok=True)
    if (folder / RESULT).is_file():
        return False
    written.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(written)
    return True


def shortened(config: str, steps: int, seed: int, batch_size: int | None = None) -> Config:
    """Return a config that trains for so many steps and keeps its last weights.

    Validation is left out: no row selects its weights, and its time is not training. Captions are
    scored without Java's METEOR and without baselines.

    Args:
        config: File or name.
        steps: Optimiser steps; schedules that end with the training end there.
        seed: Of the random numbers.
        batch_size: Pairs a step; None for the config's.

    Raises:
        ValueError: If its schedule counts epochs.
    """
    cfg = Config.fromfile(existing_config(config))
    schedules = cfg.get('param_scheduler') or []
    if any(one.get('by_epoch', True) for one in (
            [schedules] if isinstance(schedules, dict) else schedules)):
        raise ValueError(f'the schedule of {name_of(config)} counts epochs and cannot be shortened '
                         'to steps: give it by_epoch=False')
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=steps)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.train_dataloader.batch_size = batch_size or cfg.train_dataloader.batch_size
    hooks = cfg.default_hooks
    # Quarters, so that little is lost where the training is interrupted.
    hooks.checkpoint.update(by_epoch=False, interval=-(-steps // 4), save_best=None,
                            max_keep_ckpts=1)
    hooks.logger.interval = max(1, min(20, steps // 4))
    hooks.pop('panels', None)
    cfg.log_processor.by_epoch = False
    cfg.randomness.seed = seed
    metrics = cfg.test_evaluator
    for metric in metrics if isinstance(metrics, list) else [metrics]:
        if metric.type == 'CaptionMetric':
            metric.update(meteor=False, baselines=False)
    return cfg


def _steps_in(study: Study, config: str, processes: Processes, device: str | None) -> int:
    """Return the steps of a config that fit into the minutes, measured once a study."""
    folder = study.folder / 'speed' / name_of(config)
    if not (folder / 'steps.json').is_file():
        (folder / CONFIG).parent.mkdir(parents=True, exist_ok=True)
        with _READING:
            cfg = shortened(config, PROBE_STEPS, 0, study.batch_size)
            cfg.default_hooks.checkpoint.interval = 2 * PROBE_STEPS  # only the last
            cfg.dump(folder / CONFIG)
        _train(study, folder, processes, device)
        rate, size = trained_rate(folder), cfg.train_dataloader.batch_size
        if rate is None:
            raise StepFailed(f'no training speed in the log of {folder}')
        steps = max(1, round(60 * study.minutes * rate / size))
        write_json(folder / 'steps.json', dict(steps=steps, pairs_per_s=rate, batch_size=size))
    return read_json(folder / 'steps.json')['steps']


def _train_test_measure(study: Study, folder: Path, processes: Processes, device: str | None
                        ) -> None:
    """Do the three steps of a run and write its result."""
    if not (folder / TRAINED).is_file():
        peak = _train(study, folder, processes, device)
        write_json(folder / TRAINED, dict(bytes=_cuda_bytes(folder) or peak))
    checkpoint = (folder / 'last_checkpoint').read_text().strip()
    environment, config = _environment(study, device), folder / CONFIG
    more = ['--amp'] if study.amp else []
    processes.run([ROOT / 'tools/test.py', config, checkpoint, '--work-dir', folder / 'test', *more,
                   '--out', folder / 'predictions.json'], folder / 'test.log', environment)
    processes.run(['-m', 'tools.benchmark.compared_facts', config, checkpoint,
                   folder / 'facts.json'], folder / 'facts.log', environment)
    cfg, rate = Config.fromfile(config), trained_rate(folder)
    size, steps = cfg.train_dataloader.batch_size, cfg.train_cfg.max_iters
    scores = {key: value for key, value in read_json(folder / 'test/metrics.json').items()
              if isinstance(value, int | float)}
    write_json(folder / RESULT, dict(
        steps=steps, batch_size=size, scores=scores, **read_json(folder / 'facts.json'),
        trained_per_s=rate, train_seconds=rate and steps * size / rate,
        train_bytes=read_json(folder / TRAINED)['bytes']))


def _train(study: Study, folder: Path, processes: Processes, device: str | None) -> int | None:
    """Train by ``tools/train.py``, from where it was; return the peak of its memory."""
    return processes.run(
        [ROOT / 'tools/train.py', folder / CONFIG, '--work-dir', folder, '--resume',
         *(['--amp'] if study.amp else [])], folder / 'train.log', _environment(study, device))


def _environment(study: Study, device: str | None) -> dict[str, str]:
    """Return what the processes of a run are told by their environment."""
    threads = dict.fromkeys(('OMP_NUM_THREADS', 'MKL_NUM_THREADS'), str(study.threads))
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH'))))
    return {**threads, 'PYTHONPATH': path,
            **({} if device is None else {'CUDA_VISIBLE_DEVICES': device}),
            **({} if study.data_root is None else {'RSCC_DATA': study.data_root})}


def trained_rate(folder: Path) -> float | None:
    """Return the pairs a second of the last training in a work folder, None for a short one."""
    rates = [entry.numbers['pairs_per_s'] for entry in read_training_log(folder)
             if 'pairs_per_s' in entry.numbers]
    return rates[-1] if rates else None


def _cuda_bytes(folder: Path) -> int | None:
    """Return the peak of the tensors on a GPU that a training logged, None on CPUs."""
    logged = [entry.numbers['memory'] for entry in read_training_log(folder)
              if 'memory' in entry.numbers]
    return int(max(logged) * 2**20) if logged else None
