"""Runs of a comparison: what is shortened, what is done again, and what becomes of failures."""
import json
import threading
import time

import pytest
from fake_data import write_fake_dataset
from mmengine.config import Config

from tools.benchmark import compared_runs
from tools.benchmark.compared_configs import ConfigsRefused
from tools.benchmark.compared_runs import (
    FAILURE,
    PROBE_STEPS,
    RESULT,
    Processes,
    StepFailed,
    Study,
    cause_in,
    run_study,
    shortened,
)

TOLD = dict(machine={}, command='python x', date='2026-11-28')


class FakeTools:
    """Stands in for the tools: writes what they leave, and keeps the calls."""
    speeds = dict(fcsiam_diff_synth=40.0, bit_synth=20.0)

    def __init__(self):
        self.calls, self.failing = [], {}

    def run(self, processes, command, log, environment):
        words = list(map(str, command))
        name = 'facts' if words[0] == '-m' else words[0].split('/')[-1].removesuffix('.py')
        folder = log.parent
        self.calls.append((name, folder.name, environment))
        if processes.stopped.is_set():
            raise StepFailed('interrupted')
        wrong = self.failing.get((name, folder.name))
        if wrong is not None:
            raise wrong
        if name == 'train':
            steps = Config.fromfile(words[1]).train_cfg.max_iters
            (folder / 'config.py').write_text('work_dir = "what MMEngine made of it"')
            (folder / 'last_checkpoint').write_text(str(folder / f'iter_{steps}.pth'))
            speed = self.speeds[folder.name.split('_seed')[0]]
            log_file = folder / 'x/vis_data/scalars.json'
            log_file.parent.mkdir(parents=True, exist_ok=True)
            log_file.write_text(json.dumps({'iter': steps, 'pairs_per_s': speed}))
            return 3 * 2**30
        if name == 'test':
            (folder / 'test').mkdir(exist_ok=True)
            (folder / 'test/metrics.json').write_text(json.dumps(
                {'change/F1_changed': 0.5, 'normalisation': dict(mean=[0.0])}))
        else:
            (folder / 'facts.json').write_text(json.dumps(
                dict(parameters=7, trained=7, gflop=1.0, answered_per_s=9.0, answer_bytes=None)))
        return None

    def names(self, kind):
        return [folder for name, folder, _ in self.calls if name == kind]


@pytest.fixture
def tools(monkeypatch):
    fake = FakeTools()
    monkeypatch.setattr(Processes, 'run', lambda processes, *words: fake.run(processes, *words))
    return fake


@pytest.fixture
def study(tmp_path, repo, monkeypatch):
    """Return a function that makes a study of two detectors, whose data are there."""
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    cfg = Config.fromfile(repo / 'configs/bit_synth.py')
    write_fake_dataset(tmp_path, cfg.test_dataloader.dataset, pairs=2, size=16)

    def make(**changes):
        configs = [str(repo / f'configs/{name}.py') for name in ('fcsiam_diff_synth', 'bit_synth')]
        return Study(**(dict(configs=configs, folder=tmp_path / 'work', seeds=2, steps=7)
                        | changes))

    return make


def test_every_config_runs_with_every_seed_and_once(tools, study, tmp_path):
    for _ in range(2):
        run_study(study(), **TOLD)
    assert tools.names('train') == ['fcsiam_diff_synth_seed0', 'bit_synth_seed0',
                                    'fcsiam_diff_synth_seed1', 'bit_synth_seed1']
    assert len(tools.names('test')) == len(tools.names('facts')) == 4
    result = json.loads((tmp_path / 'work/bit_synth_seed1' / RESULT).read_text())
    assert result['steps'] == 7 and result['batch_size'] == 16
    assert result['scores'] == {'change/F1_changed': 0.5}
    assert result['train_seconds'] == 7 * 16 / 20 and result['train_bytes'] == 3 * 2**30
    assert Config.fromfile(tmp_path / 'work/bit_synth_seed1/short/config.py').randomness.seed == 1


def test_minutes_become_steps_that_are_measured_once_a_config(tools, study, tmp_path):
    run_study(study(steps=None, minutes=2.0), **TOLD)
    assert tools.names('train').count('bit_synth') == 1  # in the folder speed
    for name, steps in (('fcsiam_diff_synth', 300), ('bit_synth', 150)):
        for seed in range(2):
            cfg = Config.fromfile(tmp_path / f'work/{name}_seed{seed}/short/config.py')
            assert cfg.train_cfg.max_iters == steps  # 120 s of 40 or 20 pairs a second
    assert Config.fromfile(tmp_path / 'work/speed/bit_synth/short/config.py'
                           ).train_cfg.max_iters == PROBE_STEPS


