"""Every command that the documentation gives for one of the original systems does its work.

The tables "original | rscc" of the README and of the pages on the systems are read here; their
commands run as they are written, on toy data in the published layouts. A row without a command, or
with one that is not executed here, fails.
"""
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from forked_tools import SECONDS
from original_systems import ROOT, SHARED, TINY, Workspace
from test_configs import tiny_blip  # noqa: F401  (a fixture)

PAGES = {'en': ['README.md', *sorted(f'docs/en/{path.name}' for path in
                                     (ROOT / 'docs/en').glob('*.md'))]}
PAGES['zh'] = [name.replace('README', 'README_zh-CN').replace('docs/en', 'docs/zh_cn')
               for name in PAGES['en']]
HEADINGS = {'en': r'^## Commands of the original.*$', 'zh': r'^## 原作命令对照$'}
COMMAND = re.compile(r'`((?:python|bash) [^`]+)`')

LEVIRCC = 'python tools/dataset_converters/levircc.py --root LEVIR-CC'
BLIP, SYDNEY, UCM, KDRSCC, CHANGECLIP = (f'configs/{name}.py' for name in (
    'blip_levircc', 'clipgpt_amht_sydney', 'sat_r101_ucm', 'kdrscc_levircc',
    'changeclip_rn50_levircd'))
CUT = 'python tools/dataset_converters/tiles.py cut ROOT --out CUT_DATA'
MERGE = ('python tools/dataset_converters/tiles.py merge show/probabilities --tiles CUT_DATA '
         '--out merged')
LISTS = 'python tools/general/write_path.py ROOT'
PROBABILITIES = f'python tools/test.py {CHANGECLIP} CKPT --show-dir show --probabilities'


def train(config):
    return f'python tools/train.py {config}'


def predict(config):
    return f'python tools/test.py {config} CKPT --out predictions.json'


def weights(config):
    """Return what a training of a config left, relative to the workspace."""
    last = 'iter_1.pth' if config == CHANGECLIP else 'epoch_1.pth'
    return f'work_dirs/{Path(config).stem}/{last}'


@dataclass(frozen=True)
class Execution:
    """How one command is run.

    Attributes:
        names: What stands for a word of the command: a path, or the method of the workspace that
            makes it. Words that begin with a name and a slash are replaced in that part.
        after: Commands that must have run.
        extra: Arguments added: weights, which a user's machine downloads, sizes, which published
            weights have, and no METEOR, for which Java is slow to start.
        makes: Files that it must leave.
        says: What it must print.
    """
    names: dict[str, str | Callable] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    says: tuple[str, ...] = ()


def trained(config, *makes, after=(), says=(), **names):
    """Return the execution of a command that takes the checkpoint of a config's training."""
    return Execution({'CONFIG': config, 'CKPT': weights(config), **names},
                     (train(config), *after), (), makes, says)


NO_JAVA = ('--no-meteor',)
TINY_CLIP = ('--pretrained', 'clip.pt', '--num-workers', '0', '--device', 'cpu')
FROM, TO = ('data/LEVIR-CC/images/test/A/test_000000.png',
            'data/LEVIR-CC/images/test/B/test_000000.png')
