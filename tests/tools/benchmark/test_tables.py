"""Tables reach both pages, in order, between their marks, or nothing is written."""
from dataclasses import replace

import numpy as np
import pytest

from tools.benchmark.machine import Machine
from tools.benchmark.tables import (
    Picture,
    Section,
    Target,
    command_line,
    place,
    to_markdown,
    to_text,
    write_section,
)

MACHINE = Machine('Some CPU', 2, 2, 23.6, '2.13.0', True)
PAGE = 'Before.\n\n<!-- benchmark:speed -->\n<!-- /benchmark:speed -->\n\nAfter.\n'


def section(name='captions', figure='1.50'):
    return Section(name, ('Title', '标题'), (('config', '配置'), ('ratio', '比值')),
                   [['blip', figure]], MACHINE, notes=[('A note.', '说明。')],
                   command='python tools/x.py captions', date='2026-11-21')


@pytest.fixture
def docs(tmp_path):
    for language in ('en', 'zh_cn'):
        (tmp_path / language).mkdir()
        (tmp_path / language / 'benchmarks.md').write_text(PAGE)
    return tmp_path


def test_a_section_reaches_both_pages_in_their_language(docs):
    pages = write_section(section(), docs)
    english, chinese = (page.read_text() for page in pages)
    assert english == ("""Before.

<!-- benchmark:speed -->
<!-- benchmark:captions -->
### Title

| config | ratio |
| --- | --- |
| blip | 1.50 |

- A note.
- Measured on: Some CPU, 2 cores, 2 threads, 24 GiB, torch 2.13.0, bfloat16 in hardware; """
                       """2026-11-21; `python tools/x.py captions`
<!-- /benchmark:captions -->
<!-- /benchmark:speed -->

After.
""")
    assert '### 标题' in chinese and '| 配置 | 比值 |' in chinese and '- 说明。' in chinese
    assert 'Some CPU，2 核，2 线程，24 GiB，torch 2.13.0，硬件支持 bfloat16；2026-11-21' in chinese


def test_writing_again_replaces_the_table_and_nothing_else(docs):
    write_section(section(), docs)
    once = (docs / 'en/benchmarks.md').read_text()
    write_section(section(figure='1.40'), docs)
    assert (docs / 'en/benchmarks.md').read_text() == once.replace('1.50', '1.40')


def test_sections_stand_in_reading_order_whatever_order_they_were_measured_in(docs):
    for name in ('metric', 'model', 'decode', 'captions'):
        write_section(section(name), docs)
    page = (docs / 'en/benchmarks.md').read_text()
    at = [page.index(f'<!-- benchmark:{name} -->')
          for name in ('speed', 'model', 'captions', 'decode', 'metric')]
    assert at == sorted(at)
    assert page.index('<!-- /benchmark:metric -->') < page.index('<!-- /benchmark:speed -->')
    assert '-->\n\n\n' not in page and page.count('-->\n\n<!-- benchmark:') == 3


def test_a_gpus_table_stands_behind_that_of_the_cpu(docs):
    gpu = section('model', '9.99')
    gpu.machine = replace(MACHINE, gpu='Some GPU')
    for one in (gpu, section('text'), section('model')):
        write_section(one, docs)
    english, chinese = ((docs / language / 'benchmarks.md').read_text()
                        for language in ('en', 'zh_cn'))
    at = [english.index(f'<!-- benchmark:{name} -->') for name in ('model', 'model-gpu', 'text')]
    assert at == sorted(at)
    assert '### Title on a GPU' in english and '### 标题（GPU）' in chinese
    assert '- Measured on: Some GPU, Some CPU' in english


def test_a_page_without_marks_is_named_and_neither_page_changes(docs):
    (docs / 'zh_cn/benchmarks.md').write_text('没有标记\n')
    with pytest.raises(ValueError, match=r"zh_cn/benchmarks.md' needs the marks '<!-- benchmark:"
                                         r"speed -->' .* found 0 and 0"):
        write_section(section(), docs)
    assert (docs / 'en/benchmarks.md').read_text() == PAGE