def test_a_failing_run_stops_no_other_and_is_tried_again(tools, study, tmp_path):
    log = tmp_path / 'work/fcsiam_diff_synth_seed0/test.log'
    tools.failing['test', 'fcsiam_diff_synth_seed0'] = StepFailed('test.py: no such word', log)
    run_study(study(), **TOLD)
    failed = tmp_path / 'work/fcsiam_diff_synth_seed0'
    assert json.loads((failed / FAILURE).read_text()) == dict(
        cause='test.py: no such word', log=str(log))
    assert len(list((tmp_path / 'work').glob(f'*/{RESULT}'))) == 3
    tools.failing.clear()
    run_study(study(), **TOLD)
    assert not (failed / FAILURE).exists() and (failed / RESULT).is_file()
    assert tools.names('train').count('fcsiam_diff_synth_seed0') == 1  # that was done


def test_configs_that_cannot_be_compared_are_refused_before_anything_is_trained(tools, study, repo,
                                                                               tmp_path):
    own = tmp_path / 'own.py'
    cfg = Config.fromfile(repo / 'configs/bit_synth.py')
    cfg.model.change_head.loss_decode = dict(type='NoSuchLoss')
    cfg.dump(own)
    cfg = Config.fromfile(repo / 'configs/bit_synth.py')
    cfg.train_dataloader.dataset.split = 'val'
    cfg.dump(tmp_path / 'leaking.py')
    configs = ['bit_synth', 'fcsiam_diff_sinth', str(own), 'sat_synth', 'chg2cap_levircc',
               str(tmp_path / 'leaking.py')]
    with pytest.raises(ConfigsRefused, match=r'5 of 6 configs .* nothing was trained') as raised:
        run_study(study(configs=configs, seeds=1), **TOLD)
    told = dict(line.strip().split(': ', 1) for line in str(raised.value).splitlines()
                if line.startswith('  ') and line[2] != ' ')
    assert set(told) == {'fcsiam_diff_sinth', 'own', 'sat_synth', 'chg2cap_levircc',
                         'leaking'}
    assert "Did you mean 'fcsiam_diff_synth'" in told['fcsiam_diff_sinth']
    assert 'model.change_head.loss_decode.type: no ' in str(raised.value)
    assert "('synth', 'test'), 1, 128), not (('synth', 'train'), ('synth', 'test'), 2, 128)" in str(
        raised.value)
    assert 'counts epochs' in told['chg2cap_levircc']
    assert "(('synth', 'val'), ('synth', 'test'), 2, 128), not ((" in told['leaking']
    assert not tools.calls and not (tmp_path / 'work').exists()


def test_a_changed_config_is_trained_anew_and_the_old_run_kept(tools, study, repo, tmp_path):
    own = tmp_path / 'bit_synth.py'
    cfg = Config.fromfile(repo / 'configs/bit_synth.py')
    for width, unread in ((64, 'a'), (64, 'b'), (32, 'b')):
        cfg.model.fusion.hidden_dims = width
        cfg.for_other_configs = dict(pipeline=unread)
        cfg.dump(own)
        run_study(study(configs=[str(own)], seeds=1), **TOLD)
    assert len(tools.names('train')) == 2  # a variable that no training reads changes nothing
    assert (tmp_path / f'work/bit_synth_seed0.old1/{RESULT}').is_file()


def test_a_folder_of_another_budget_is_refused(tools, study):
    run_study(study(seeds=1), **TOLD)
    with pytest.raises(ValueError, match=r"holds runs with .*'steps': 7.* name another --work-dir"):
        run_study(study(seeds=1, steps=8), **TOLD)


def test_more_rows_and_seeds_join_a_folder(tools, study, tmp_path):
    two = study().configs
    run_study(study(seeds=1, configs=two[:1]), **TOLD)
    run_study(study(configs=two[1:]), **TOLD)
    run_study(study(seeds=1), **TOLD)
    plan = json.loads((tmp_path / 'work/plan.json').read_text())
    assert plan['rows'] == ['fcsiam_diff_synth', 'bit_synth'] and plan['seeds'] == 2


def test_an_interruption_keeps_what_is_done_and_starts_nothing_more(tools, study, tmp_path):
    tools.failing['test', 'bit_synth_seed0'] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_study(study(), **TOLD)
    done = {path.parent.name for path in (tmp_path / 'work').glob(f'*/{RESULT}')}
    assert 'fcsiam_diff_synth_seed0' in done and 'bit_synth_seed0' not in done
    assert not list((tmp_path / 'work').glob(f'*/{FAILURE}'))
    tools.failing.clear()
    run_study(study(), **TOLD)
    assert len(list((tmp_path / 'work').glob(f'*/{RESULT}'))) == 4


def test_runs_side_by_side_have_threads_and_devices_of_their_own(tools, study):
    run_study(study(gpus=('3', '5'), threads=2), **TOLD)
    used = {environment['CUDA_VISIBLE_DEVICES'] for _, _, environment in tools.calls}
    assert used <= {'3', '5'}
    assert {environment['OMP_NUM_THREADS'] for _, _, environment in tools.calls} == {'2'}


