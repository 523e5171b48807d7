import re
from pathlib import Path

import pytest

from rscc.doctor.kinds import KINDS, SEVERITIES, WORDS
from rscc.doctor.overview import overview, type_of
from rscc.doctor.page import write_page
from tests.doctor.test_examination import plant_masks, plant_pictures


def test_the_page_shows_findings_with_pictures_and_needs_no_network(patient, findings, tmp_path):
    plant_pictures(patient)
    plant_masks(patient)
    patient.images[0]['sentences'][0]['raw'] = '<script>alert(1)</script> & more'
    findings(patient.save())
    seen = overview(findings.register, findings.parts)
    for language in WORDS:
        page = write_page(findings.register, findings.parts, seen, tmp_path / 'a.html',
                          language).read_text()
        for kind in ('shifted', 'leak', 'mask_values', 'near_duplicate'):
            assert f'id="{kind}"' in page and KINDS[kind].text(language) in page
        assert '<script' not in page and '&lt;script' in page
        assert all(f'{colour}: #' in page for colour in ('--paper', '--ink', '--line', '--bad'))
        sources = re.findall(r'src="([^"]{0,12})', page)
        assert len(sources) > 60 and set(sources) == {'data:image/w'}
        assert not re.search(r'(?:href|url)\W+(?:https?:|//)', page)


def test_an_overview_counts_types_of_change_words_and_classes(rendered, findings):
    findings(rendered)
    seen = overview(findings.register, findings.parts)
    assert seen['splits'] == {'train': 72, 'val': 8, 'test': 8}
    assert seen['flags']['train'] == [36, 36] and seen['sizes'] == {'256 x 256': 88}
    changes = {name: found['captions'] for name, found in seen['changes'].items()}
    assert sum(changes.values()) == seen['captions'] == 440 and changes['unchanged'] == 220
    assert 'building' in seen['changes']['appear']['objects']
    assert sum(found['pixels'] for found in seen['classes']) == 88 * 256 * 256
    assert sum(count for _, count in seen['shares']) == 88 and seen['shares'][0] == ('0 %', 44)
    assert seen['words'] and 'the' not in dict(seen['words'])
    assert sum(seen['lengths'].values()) == 440


def test_sentences_have_one_type_of_change():
    assert [type_of(text, 'en') for text in (
        'nothing has changed', 'a house is built', 'the trees are removed',
        'a road replaces the trees', 'cars on a road')] == [
            'unchanged', 'appear', 'remove', 'both', 'other']
    assert type_of('新建了一栋房子', 'zh') == 'appear'


def test_both_languages_have_the_same_words():
    english, chinese = WORDS['en'], WORDS['zh']
    assert set(english) == set(chinese) and set(english['types']) == set(chinese['types'])
    assert all(found.en[0] and found.zh[0] and bool(found.en[1]) == bool(found.zh[1])
               for found in KINDS.values())


@pytest.mark.parametrize(('language', 'folder', 'yes', 'grades'), [
    ('en', 'en', 'yes', ('error', 'warning', 'note')),
    ('zh', 'zh_cn', '是', ('错误', '警告', '提示'))])
def test_the_documentation_lists_every_kind_with_its_grade(language, folder, yes, grades):
    page = Path(__file__).parents[2] / 'docs' / folder / 'datasets.md'
    rows = [f'| {grade} | `{name}` | {kind.text(language)} | {yes if kind.drops else ""} |'
            for severity, grade in zip(SEVERITIES, grades, strict=True)
            for name, kind in KINDS.items() if kind.severity == severity]
    assert '\n'.join(rows) in page.read_text(encoding='utf-8')
