"""METEOR through its Java program, and without it."""
import shutil

import pytest

from rscc.evaluation import java as java_module
from rscc.evaluation import meteor

pytest.importorskip('pycocoevalcap')
PAIR = ('a house is built', ('houses are built', 'a house is built'))


@pytest.fixture
def java():
    if shutil.which('java') is None:
        pytest.skip('METEOR needs java')


@pytest.mark.slow
def test_both_forms_of_several_sets_in_one_call(java):
    scores = meteor.meteor_scores({
        'same': [PAIR, PAIR], 'stem': [('a house is built', ('the houses are built',))],
        'empty caption': [('', ('a house',))], 'none': []})
    assert set(scores) == {'same', 'stem', 'empty caption'}
    assert scores['same'] == pytest.approx({'METEOR': 100, 'METEOR_id': 100}, abs=0.01)
    assert scores['empty caption'] == {'METEOR': 0, 'METEOR_id': 0}
    # On words "house" is the stem of "houses" and "is" of the kin of "are"; numbers see neither.
    assert scores['stem']['METEOR'] > scores['stem']['METEOR_id'] + 10


@pytest.mark.slow
def test_one_form_alone_is_that_of_both(java):
    pair = [('a house is built', ('the houses are built',))]
    both = meteor.meteor_scores({'x': pair})['x']
    assert meteor.meteor_scores({'x': pair}, ['METEOR_id']) == {'x': {
        'METEOR_id': both['METEOR_id']}}


def test_words_are_numbered_by_the_alphabet():
    numbered = meteor._as_numbers({'x': [('a road', ('the road', 'a house'))]})
    assert numbered == {'x': [('4 6', ('7 6', '4 5'))]}


def test_without_java_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(java_module.shutil, 'which', lambda _: None)
    with pytest.raises(meteor.MeteorError, match=r"'java' is not installed \(Debian: apt-get"):
        meteor.meteor_scores({'x': [PAIR]})
    assert meteor.meteor_scores({'x': []}) == {}


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(java_module.shutil, 'which', lambda _: '/bin/true')
    monkeypatch.setattr(java_module.importlib.util, 'find_spec', lambda _: None)
    with pytest.raises(meteor.MeteorError, match='pip install pycocoevalcap'):
        meteor.meteor_scores({'x': [PAIR]})


def test_a_crash_is_an_error_with_what_the_program_said(monkeypatch, tmp_path):
    program = tmp_path / 'java'
    program.write_text('#!/bin/sh\necho "out of memory" >&2\nexit 3\n')
    program.chmod(0o755)
    monkeypatch.setattr(meteor, '_command', lambda: [str(program)])
    with pytest.raises(meteor.MeteorError, match=r'its program failed .*out of memory'):
        meteor.meteor_scores({'x': [PAIR] * 5000})
    monkeypatch.setattr(meteor, '_command', lambda: [str(tmp_path / 'missing')])
    with pytest.raises(meteor.MeteorError, match='does not start'):
        meteor.meteor_scores({'x': [PAIR]})


def test_separators_inside_a_caption_cannot_break_the_protocol():
    assert meteor._score_line(('a ||| b', ('c  d',))) == 'SCORE ||| c d ||| a b'