CD_TRAIN = (CUT, 'python tools/clip_inference.py --src_path CUT_DATA --img_split A B')
CLIPGPT_TRAIN = train(SYDNEY)
#: Command -> how it is run.
EXECUTIONS = {
    # BLIP (erenduman2/rs-image-change-captioning)
    f'{LEVIRCC} --out OUT': Execution(
        {'LEVIR-CC': 'data/LEVIR-CC', 'OUT': 'hdf5'}, makes=tuple(
            f'hdf5/{split}_{what}_LEVIR_CC.{ending}' for split in ('TRAIN', 'VAL', 'TEST')
            for what, ending in (('IMAGES', 'hdf5'), ('CAPTIONS', 'json')))),
    train('configs/blip_rsicd.py'): Execution(makes=(weights('blip_rsicd'),)),
    train(BLIP): Execution(makes=(weights(BLIP),)),
    f'python tools/test.py {BLIP} CKPT': trained(BLIP, says=('captions (x100)', 'flag accuracy')),
    # CLIP-GPT (bgno1/clipcap_rsic) and ClipCap
    'python tools/extract_clip_embeddings.py --dataset sydney': Execution(
        extra=TINY_CLIP, says=('6 images computed',)),
    'python tools/extract_clip_embeddings.py --dataset sydney --from-pickle FILE': Execution(
        {'FILE': Workspace.embeddings}, says=('6 images converted',),
        makes=('data/Sydney_captions/clip_emb_ViT-B-32_sydney.safetensors',)),
    CLIPGPT_TRAIN: Execution(makes=(weights(SYDNEY),)),
    f'{CLIPGPT_TRAIN} --cfg-options model.caption_head.language_model.tune=full': Execution(
        extra=('--work-dir', 'work_dirs/full'), makes=('work_dirs/full/epoch_1.pth',)),
    predict(SYDNEY): trained(SYDNEY, 'predictions.json', says=('captions (x100)',)),
    f'python tools/infer.py {SYDNEY} CKPT --img FILE': trained(
        SYDNEY, FILE='data/Sydney_captions/imgs/5.tif'),
    'python tools/scores.py FILE --references dataset.json --protocol clipcap_rsic': Execution(
        {'FILE': lambda space: space.evaluation_file('test'),
         'dataset.json': 'data/Sydney_captions/dataset.json'}, extra=NO_JAVA,
        says=('clipcap_rsic', 'test')),
    'python tools/scores.py FILE --references dataset.json --protocol clipcap_rsic --split val':
        Execution({'FILE': lambda space: space.evaluation_file('val'),
                   'dataset.json': 'data/Sydney_captions/dataset.json'}, extra=NO_JAVA,
                  says=('clipcap_rsic', 'val')),
    'python tools/model_converters/clipcap_to_rscc.py IN.pt OUT.pth --config CONFIG': Execution(
        {'IN.pt': Workspace.clipcap, 'OUT.pth': 'clipcap.pth', 'CONFIG': SYDNEY},
        extra=('--lm-heads', '4'), makes=('clipcap.pth', 'clipcap.py'),
        says=(' 0 missing, 0 unexpected, 0 of another shape',)),
    # The PyTorch tutorial on Show, Attend and Tell
    'python tools/dataset_converters/vocabulary.py --dataset ucm': Execution(
        makes=('data/UCM_captions/vocab_en.json',)),
    'python tools/dataset_converters/hdf5.py --dataset ucm --out OUT': Execution(
        {'OUT': 'hdf5_ucm'}, extra=('--min-word-freq', '0'), makes=('hdf5_ucm',),
        says=('TRAIN_IMAGES_ucm',)),
    train(UCM): Execution(after=('python tools/dataset_converters/vocabulary.py --dataset ucm',),
                          makes=(weights(UCM),)),
    f'python tools/test.py {UCM} CKPT': trained(UCM, says=('captions (x100)',)),
    f'python tools/infer.py {UCM} CKPT --img FILE --beams 5': trained(
        UCM, FILE='data/UCM_captions/imgs/5.tif'),
    'python tools/model_converters/attention_tutorial_to_rscc.py IN.pth.tar OUT.pth '
    '--config CONFIG --words WORDMAP.json': Execution(
        {'IN.pth.tar': Workspace.tutorial, 'OUT.pth': 'sat.pth', 'CONFIG': UCM},
        makes=('sat.pth', 'sat.py'), says=(' 0 missing, 0 unexpected, 0 of another shape',)),
    # KD-RSCC (Fay-Y/KD_RSCC)
    f'{LEVIRCC} --word-encode': Execution(
        {'LEVIR-CC': 'data/LEVIR-CC'}, makes=tuple(f'data/LEVIR-CC/{name}.json' for name in (
            'word_encoding', 'vocab', *(f'{split}_caption_encoded' for split in
                                        ('train', 'val', 'test'))))),
    train(KDRSCC): Execution(after=(f'{LEVIRCC} --word-encode',), makes=(weights(KDRSCC),)),
    predict(KDRSCC): trained(KDRSCC, 'predictions.json', says=('captions (x100)',)),
    f'python tools/infer.py {KDRSCC} CKPT --img-from FROM --img-to TO': trained(
        KDRSCC, FROM=FROM, TO=TO),
    'python tools/scores.py predictions.json': Execution(after=(predict(KDRSCC),), extra=NO_JAVA,
                                                         says=('captions (x100)',)),
    'python tools/model_converters/kdrscc_to_rscc.py IN.pth OUT.pth --words word_encoding.json':
        Execution({'IN.pth': Workspace.kd_rscc, 'OUT.pth': 'kdrscc.pth',
                   'word_encoding.json': 'data/LEVIR-CC/word_encoding.json'},
                  (f'{LEVIRCC} --word-encode',), ('--num-heads', '2'),
                  ('kdrscc.pth', 'kdrscc.py'),
                  (' 0 missing, 0 unexpected, 0 of another shape',)),
    # ChangeCLIP (dyzy41/ChangeCLIP)
    LISTS: Execution({'ROOT': 'data/LEVIR-CD'}, makes=tuple(
        f'data/LEVIR-CD/{split}.txt' for split in ('train', 'val', 'test'))),
    CUT: Execution({'ROOT': 'data/LEVIR-CD', 'CUT_DATA': 'data/LEVIR-CD/cut_data'},
                   makes=('data/LEVIR-CD/cut_data/tiles.json', 'data/LEVIR-CD/cut_data/train.txt')),
    'python tools/clip_inference.py --src_path CUT_DATA --img_split A B': Execution(
        {'CUT_DATA': 'data/LEVIR-CD/cut_data'}, (CUT,), TINY_CLIP, makes=tuple(
            f'data/LEVIR-CD/cut_data/{split}/{date}_clipcls_56_vit16.json'
            for split in ('train', 'val', 'test') for date in 'AB')),
    'bash tools/clip_infer_sysu.sh SYSU-CD': Execution(
        {'SYSU-CD': 'data/SYSU-CD'}, (), (
            '--pretrained', Workspace.clip_vit_b_16, '--num-workers', '0', '--device', 'cpu'),
        makes=tuple(f'data/SYSU-CD/{split}/{date}_clipcls_56_vit16.json'
                    for split in ('train', 'val', 'test') for date in ('time1', 'time2'))),
    train(CHANGECLIP): Execution(after=CD_TRAIN, makes=(weights(CHANGECLIP),)),
    f'bash tools/dist_train.sh {CHANGECLIP} GPUS': Execution(
        {'GPUS': '1'}, CD_TRAIN, ('--work-dir', 'work_dirs/dist'),
        makes=('work_dirs/dist/iter_1.pth',)),
    PROBABILITIES: trained(CHANGECLIP, 'show/report.html', says=('IoU_changed', 'F1_changed')),
    MERGE: Execution({'CUT_DATA': 'data/LEVIR-CD/cut_data'}, (PROBABILITIES,),
                     makes=('merged/masks/test_1.png',), says=('1 map written',)),
    f'{MERGE} --label LABELS': Execution(
        {'CUT_DATA': 'data/LEVIR-CD/cut_data', 'LABELS': 'data/LEVIR-CD/test/label'},
        (PROBABILITIES,), makes=('merged/metrics.json',), says=('IoU_changed', 'F1_changed')),
    f'python tools/test.py {CHANGECLIP} CKPT --tta': trained(CHANGECLIP, says=('IoU_changed',)),
    f'python tools/test.py {CHANGECLIP} CKPT --data-root WHOLE_IMAGES '
    '--cfg-options model.test_cfg.mode=slide': trained(
        CHANGECLIP, after=(LISTS,), says=('IoU_changed',), WHOLE_IMAGES='data/LEVIR-CD'),
    'python tools/general/write_path.py FOLDER --label none': Execution(
        {'FOLDER': 'scenes'}, makes=('scenes/all.txt',)),
    f'python tools/infer.py {CHANGECLIP} CKPT --list FOLDER/all.txt --out answer': trained(
        CHANGECLIP, 'answer', after=('python tools/general/write_path.py FOLDER --label none',),
        FOLDER='scenes'),
    f'python tools/test.py {CHANGECLIP} CKPT --data-root MOVED': trained(
        CHANGECLIP, says=('IoU_changed',), MOVED=Workspace.moved_tiles),
    'python tools/model_converters/changeclip_to_rscc.py IN.pth OUT.pth': Execution(
        {'IN.pth': Workspace.changeclip, 'OUT.pth': 'changeclip.pth'}, (),
        ('--cfg-options', *TINY['rn50_tiny'], *SHARED), ('changeclip.pth', 'changeclip.py'),
        (' 0 missing, 0 unexpected, 0 of another shape',)),
}


