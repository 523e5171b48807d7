"""Runs of a comparison of models: every config trained, tested and measured with every seed.

Each step is a process of the tool that a user would call. Before the first one all configs are read
and checked. What is done is not done again: a run whose ``result.json`` is there is finished, a
training that was interrupted goes on, and a run that failed leaves its cause in ``failure.json``,
is tried again the next time and stops no other.
"""
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

from mmengine.config import Config

from rscc.config.schema import runner_keys
from rscc.utils import read_json, write_json
from rscc.visualization.training_log import read_training_log
from tools.benchmark.compared_baselines import baseline_scores
from tools.benchmark.compared_configs import name_of, refuse_unfit, shortened
from tools.benchmark.trainings import TRAINED

ROOT = Path(__file__).resolve().parents[2]
PLAN, RESULT, FAILURE = 'plan.json', 'result.json', 'failure.json'
#: Name of the comparison of all kinds of models.
COMPARE = 'compare'
#: Scores of the trivial baseline, for the whole folder.
BASELINE = 'baseline.json'
#: In a folder of its own: MMEngine writes what it made of it beside the checkpoints.
CONFIG = 'short/config.py'
#: Steps of the training that measures how many fit into the minutes.
PROBE_STEPS = 40
#: Held while configs are read, which is not made for several threads.
_READING = threading.Lock()


#: Longest cause that is told; the rest is in the log.
CAUSE_LENGTH = 1500


class StepFailed(RuntimeError):
    """A step of a run that ended with an error; the message is its cause.

    Args:
        cause: What was wrong.
        log: The file with all that the step printed, None without one.
    """

    def __init__(self, cause: str, log: Path | None = None) -> None:
        super().__init__(cause)
        self.log = log


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
        earlier: Runs by config and seed that are done, with their figures; ``steps`` is one.
        name: Of the comparison, that of its table.
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
    earlier: Mapping[tuple[str, int], Mapping[str, float | None]] = field(default_factory=dict)
    name: str = COMPARE

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
        known = [self.steps_before(config) for config in self.configs]
        other = [steps for steps in known if steps is not None and self.steps not in (None, steps)]
        if other:
            raise ValueError(f'earlier runs had {other[0]} steps and these would have {self.steps}:'
                             f' ask for --steps {other[0]}, or leave their file out')

    @property
    def budget(self) -> dict[str, Any]:
        """What the runs in one folder must share."""
        return dict(steps=self.steps, minutes=self.minutes, batch_size=self.batch_size,
                    amp=self.amp)

    def steps_before(self, config: str) -> int | None:
        """Return the steps that earlier runs of a config had, None where there are none."""
        return next((int(figures['steps']) for (name, _), figures in self.earlier.items()
                     if name == name_of(config) and figures['steps'] is not None), None)

    def run_folder(self, config: str, seed: int) -> Path:
        """Return the folder of one run."""
        return self.folder / f'{name_of(config)}_seed{seed}'


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
            StepFailed: With its message of the error, else the last line that it printed, and
                ``log``.
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
            raise StepFailed(f'{Path(str(command[0])).name}: {cause_in(log, process.returncode)}',
                             log)
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
    """Return why a process failed: its message of an error, else the last line, as one line.

    A message goes on in the indented lines below its first one, as that of a config with several
    problems does.
    """
    lines = [line for line in log.read_text(errors='replace').splitlines() if line.strip()]
    told = [number for number, line in enumerate(lines) if line.startswith('error: ')]
    if code < 0 and not told:
        return f'ended by signal {-code}' + (' (out of memory?)' if code == -9 else '')
    heads = told or [number for number, line in enumerate(lines) if not line[0].isspace()]
    if not lines:
        return f'ended with {code}'
    first = heads[-1] if heads else len(lines) - 1
    more = itertools.takewhile(lambda line: line[0].isspace(), lines[first + 1:])
    cause = ' '.join(line.strip() for line in (lines[first], *more)).removeprefix('error: ')
    return cause if len(cause) <= CAUSE_LENGTH else cause[:CAUSE_LENGTH] + ' ...'


