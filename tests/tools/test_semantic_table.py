"""tools/analysis_tools/semantic_table.py: scores out of a predictions file into both pages."""
import json

import pytest

from tools.benchmark.model_page import read_cells

TOOL = 'analysis_tools/semantic_table.py'
SCORES = {'SeK_pooled': 0.2625, 'SeK_from_to': 0.191, 'F_scd_pooled': 0.5586,
          'F_scd_from_to': 0.392, 'F1_changed': 0.807}


@pytest.fixture
def predictions(tmp_path):
    """A predictions file with the scores of a model and of one baseline."""
    path = tmp_path / 'predictions.json'
    path.write_text(json.dumps(dict(
        config='configs/semantic_synth.py', split='test', dataset=dict(dataset_type='Synth'),
        samples=[{}, {}, {}], metrics={
            **{f'semantic/{name}': value for name, value in SCORES.items()},
            'semantic/repeated_first/SeK_from_to': -0.0196})))
    return path


@pytest.fixture
def docs(tmp_path):
    for language in ('en', 'zh_cn'):
        (tmp_path / 'docs' / language).mkdir(parents=True)
        (tmp_path / 'docs' / language / 'evaluation.md').write_text(
            'before\n<!-- benchmark:semantic -->\nold\n<!-- /benchmark:semantic -->\nafter\n')
    return tmp_path / 'docs'


def test_the_table_is_written_into_both_pages_and_read_by_metafiles(run_tool, predictions, docs):
    done = run_tool(TOOL, predictions, '--write', '--docs', docs)
    assert done.returncode == 0, done.stderr
    page = docs / 'en/evaluation.md'
    text = page.read_text()
    assert '| semantic_synth | 0.263 | 0.191 | 0.559 | 0.392 | 0.807 |' in text
    assert '| its classes of the first date at both | – | -0.020 | – | – | – |' in text
    assert '- 3 pairs of Synth, split test. ' in text and 'old' not in text
    assert text.startswith('before\n') and text.endswith('after\n')
    assert read_cells(page, 'semantic', {'SeK': ['semantic_synth', 'SeK pooled']}) == {
        'SeK': '0.263'}
    assert '|  | SeK 合并 |' in (docs / 'zh_cn/evaluation.md').read_text()


def test_without_write_it_is_shown_alone(run_tool, predictions, docs):
    done = run_tool(TOOL, predictions, '--docs', docs)
    assert '| semantic_synth |' in done.stdout
    assert 'old' in (docs / 'en/evaluation.md').read_text()


def test_other_files_and_pages_without_marks_are_refused(run_tool, predictions, docs):
    (docs / 'zh_cn/evaluation.md').write_text('nothing')
    done = run_tool(TOOL, predictions, '--write', '--docs', docs)
    assert done.returncode and "has no mark '<!-- benchmark:semantic -->'" in done.stderr
    assert 'old' in (docs / 'en/evaluation.md').read_text()
    predictions.write_text('{"metrics": {"change/F1_changed": 1}}')
    done = run_tool(TOOL, predictions)
    assert done.returncode and 'has no semantic/SeK_pooled: expected the predictions' in done.stderr