@cache
def rows(language):
    """Return (page, left cell, right cell) of every row of the tables of commands."""
    found = []
    for page in PAGES[language]:
        text = (ROOT / page).read_text(encoding='utf-8')
        for section in re.split(HEADINGS[language], text, flags=re.M)[1:]:
            lines = [line for line in section.split('\n## ')[0].splitlines()
                     if line.startswith('| ')]
            found += [(page, *(cell.strip() for cell in line.strip('|').split(' | ', 1)))
                      for line in lines[2:]]
    return found


def commands(language):
    """Return the commands of all rows."""
    return {command for _, _, right in rows(language) for command in COMMAND.findall(right)}


@pytest.mark.parametrize('language', HEADINGS)
def test_every_row_has_a_command_and_every_command_is_executed_here(language):
    assert len(rows(language)) > 40
    empty = [(page, left) for page, left, right in rows(language) if not COMMAND.search(right)]
    assert not empty, f'rows without a command: {empty}'
    missing = commands(language) - set(EXECUTIONS)
    assert not missing, f'commands that no test executes: {sorted(missing)}'
    idle = set(EXECUTIONS) - commands(language)
    assert not idle, f'executed here and in no table: {sorted(idle)}'


@pytest.mark.parametrize('language', HEADINGS)
@pytest.mark.parametrize('original', [
    'levircc.py', 'fine_tune.py', 'fine_tuning.py', 'train.py', 'test.py',
    'generate_clip_embeddings.py --dataset_type', 'train.py --data sydney --mapping_type',
    'generate_eval_files.py --model', 'scores.py --eval_file', 'create_input_files.py', 'eval.py',
    'caption.py', 'word_encode.py', 'img_preprocess.py', 'train.sh', 'sample.py', 'write_path.py',
    'clip_inference.py', 'clip_infer_sysu.sh', 'test.sh', 'metric.py', 'test_slide.sh',
    'infer_folderCD.py', 'merge_data.py', 'rebase.py'])
