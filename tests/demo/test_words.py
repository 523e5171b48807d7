import re
import string

import pytest

from rscc.demo.words import LANGUAGES, TEMPLATES, Problem, Words, language_of


def fields(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def test_every_english_text_has_a_chinese_one_with_the_same_values():
    english, chinese = Words('en'), Words('zh')
    assert set(english) == set(chinese)
    for name, text in english.items():
        assert fields(text) == fields(chinese[name]), name


def test_chinese_texts_are_chinese():
    kept = {'between', 'file_geopackage', 'file_geojson', 'file_json', 'example_naip'}
    for name, text in Words('zh').items():
        if not name.endswith('html') and name not in kept:
            assert re.search('[\u4e00-\u9fff]', text), name


def test_every_problem_has_its_sentence_in_both_languages(repo):
    sources = '\n'.join(path.read_text() for path in (repo / 'rscc' / 'demo').glob('*.py'))
    named = set(re.findall(r"Problem\(\s*'(\w+)'", sources))
    assert len(named) > 25
    for language in LANGUAGES:
        assert named <= set(Words(language)), language


def test_chinese_sentences_that_quote_english_say_first_what_to_do():
    quoting = {name: text for name, text in Words('zh').items() if '{reason}' in text}
    assert set(quoting) == {'no_image', 'failed', 'explained', 'needs_values'}
    for name, text in quoting.items():
        lead, quoted = text.split('（英文）')
        assert '请' in lead, name
        assert '{reason}' in quoted, name


def test_every_finding_of_the_pair_check_has_a_name_in_chinese(repo):
    found = set()
    for path in (repo / 'rscc' / 'scenes').glob('*.py'):
        found |= set(re.findall(r"CheckFinding\.of\(\s*'(\w+)'", path.read_text()))
    assert len(found) > 9
    words = Words('zh')
    for name in found:
        assert f'check_{name}' in words, name


def test_templates_use_texts_that_exist():
    known = set(Words('en'))
    for path in TEMPLATES.glob('*.j2'):
        used = set(re.findall(r'words\.(\w+)', path.read_text()))
        assert used - {'told', 'named', 'language'} <= known, path.name


def test_an_unknown_language_is_refused_with_those_that_exist():
    with pytest.raises(ValueError, match=r"language='fr' is unknown.*en.*zh"):
        Words('fr')


def test_a_problem_is_told_in_the_language_of_the_page():
    problem = Problem('too_slow', minutes='5')
    assert str(problem).startswith('The run was stopped after 5 min,')
    assert '5 分钟' in problem.told('zh')


def test_unknown_names_of_a_group_are_shown_as_they_are():
    assert Words('en').named('check', 'shift') == 'shift'
    assert Words('zh').named('check', 'shift') == '位移'
    assert Words('zh').named('check', 'moon_phase') == 'moon phase'


@pytest.mark.parametrize(('header', 'language'), [
    ('zh-CN,zh;q=0.9,en;q=0.8', 'zh'), ('en-GB', 'en'), ('de,zh;q=0.2,en;q=0.9', 'en'),
    ('fr', 'en'), ('', 'en'), (None, 'en'), ('zh;q=nonsense,en', 'en'), (',,;q=', 'en')])
def test_the_browser_chooses_the_first_language(header, language):
    assert language_of(header) == language


def test_languages_are_named_in_themselves():
    assert LANGUAGES == {'en': 'English', 'zh': '中文'}