def run_study(study: Study, machine: dict[str, Any], command: str, date: str) -> None:
    """Do what is missing of a study, runs side by side; an interruption ends them.

    Args:
        study: What is compared.
        machine: Description of this machine, kept for the table.
        command: The command line, likewise.
        date: ISO date, likewise.

    Raises:
        ConfigsRefused: If a config cannot be compared; nothing is written or trained then.
        ValueError: If the folder holds runs of another budget.
        KeyboardInterrupt: After all processes have been told to end.
    """
    refuse_unfit(study.configs)
    _check_folder(study, dict(machine=machine, command=command, date=date))
    _write_baseline(study)
    processes, devices = Processes(), Queue()
    for device in study.gpus or [None] * study.jobs:
        devices.put(device)
    # Seed by seed, so that an interrupted study has whole comparisons.
    runs = [(config, seed) for seed in range(study.seeds) for config in study.configs
            if (name_of(config), seed) not in study.earlier]
    probes = {config: threading.Lock() for config in study.configs}
    with ThreadPoolExecutor(len(study.gpus) or study.jobs) as pool:
        waiting = [pool.submit(_run, study, config, seed, processes, devices, probes[config])
                   for config, seed in runs]
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
    if known is not None and known.get('name', COMPARE) != study.name:
        raise ValueError(f"'{study.folder}' holds the comparison '{known.get('name', COMPARE)}', "
                         f"not '{study.name}': name another --work-dir")
    # Rows that were asked for before stay where they have a result: a misspelt one does not.
    before = [row for row in (known or {}).get('rows', ())
              if any(study.folder.glob(f'{row}_seed*/{RESULT}'))]
    rows = list(dict.fromkeys([*before, *map(name_of, study.configs)]))
    seeds = max(study.seeds, (known or {}).get('seeds', 0))
    study.folder.mkdir(parents=True, exist_ok=True)
    write_json(plan, dict(name=study.name, budget=study.budget, rows=rows, seeds=seeds,
                          threads=study.threads, jobs=len(study.gpus) or study.jobs, **told))


def _write_baseline(study: Study) -> None:
    """Write what a constant answer scores; rows of earlier calls may have had other metrics."""
    path = study.folder / BASELINE
    known = read_json(path) if path.is_file() else {}
    write_json(path, known | baseline_scores(study.configs))


def _run(study: Study, config: str, seed: int, processes: Processes, devices: Queue,
         probe: threading.Lock) -> None:
    """Do one run unless it is done; whatever goes wrong is written down as its cause."""
    device = devices.get()
    folder = study.run_folder(config, seed)
    try:
        if processes.stopped.is_set():
            return
        with probe:
            steps = (study.steps or study.steps_before(config)
                     or _steps_in(study, config, processes, device))
        with _READING:
            if not _prepare(study, config, seed, steps):
                return
        print(f'{folder.name}: {steps} steps', flush=True)
        _train_test_measure(study, folder, processes, device)
        print(f'{folder.name}: done', flush=True)
    except Exception as error:
        if not processes.stopped.is_set():
            told = str(error.args[0] if type(error) is KeyError else error) or repr(error)
            folder.mkdir(parents=True, exist_ok=True)
            log = getattr(error, 'log', None)
            write_json(folder / FAILURE, dict(cause=told, log=None if log is None else str(log)))
            print(f'{folder.name}: failed: {told}' + (f' (log: {log})' if log else ''), flush=True)
    finally:
        devices.put(device)


def _prepare(study: Study, config: str, seed: int, steps: int) -> bool:
    """Write the config of a run; return whether anything is to be done."""
    folder = study.run_folder(config, seed)
    cfg = shortened(config, steps, seed, study.batch_size)
    written = folder / CONFIG
    if written.is_file() and _read_by_runner(Config.fromfile(written)) != _read_by_runner(cfg):
        # The config has changed since: what was made by the old one is kept beside.
        number = next(n for n in range(1, 1000) if not Path(f'{folder}.old{n}').exists())
        folder.rename(f'{folder}.old{number}')
    (folder / FAILURE).unlink(missing_ok=True)
    if (folder / RESULT).is_file():
        return False
    written.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(written)
    return True


def _read_by_runner(cfg: Config) -> dict[str, Any]:
    """Return what a training reads: variables for other configs may come and go."""
    return {key: value for key, value in cfg.to_dict().items() if key in runner_keys()}


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
