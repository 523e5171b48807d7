"""Both languages say the same, commands exist and take their flags, links lead somewhere."""
import ast
import json
import re
import runpy
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from recipes import written_files

from tools.analysis_tools import benchmark

ROOT = Path(__file__).resolve().parent.parent
BENCHMARK = 'tools/analysis_tools/benchmark.py'
PAIRS = [('README.md', 'README_zh-CN.md'), ('CONTRIBUTING.md', 'CONTRIBUTING_zh-CN.md')] + [
    (f'docs/en/{path.name}', f'docs/zh_cn/{path.name}')
    for path in sorted((ROOT / 'docs' / 'en').glob('*.md'))]
PAGES = sorted({name for pair in PAIRS for name in pair})
# Pages outside of the folders of the two languages.
OTHERS = sorted(path.relative_to(ROOT).as_posix()
                for pattern in ('*.md', 'docs/*.md', 'docs/api/*.md')
                for path in ROOT.glob(pattern) if not path.name.startswith('README'))
COMMAND = re.compile(r'^\s*(?:[A-Z_]+=\S+\s+)*(?:python|bash|pip|git|source|export|rscc)\s')
# The Python tool that a shell script hands its further arguments to.
FORWARDS = {'dist_train.sh': 'train.py', 'slurm_train.sh': 'train.py',
            'dist_test.sh': 'test.py', 'slurm_test.sh': 'test.py',
            'parallel_scene.sh': 'infer.py', 'slurm_scene.sh': 'infer.py'}


def read(name):
    return (ROOT / name).read_text(encoding='utf-8')


def fenced_blocks(text):
    """Return the contents of fenced code blocks, continued lines joined."""
    blocks = re.findall(r'^```[^\n]*\n(.*?)^```', text, re.M | re.S)
    return [re.sub(r'\\\n\s*', '', block) for block in blocks]


def commands(text):
    """Return every command line of a page's code blocks without its comment."""
    lines = [line for block in fenced_blocks(text) for line in block.splitlines()]
    return [re.sub(r'\s+#.*$', '', line).strip() for line in lines if COMMAND.match(line)]


def headings(text):
    """Return (level, title) of every heading outside code blocks."""
    prose = re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)
    return [(len(marks), title.strip()) for marks, title in
            re.findall(r'^(#{1,6}) (.+)$', prose, re.M)]


def anchors(text):
    """Return the anchors that GitHub makes of a page's headings, and explicit ones."""
    made = {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for _, title in headings(text)}
    return made | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


# A folder with an __init__.py (tools/benchmark) is a package that a tool imports, not commands.
TOOLS = sorted(path for path in (ROOT / 'tools').rglob('*.py')
               if not (path.parent / '__init__.py').is_file())
# Asks every tool for its help inside one process: importing torch once, not a dozen times.
ASK_ALL = """
import contextlib, io, json, runpy, sys, traceback
answers = {}
for tool in sys.argv[1:]:
    sys.argv, page = [tool, '--help'], io.StringIO()
    try:
        with contextlib.redirect_stdout(page):
            runpy.run_path(tool, run_name='__main__')
        answers[tool] = 'it returned instead of exiting'
    except SystemExit as end:
        answers[tool] = page.getvalue() if not end.code else f'exit code {end.code}'
    except Exception:
        answers[tool] = traceback.format_exc()
print(json.dumps(answers))
"""


@cache
def all_help():
    tools = [str(path.relative_to(ROOT)) for path in TOOLS]
    done = subprocess.run([sys.executable, '-c', ASK_ALL, *tools], cwd=ROOT, text=True,
                          capture_output=True, check=True, timeout=600)
    return json.loads(done.stdout.splitlines()[-1])


def help_of(tool):
    text = all_help()[f'tools/{tool}']
    assert text.startswith('usage:'), f'tools/{tool} --help fails:\n{text[-800:]}'
    return text


def flags_of(script):
    """Return the text in which a flag of ``tools/...`` must be found."""
    name = Path(script).name
    if script.endswith('.py'):
        return help_of(script.removeprefix('tools/'))
    own = read(script)
    return own + help_of(FORWARDS[name]) if name in FORWARDS else own


