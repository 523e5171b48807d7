"""The command line: a table on the terminal, in both pages, and errors in one line."""
import functools
import subprocess
import sys

import pytest

MARKS = '<!-- benchmark:speed -->\n<!-- /benchmark:speed -->\n'


@pytest.fixture
def tool(load_tool):
    return load_tool('analysis_tools/benchmark.py')


@pytest.fixture
def benchmark(run_tool, tmp_path, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    return functools.partial(run_tool, 'analysis_tools/benchmark.py')


def test_a_config_alone_means_the_model_benchmark_and_write_fills_both_pages(benchmark, repo,
                                                                             tmp_path):
    for language in ('en', 'zh_cn'):
        (tmp_path / language).mkdir()
        (tmp_path / language / 'benchmarks.md').write_text(MARKS)
    done = benchmark('configs/blip_synth.py', '--random-weights', '--size', '64',
                     '--rounds', '1', '--precisions', 'fp32', '--write', '--docs', str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert 'blip_synth  fp32' in done.stdout
    for language in ('en', 'zh_cn'):
        page = (tmp_path / language / 'benchmarks.md').read_text()
        assert '| blip_synth | fp32 | 64 |' in page
        assert '`python tools/analysis_tools/benchmark.py configs/blip_synth.py' in page
        assert str(repo) not in page


def test_errors_are_one_line(python):
    done = python('tools/analysis_tools/benchmark.py', 'model', 'configs/blip_sinth.py')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no config at 'configs/blip_sinth.py'. "
                                                   "Did you mean 'configs/blip_synth.py'?")


def test_the_defaults_of_a_benchmark_are_those_of_its_function(tool):
    import inspect

    from tools.benchmark import BENCHMARKS
    lines = {name: [name] for name in BENCHMARKS} | dict(model=['model', 'x.py'],
                                                         earlier=['earlier', 'before'])
    for name, words in lines.items():
        parameters = inspect.signature(BENCHMARKS[name]).parameters
        open_ended = any(kind.kind is kind.VAR_KEYWORD for kind in parameters.values())
        options = vars(tool.parse_args(words))
        for key in set(options) - {'benchmark', 'write', 'docs'}:
            assert open_ended or key in parameters, f'{name} takes no {key}'
            if key in parameters and parameters[key].default is not inspect.Parameter.empty:
                assert options[key] in (None, parameters[key].default), f'{name}, {key}'


def test_names_of_work_are_those_that_can_be_done(tool):
    from tools.benchmark import earlier, peers
    assert list(earlier.WORKS) == tool.WORKS and list(peers.PEERS) == tool.PEERS


def test_benchmarks_of_one_config_use_random_weights_unless_told(tool):
    assert tool.parse_args(['captions']).random_weights
    assert tool.parse_args(['windows']).config.endswith('configs/changeclip_rn50_levircd.py')
    assert not tool.parse_args(['captions', 'c.py', '--own-weights']).random_weights
    assert tool.parse_args(['c.py', '--rounds', '3']).benchmark == 'model'


def test_all_runs_every_benchmark_of_speed_and_stops_at_the_first_failure(tool, monkeypatch):
    from tools.benchmark import BENCHMARKS
    assert [line[0] for line in tool.ALL] == [
        name for name in BENCHMARKS if name not in ('pretrained', 'ablation', 'gpu', 'earlier')]
    ran = []

    def fake(command, **_):
        ran.append(command[1:])
        return subprocess.CompletedProcess(command, 3 if 'precision' in command else 0)

    monkeypatch.setattr(tool.subprocess, 'run', fake)
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'all', '--write'])
    with pytest.raises(SystemExit) as stopped:
        tool.main()
    assert stopped.value.code == 3
    assert [command[1] for command in ran] == ['model', 'recent', 'text', 'windows', 'captions',
                                             'precision']
    assert all(command[-1] == '--write' for command in ran)


def test_all_names_configs_that_are_there(tool, repo):
    lines = [vars(tool.parse_args(line)) for line in tool.ALL]
    words = [word for line in lines for word in line.get('configs', [line.get('config')]) if word]
    assert words and all((repo / word).is_file() for word in words)


def test_a_busy_machine_is_mentioned(tool, monkeypatch, capsys):
    monkeypatch.setattr(tool.os, 'getloadavg', lambda: (9.0, 0, 0))
    monkeypatch.setattr(tool.os, 'cpu_count', lambda: 2)
    tool.warn_if_busy()
    assert '9 processes want 2 cores' in capsys.readouterr().err
    monkeypatch.setattr(tool.os, 'getloadavg', lambda: (1.0, 0, 0))
    tool.warn_if_busy()
    assert capsys.readouterr().err == ''


def test_tables_of_a_gpu_are_written_as_they_come(tool, tmp_path, monkeypatch, capsys):
    from tools.benchmark import BENCHMARKS
    from tools.benchmark.machine import describe_machine
    from tools.benchmark.tables import Section
    given = []

    def tables(**options):
        given.append(options)
        yield Section('training', 'Steps', ['speed'], [['fast']], describe_machine())
        raise ValueError('no second table')

    for language in ('en', 'zh_cn'):
        (tmp_path / language).mkdir()
        (tmp_path / language / 'benchmarks.md').write_text(MARKS)
    monkeypatch.setitem(BENCHMARKS, 'gpu', tables)
    arguments = tool.parse_args(['gpu', 'training', '--peak-tflops', '100', '--no-compile',
                                 '--write', '--docs', str(tmp_path)])
    with pytest.raises(SystemExit, match='error: no second table'):
        tool.run(arguments)
    assert given[0]['parts'] == ['training'] and given[0]['device'] == 'cuda'
    assert given[0]['peak'] == 100 and not given[0]['compiled'] and 'steps' not in given[0]
    assert '<!-- benchmark:training -->' in (tmp_path / 'zh_cn/benchmarks.md').read_text()
    assert 'fast' in capsys.readouterr().out