def test_every_command_of_the_originals_has_a_row(language, original):
    assert any(f'`{original}' in left or f'/{original}' in left for _, left, _ in rows(language))


@pytest.fixture(scope='module')
def space(tmp_path_factory, tiny_blip):  # noqa: F811
    return Workspace(tmp_path_factory.mktemp('originals'), tiny_blip)


@pytest.fixture(scope='module')
def execute(space, python):
    """Return a function that runs a command once, after those that it needs, and what it said."""
    done, environment = {}, {
        name: value for name, value in os.environ.items()
        if name not in ('RSCC_DATA', 'CDPATH', 'LOCAL_RANK', 'RANK')}
    environment |= {'PYTHONPATH': str(ROOT), 'PYTHON': sys.executable, 'HF_HUB_OFFLINE': '1',
                    'OMP_NUM_THREADS': '1'}
    def run(command):
        if command not in done:
            for other in EXECUTIONS[command].after:
                run(other)
            done[command] = call(command)
        return done[command]

    def call(command):
        execution = EXECUTIONS[command]
        names = {name: value(space) if callable(value) else value
                 for name, value in execution.names.items()}
        words = [replaced(word, names) for word in shlex.split(command)]
        words += [str(word(space) if callable(word) else word) for word in execution.extra]
        ended = (python(*words[1:], cwd=space.folder, env=environment) if words[0] == 'python' else
                 subprocess.run(words, cwd=space.folder, env=environment, text=True,
                                capture_output=True, timeout=SECONDS, check=False))
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, (
            f'{shlex.join(words)}\nended with {ended.returncode}:\n{said[-4000:]}')
        return said

    return run


def replaced(word, names):
    """Return a word of a command with a path in place of the name that stands for one."""
    first, slash, rest = word.partition('/')
    return f'{names[first]}{slash}{rest}' if first in names else word


@pytest.mark.slow
@pytest.mark.parametrize('command', EXECUTIONS, ids=str)
def test_a_command_does_its_work(execute, space, command):
    said = execute(command)
    for text in EXECUTIONS[command].says:
        assert text in said, f'{text!r} is not in:\n{said[-3000:]}'
    for name in EXECUTIONS[command].makes:
        path = space.folder / name
        assert path.exists(), f"'{name}' was not made:\n{said[-3000:]}"
        assert path.is_dir() or path.stat().st_size > 0
