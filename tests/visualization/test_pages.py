import json
import re
from importlib import resources

import pytest

from rscc.utils import read_json
from rscc.visualization.pages import class_swatches, number_text, page_words, render_page


def test_words_are_those_of_the_package_and_language():
    assert page_words('rscc.visualization', 'zh')['title'] == '测试报告'
    assert page_words('rscc.scenes', 'en')['title'] == 'scene report'
    with pytest.raises(ValueError, match='language'):
        page_words('rscc.scenes', 'fr')


def test_a_package_uses_the_base_style_of_all():
    with pytest.raises(Exception, match='undefined'):  # style found, values missing
        list(render_page('rscc.scenes', 'scene.html.j2', ('base.css', 'scene.css'), ('scene.js', )))


@pytest.mark.parametrize(('value', 'text'), [(12.345, '12.3'), (0.5, '0.500'), (-12.34, '-12.3')])
def test_numbers_keep_the_digits_worth_reading(value, text):
    assert number_text(value) == text


def test_the_first_class_has_no_swatch():
    assert class_swatches(['unchanged', 'road'], [(0, 0, 0), (255, 0, 10)]) == [['road', '#ff000a']]
    assert class_swatches([], None) == []


def test_both_languages_have_the_same_words():
    english, chinese = (page_words('rscc.visualization', language) for language in ('en', 'zh'))
    assert english.keys() == chinese.keys()
    for key, words in english.items():
        other = chinese[key]
        assert type(words) is type(other) and len(re.findall('{', str(words))) == len(
            re.findall('{', str(other))), key
        if isinstance(words, dict):
            assert words.keys() == other.keys(), key


@pytest.mark.parametrize('package', ['visualization', 'scenes', 'demo'])
def test_no_text_of_a_page_hides_another(package):
    def once(pairs):
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), {key for key in keys if keys.count(key) > 1}
        return dict(pairs)

    file = resources.files('rscc') / package / 'templates' / 'words.json'
    json.loads(file.read_text(encoding='utf-8'), object_pairs_hook=once)


@pytest.mark.parametrize('package', ['rscc.visualization', 'rscc.scenes', 'rscc.doctor',
                                     'rscc.demo'])
def test_no_text_of_a_page_is_given_twice(package):
    """Of a key that comes twice JSON keeps the last, and the page says something else."""
    for file in (resources.files(package) / 'templates').iterdir():
        if file.name.endswith('.json'):
            read_json(str(file), unique_keys=True)