def help_of_benchmark(name, capsys):
    """Return the help of one benchmark, which has flags of its own; of a config that of models."""
    with pytest.raises(SystemExit, match='0'):
        benchmark.parse_args([name, '--help'])
    return capsys.readouterr().out


def tool_commands():
    """Return every (page, command) that runs something from tools/, each command once."""
    seen = {}
    for page in PAGES:
        if (ROOT / page).is_file():
            for line in commands(read(page)):
                if re.search(r'\btools/', line):
                    seen.setdefault(line, page)
    return [(page, line) for line, page in seen.items()]


def console_commands():
    """Return every (page, command) that calls ``rscc``, each command once."""
    seen = {}
    for page in PAGES:
        for line in commands(read(page)) if (ROOT / page).is_file() else ():
            if line.startswith('rscc '):
                seen.setdefault(line, page)
    return [(page, line) for line, page in seen.items()]


@pytest.mark.parametrize(('english', 'chinese'), PAIRS)
def test_both_languages_exist_with_the_same_headings(english, chinese):
    assert (ROOT / chinese).is_file(), f'{english} has no Chinese counterpart'
    levels = [[level for level, _ in headings(read(name))] for name in (english, chinese)]
    assert levels[0] == levels[1], f'{english} and {chinese} are organised differently'


@pytest.mark.parametrize(('english', 'chinese'), PAIRS)
def test_both_languages_give_the_same_commands(english, chinese):
    assert commands(read(english)) == commands(read(chinese))


def test_no_chinese_page_is_without_an_english_one():
    english, chinese = ({path.name for path in (ROOT / 'docs' / language).glob('*.md')}
                        for language in ('en', 'zh_cn'))
    assert english == chinese


@pytest.mark.parametrize(('page', 'line'), tool_commands())
def test_a_quoted_command_exists_and_takes_its_flags(page, line, capsys):
    words = shlex.split(line)
    script = next(word for word in words if word.startswith('tools/'))
    assert (ROOT / script).is_file(), f'{page}: {script} does not exist'
    known = flags_of(script)
    if script == BENCHMARK:
        known += help_of_benchmark(words[words.index(script) + 1], capsys)
    for flag in [word.split('=')[0] for word in words if word.startswith('--')]:
        assert re.search(re.escape(flag) + r'(?![\w-])', known), f'{page}: {script} has no {flag}'
    for config in {word for word in words if re.fullmatch(r'configs/\S+\.py', word)}:
        assert (ROOT / config).is_file() or config in written_files(page), (
            f'{page}: {config} does not exist')


@pytest.mark.parametrize(('page', 'line'), console_commands())
def test_a_quoted_console_command_exists_and_takes_its_flags(page, line, capsys):
    from rscc import cli
    words = shlex.split(line)[1:]
    depth = 2 if words[0] == 'convert' else 1
    with pytest.raises(SystemExit, match='0'):
        cli.main([*words[:depth], '--help'])
    known = capsys.readouterr().out
    for flag in [word for word in words[depth:] if word.startswith('--')]:
        assert re.search(re.escape(flag) + r'(?![\w-])', known), f'{page}: {line}: no {flag}'


@pytest.mark.parametrize('page', ['docs/en/install.md', 'docs/zh_cn/install.md'])
def test_the_table_of_console_commands_has_all_of_them(page):
    from rscc.cli import COMMANDS
    from rscc.commands.convert import KINDS
    rows = re.findall(r'^\| (`rscc .+) \| .+ \|$', read(page), re.M)
    listed = {name for row in rows for name in re.findall(r'`rscc ([\w -]+)`', row)}
    assert listed == {*COMMANDS} - {'convert'} | {f'convert {kind}' for kind in KINDS}