def test_a_missing_page_is_named(docs):
    (docs / 'zh_cn/benchmarks.md').unlink()
    with pytest.raises(FileNotFoundError, match=r"zh_cn/benchmarks.md' to write to.*--docs"):
        write_section(section(), docs)
    assert (docs / 'en/benchmarks.md').read_text() == PAGE


def test_half_a_pair_of_marks_is_an_error():
    broken = PAGE.replace('After.', '<!-- benchmark:captions -->')
    with pytest.raises(ValueError, match='once each and in this order; found 1 and 0'):
        place(broken, 'captions', 'x', 'page.md')


def test_a_target_says_whether_it_was_met():
    assert Target(1.7).judge(1.456) == ('1.46 (target ≤ 1.7: met)', '1.46（目标 ≤ 1.7：达到）')
    assert Target(150, at_least=True, digits=0).judge(90)[0] == '90 (target ≥ 150: missed)'
    assert Target(15, digits=1, unit=' s').judge(7)[0] == '7.0 s (target ≤ 15 s: met)'


def test_the_command_names_no_folder_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [str(tmp_path / 'tools/benchmark.py'), 'loader', '--root', '/somewhere/else/LEVIR-CC',
             '--rounds', '3']
    assert command_line(words) == ('python tools/benchmark.py loader --root .../LEVIR-CC '
                                   '--rounds 3')


def test_the_terminal_table_is_aligned():
    lines = to_text(section()).splitlines()
    assert lines[2:5] == ['config  ratio', '------  -----', 'blip    1.50']


def test_long_heads_break_over_two_lines_above_short_cells():
    long = section()
    long.columns = ['config', 'peak memory, inference']
    lines = to_text(long).splitlines()
    assert lines[2:6] == ['        peak memory,', 'config  inference', '------  ------------',
                          'blip    1.50']


def test_notes_break_into_lines_of_a_terminal():
    long = section()
    long.notes = ['word ' * 50]
    lines = to_text(long).splitlines()
    assert max(map(len, lines)) <= 100 and lines[7].startswith('  word')


def test_rows_have_as_many_cells_as_the_table_has_columns():
    with pytest.raises(ValueError, match=r"row of section 'model' has 1 cells, the table 2 col"):
        Section('model', 'x', ('a', 'b'), [['only']], MACHINE)


def test_markdown_of_both_languages_has_the_same_shape():
    shapes = [[line[:3] for line in to_markdown(section(), language).splitlines() if '|' in line]
              for language in ('en', 'zh_cn')]
    assert len(shapes[0]) == len(shapes[1]) == 3


def test_one_picture_serves_both_pages(docs):
    drawn = section()
    drawn.picture = Picture('curves', np.zeros((4, 6, 3), np.uint8), ('Curves', '曲线'))
    english, chinese, picture = write_section(drawn, docs)
    assert picture == docs / 'en/images/curves.png' and picture.is_file()
    assert '| blip | 1.50 |\n\n![Curves](images/curves.png)\n\n- A note.' in english.read_text()
    assert '![曲线](../en/images/curves.png)' in chinese.read_text()
    assert '![Curves](here.png)' in to_markdown(drawn, 'en', 'here.png')
    drawn.machine = replace(MACHINE, gpu='Some GPU')
    assert '(images/curves-gpu.png)' in to_markdown(drawn, 'en')


def test_no_picture_is_written_where_the_pages_cannot_be(docs):
    drawn = section()
    drawn.picture = Picture('curves', np.zeros((4, 6, 3), np.uint8), 'Curves')
    (docs / 'zh_cn/benchmarks.md').unlink()
    with pytest.raises(FileNotFoundError, match='no page'):
        write_section(drawn, docs)
    assert not (docs / 'en/images').exists()
