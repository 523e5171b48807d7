"""The command line: files, both pages, and errors in one line."""
import sys

import numpy as np
import pytest

from tools.benchmark.machine import Machine
from tools.benchmark.sampling import SamplingBenchmark
from tools.benchmark.tables import Picture, Section


@pytest.fixture
def tool(load_tool, monkeypatch):
    module = load_tool('analysis_tools/sampling_steps.py')

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', ['sampling_steps.py', *map(str, arguments)])
        module.main()

    module.call = call
    return module


def test_table_figures_and_picture_are_written_and_reach_the_docs(tool, tmp_path, monkeypatch,
                                                                  capsys):
    section = Section('sampling', 'Title', ('a',), [['1']],
                      Machine('Some CPU', 2, 2, 23.6, '2.13.0', True),
                      picture=Picture('sampling_steps', np.zeros((4, 6, 3), np.uint8), 'Curves'))
    asked = {}
    monkeypatch.setattr(tool, 'benchmark_sampling', lambda **options: asked.update(options)
                        or SamplingBenchmark([], 40., section))
    for language in ('en', 'zh_cn'):
        (tmp_path / language).mkdir()
        (tmp_path / language / 'benchmarks.md').write_text(
            '<!-- benchmark:speed -->\n<!-- /benchmark:speed -->\n')
    tool.call('c.py', 'c.pth', '--steps', 4, 50, '--samplers', 'heun', '--out', tmp_path / 'out',
              '--beside', 'b.py', 'b.pth', '--write', '--docs', tmp_path)
    assert asked['steps'] == [4, 50] and asked['samplers'] == ['heun']
    assert asked['beside'] == [['b.py', 'b.pth']] and asked['limit'] is None
    assert '![Curves](sampling_steps.png)' in (tmp_path / 'out/sampling_steps.md').read_text()
    assert '"baseline_changed_cider": 40.0' in (tmp_path / 'out/sampling_steps.json').read_text()
    for picture in ('out/sampling_steps.png', 'en/images/sampling_steps.png'):
        assert (tmp_path / picture).is_file()
    assert '<!-- benchmark:sampling -->' in (tmp_path / 'zh_cn/benchmarks.md').read_text()
    assert 'sampling_steps.json' in capsys.readouterr().out


def test_its_defaults_are_those_of_the_benchmark(tool):
    import inspect

    from tools.benchmark.sampling import benchmark_sampling
    options = vars(tool.parse_args(['c.py', 'c.pth']))
    for name, parameter in inspect.signature(benchmark_sampling).parameters.items():
        if parameter.default is not parameter.empty:
            wanted = parameter.default
            assert options[name] == (list(wanted) if isinstance(wanted, tuple) else wanted), name


def test_an_error_is_one_line(tool):
    with pytest.raises(SystemExit, match=r"error: no config at 'configs/kdrscc_sinth\.py'"):
        tool.call('configs/kdrscc_sinth.py', 'x.pth')