@pytest.mark.parametrize('path', TOOLS, ids=lambda path: path.name)
def test_every_tool_explains_itself(path):
    shown = help_of(str(path.relative_to(ROOT / 'tools')))
    assert '-h, --help' in shown
    assert '``' not in shown and '::' not in shown, 'marks of docstrings'
    joined = re.findall(r'^ *python .*\S {4,}--.*', shown, re.M)
    assert not joined, f'a command in two lines became one: the docstring is not raw: {joined[:1]}'


@pytest.mark.parametrize('page', [*PAGES, *OTHERS])
def test_links_and_pictures_lead_somewhere(page):
    text = re.sub(r'^```.*?^```', '', read(page), flags=re.M | re.S)
    targets = re.findall(r'\]\(([^)\s]+)\)', text)
    for target in targets + re.findall(r'<img[^>]*src="([^"]+)"', text):
        if re.match(r'[a-z]+:', target):
            continue
        file, _, anchor = target.partition('#')
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), f'{page}: link to {target}, which does not exist'
        if anchor and path.suffix == '.md':
            assert anchor in anchors(path.read_text(encoding='utf-8')), f'{page}: no {target}'


@pytest.mark.parametrize('page', PAGES)
def test_named_files_of_the_repository_exist(page):
    prose = re.sub(r'^```.*?^```', '', read(page), flags=re.M | re.S)
    for name in re.findall(r'`((?:configs|tools|rscc|tests|docs|requirements)/[\w./-]+)`', prose):
        row = next(line for line in prose.splitlines() if f'`{name}`' in line)
        if re.search(r'not yet|尚未', row) or name in written_files(page):
            continue
        assert (ROOT / name).exists(), f'{page} names {name}, which does not exist'


@pytest.mark.parametrize('page', [name for name in PAGES if 'zh' in name])
def test_no_chinese_sentence_is_broken_across_lines(page):
    """A browser shows a line break as a blank, and Chinese is written without blanks."""
    prose = re.sub(r'^```.*?^```', '', read(page), flags=re.M | re.S)
    chinese = r'[\u3001-\u303f\u3400-\u9fff\uff01-\uff65]'
    broken = re.findall(rf'^.*{chinese}\n(?= *[*\[]*{chinese}).*', prose, re.M)
    assert not broken, f'{page}: join these lines with what follows them: {broken[:3]}'


@pytest.mark.parametrize('page', ['docs/en/models.md', 'docs/zh_cn/models.md'])
def test_the_layers_of_the_package_are_those_of_the_imports(page):
    from test_floors import FLOORS
    shown = {name.removesuffix('.py'): int(layer)
             for layer, cell in re.findall(r'^\| (\d+) \| ([^|]+) \|', read(page), re.M)
             for name in re.findall(r'`rscc/(\w+(?:\.py)?)`', cell)}
    assert shown == {part: floor for part, floor in FLOORS.items() if part}


@pytest.mark.parametrize('page', ['docs/en/scaling.md', 'docs/zh_cn/scaling.md'])
def test_the_cost_of_a_country_follows_from_the_formula(page):
    rows = re.findall(r'^\| \S+ \| ([\d,]+) \| ([\d.]+) \| ([\d,]+) \| ([\d.,]+) \| ([\d.,]+) \| '
                      r'([\d.,]+) \|$', read(page), re.M)
    assert len(rows) == 4
    for row in rows:
        area, resolution, megapixels, core_hours, hours, disk = (
            float(cell.replace(',', '')) for cell in row)
        assert megapixels == area / resolution**2
        for shown, exact in ((core_hours, megapixels / 3600), (hours, megapixels / 360000),
                             (disk, megapixels * 2.5 / 1000)):
            assert shown == pytest.approx(exact, rel=0.07)


def test_the_example_of_a_new_part_works():
    from testers import frame_features

    from rscc.registry import MODELS
    examples = {re.search(r'^```python\n(.*?)^```', read(f'docs/{language}/models.md'),
                          re.M | re.S)[1] for language in ('en', 'zh_cn')}
    assert len(examples) == 1, 'the two languages show different code'
    try:
        exec(compile(examples.pop(), 'docs/en/models.md', 'exec'), {'__name__': 'example'})
        features = frame_features()
        tokens = MODELS.build(dict(type='DifferenceOnly'))(features).tokens
    finally:
        MODELS.module_dict.pop('DifferenceOnly', None)
    assert tokens.equal(features.tokens[:, 1] - features.tokens[:, 0])