def test_a_shortened_config_ends_with_its_steps_and_selects_nothing(repo):
    cfg = shortened(str(repo / 'configs/kdrscc_synth.py'), 101, 3, 8)
    assert cfg.train_cfg.to_dict() == dict(type='IterBasedTrainLoop', max_iters=101,
                                           val_interval=101)
    assert cfg.val_dataloader is None and cfg.val_evaluator is None
    assert cfg.default_hooks.checkpoint.interval == 26 and not cfg.default_hooks.checkpoint.by_epoch
    assert cfg.train_dataloader.batch_size == 8 and cfg.randomness.seed == 3
    assert cfg.test_evaluator[0].meteor is False
    with pytest.raises(ValueError, match='the schedule of chg2cap_levircc counts epochs'):
        shortened(str(repo / 'configs/chg2cap_levircc.py'), 100, 0)


@pytest.mark.parametrize(('changes', 'told'), [
    (dict(minutes=3.0), 'the same --steps or the same --minutes'), (dict(steps=None), 'minutes='),
    (dict(configs=['a.py', 'b/a.py']), 'named twice: a'), (dict(configs=[]), 'at least one'),
    (dict(seeds=0), 'seeds=0: expected more than 0'), (dict(steps=-1), 'steps=-1')])
def test_impossible_studies_are_refused(study, changes, told):
    with pytest.raises(ValueError, match=told):
        study(**changes)


def test_a_process_that_fails_tells_its_message_and_its_log(tmp_path):
    with pytest.raises(StepFailed, match=r'^-c: a word is missing$') as raised:
        Processes().run(['-c', 'print("x"); raise SystemExit("error: a word is missing")'],
                        tmp_path / 'log', {})
    assert raised.value.log == tmp_path / 'log'
    with pytest.raises(StepFailed, match='ended by signal 9'):
        Processes().run(['-c', 'import os; os.kill(os.getpid(), 9)'], tmp_path / 'log', {})


@pytest.mark.parametrize(('said', 'cause'), [
    ("x\nerror: 2 problems in 'a':\n  1. b: no c\n  2. d: no e\ngoodbye\n",
     "2 problems in 'a': 1. b: no c 2. d: no e"),
    ('Traceback (most recent call last):\n  File "a"\nRuntimeError: sizes differ:\n\tb: 1, not 2\n',
     'RuntimeError: sizes differ: b: 1, not 2'),
    ('\n', 'ended with 1'), ('  all\n  indented', 'indented')])
def test_a_cause_is_the_whole_message(tmp_path, said, cause):
    (tmp_path / 'log').write_text(said)
    assert cause_in(tmp_path / 'log', 1) == cause


def test_a_cause_of_many_pages_is_cut_and_says_so(tmp_path):
    (tmp_path / 'log').write_text('error: ' + 'word ' * 1000)
    assert cause_in(tmp_path / 'log', 1).endswith(' ...')
    assert len(cause_in(tmp_path / 'log', 1)) < 1600


def test_processes_end_with_whoever_started_them(tmp_path):
    processes, caught = Processes(), []

    def wait():
        try:
            processes.run(['-c', 'import time; time.sleep(60)'], tmp_path / 'log', {})
        except StepFailed as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not processes._running:
        time.sleep(0.01)
    processes.stop()
    thread.join(30)
    assert len(caught) == 1 and 'signal 15' in str(caught[0])
    with pytest.raises(StepFailed, match='interrupted'):
        processes.run(['-c', ''], tmp_path / 'log', {})


def test_a_step_is_told_where_the_data_are(tools, study, tmp_path):
    run_study(study(seeds=1, data_root=str(tmp_path)), **TOLD)
    assert {environment['RSCC_DATA'] for _, _, environment in tools.calls} == {str(tmp_path)}
    assert all(str(compared_runs.ROOT) in environment['PYTHONPATH']
               for _, _, environment in tools.calls)


def test_runs_that_are_done_elsewhere_are_left_out_and_lend_their_steps(tools, study, tmp_path):
    earlier = {('bit_synth', 0): dict(steps=5.0), ('fcsiam_diff_synth', 1): dict(steps=3.0)}
    run_study(study(steps=None, minutes=4.0, earlier=earlier), **TOLD)
    assert tools.names('train') == ['fcsiam_diff_synth_seed0', 'bit_synth_seed1']
    steps = {folder: Config.fromfile(tmp_path / 'work' / folder / 'short/config.py')
             .train_cfg.max_iters for folder in tools.names('train')}
    assert steps == {'fcsiam_diff_synth_seed0': 3, 'bit_synth_seed1': 5}
    with pytest.raises(ValueError, match='had 5 steps and these would have 7: ask for --steps 5'):
        study(earlier={('bit_synth', 0): dict(steps=5.0)})