def pseudo_pair_configs():
    """Return (language, config) of every whole config in the sections about pseudo-pairs."""
    blocks = [(language, block) for language in ('en', 'zh_cn') for block in re.findall(
        r'^```python\n(.*?)^```', read(f'docs/{language}/datasets.md'), re.M | re.S)]
    return [(language, block) for language, block in blocks
            if '_base_ = ' in block and 'PseudoPairDataset' in block]


def test_both_languages_show_the_same_configs_of_pseudo_pairs():
    def settings(language):
        trees = [ast.parse(block) for name, block in pseudo_pair_configs() if name == language]
        return [[ast.dump(node) for node in tree.body if isinstance(node, ast.Assign)]
                for tree in trees]
    assert settings('en') == settings('zh_cn') and len(settings('en')) == 2


@pytest.mark.parametrize('config', [block for name, block in pseudo_pair_configs() if name == 'en'])
def test_the_configs_of_pseudo_pairs_make_pairs_as_written(config, tmp_path, monkeypatch):
    import cv2
    import numpy as np
    from mmengine.config import Config

    from rscc.registry import DATASETS
    for folder in ('image', 'label'):
        (tmp_path / 'my_tiles' / folder).mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in (1, 30):  # one of those that train, one that is held back
        mask = np.zeros((128, 128), np.uint8)
        mask[30:60, 40:80] = mask[80:110, 20:50] = 255
        for folder, pixels in (('image', draw.integers(0, 255, (128, 128, 3), np.uint8)),
                               ('label', mask)):
            cv2.imwrite(str(tmp_path / f'my_tiles/{folder}/tile_{number:06d}.png'), pixels)
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'my_pairs.py').write_text(config, encoding='utf-8')
    cfg = Config.fromfile(tmp_path / 'my_pairs.py')
    for stage in ('train', 'val'):
        dataset = DATASETS.build(cfg[f'{stage}_dataloader'].dataset)
        assert [tile.name for tile in dataset.pool.full] == [
            'tile_000001' if stage == 'train' else 'tile_000030']
        sample = dataset[0]['data_samples']
        classes = {*range(len(dataset.metainfo['classes'])), 255}
        labels = {int(value) for value in sample.gt_sem_seg.data.unique()}
        assert labels <= (classes | {254} if 'rest=0, captions=0' not in config
                          and stage == 'train' else classes)


def test_the_readme_quotes_what_the_shipped_model_says():
    script = runpy.run_path(str(ROOT / 'docs/result_picture.py'))
    for _, answer in script['answers']():
        for page in ('README.md', 'README_zh-CN.md'):
            assert answer.caption in ' '.join(read(page).split()), (
                f'{page} does not quote "{answer.caption}": run python docs/result_picture.py')


def test_pages_named_in_error_messages_exist():
    found = set()
    for path in (ROOT / 'rscc').rglob('*.py'):
        source = path.read_text(encoding='utf-8')
        found |= set(re.findall(r'docs/en/[\w-]+\.md(?:#[\w-]+)?', source))
    for target in sorted(found):
        file, _, anchor = target.partition('#')
        assert (ROOT / file).is_file(), f'{target} is named in a message and does not exist'
        if anchor:
            assert anchor in anchors(read(file)), f'{file} has no #{anchor}'


def test_the_helpers_here_see_what_they_should():
    text = ('# A\n```bash\n# B\npython tools/x.py a \\\n    --flag 1  # why\n'
            'RSCC_DATA=/d bash y.sh\n```\n')
    assert commands(text) == ['python tools/x.py a --flag 1', 'RSCC_DATA=/d bash y.sh']
    assert headings(text) == [(1, 'A')]
    assert anchors('## LEVIR-CC and more!') == {'levir-cc-and-more'}
