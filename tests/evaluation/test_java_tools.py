import gzip
import shutil
import subprocess
import time

import pytest

from rscc.evaluation import java_tools
from rscc.evaluation.protocols import score_captions
from rscc.evaluation.records import CaptionOptions, CaptionRecord

pytest.importorskip('pycocoevalcap')


def test_english_is_split_and_a_chinese_clause_is_not():
    if shutil.which('java') is None:
        pytest.skip('the PTB tokenizer needs java')
    said = ["It's a T-shaped (new) road, don't ...", '港口里停着船，有树.', '', 'a\nb .', '']
    assert java_tools.ptb_tokenize(said) == ["it 's a t-shaped -lrb- new -rrb- road do n't",
                                      '港口里停着船 ， 有树', '', 'a b', '']
    assert java_tools.ptb_tokenize([]) == []


def test_without_java_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(java_tools.shutil, 'which', lambda _: None)
    with pytest.raises(java_tools.JavaError, match=r"'java' is not installed \(Debian: apt-get"):
        java_tools.ptb_tokenize(['a'])


def test_failures_say_what_the_program_said(monkeypatch):
    def fails(command, **_):
        raise subprocess.CalledProcessError(1, command, stderr='Error: no such class\nat x')

    monkeypatch.setattr(java_tools, 'java_command', lambda *_: ('java', 'x.jar'))
    monkeypatch.setattr(java_tools.subprocess, 'run', fails)
    with pytest.raises(java_tools.JavaError, match='tokenizer failed: Error: no such class at x'):
        java_tools.ptb_tokenize(['a'])
    monkeypatch.setattr(java_tools, '_run_ptb', lambda lines: ['a'])
    with pytest.raises(java_tools.JavaError, match='returned 1 lines for 2'):
        java_tools.ptb_tokenize(['a', 'b'])


PAIR = ('a house is built', ('houses are built', 'a house is built'))


@pytest.fixture
def java():
    if shutil.which('java') is None:
        pytest.skip('METEOR needs java')


@pytest.mark.slow
def test_both_forms_of_several_sets_in_one_call(java):
    scores = java_tools.meteor_scores({
        'same': [PAIR, PAIR], 'stem': [('a house is built', ('the houses are built',))],
        'empty caption': [('', ('a house',))], 'none': []})
    assert set(scores) == {'same', 'stem', 'empty caption'}
    assert scores['same'] == pytest.approx({'METEOR': 100, 'METEOR_id': 100}, abs=0.01)
    assert scores['empty caption'] == {'METEOR': 0, 'METEOR_id': 0}
    # On words "house" is the stem of "houses" and "is" of the kin of "are"; numbers see neither.
    assert scores['stem']['METEOR'] > scores['stem']['METEOR_id'] + 10


@pytest.mark.slow
def test_a_part_of_the_paraphrases_gives_the_scores_of_all(java):
    # "destroyed" for "demolished" and "a number of" for "several" stand in the table alone.
    tasks = {'x': [PAIR, ('several houses were demolished', ('a number of houses were destroyed',)),
                   ("the u.s. didn't change", ('the united states have not changed',))],
             'y': [PAIR]}
    command = java_tools._meteor_command()
    whole = java_tools._run_meteor(command, tasks)
    assert java_tools._run_on_words(command, tasks) == whole
    bare = java_tools._run_meteor([*command, '-m', 'exact stem synonym', '-w', '1.0 0.5 0.5'],
                                  tasks)
    assert whole['x'] > bare['x']  # so paraphrases count here


def test_letters_beyond_ascii_take_the_whole_table(java, monkeypatch):
    started = []
    monkeypatch.setattr(java_tools, '_run_meteor',
                        lambda command, tasks: started.append(command) or {'x': 1.0})
    for text in ('a café', 'a cafe'):
        java_tools.meteor_scores({'x': [(text, ('a house', ))]}, ['METEOR'])
    whole, part = started
    assert '-a' not in whole and part[:-2] == whole and part[-2] == '-a'


@pytest.fixture
def with_table(monkeypatch, tmp_path):
    """METEOR with a paraphrase table of its own; return the table, and the commands that run."""
    table, started = tmp_path / 'meteor/data/paraphrase-en.gz', []
    table.parent.mkdir(parents=True)
    table.write_bytes(gzip.compress(b'0.1\na house\na building\n'))
    monkeypatch.setattr(java_tools, '_meteor_command',
                        lambda: ['java', '-jar', str(tmp_path / 'meteor/x.jar')])
    monkeypatch.setattr(java_tools, '_run_meteor',
                        lambda command, tasks: started.append(command) or {'x': 1.0})
    return table, started


@pytest.mark.parametrize('folder', ['nowhere', '数据'])
def test_without_a_folder_for_a_part_the_whole_table_is_read(with_table, monkeypatch, tmp_path,
                                                             folder):
    if folder == '数据':
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(java_tools.tempfile, 'tempdir', str(tmp_path / folder))
    java_tools.meteor_scores({'x': [PAIR]}, ['METEOR'])
    assert [command[1:] for command in with_table[1]] == [java_tools._meteor_command()[1:]]


@pytest.mark.parametrize('damage', [lambda data: data[:-9], lambda data: b'x' + data,
                                    lambda data: data[:12] + b'xxxxxxx' + data[19:]])
def test_a_damaged_table_is_named_with_the_remedy(with_table, damage):
    table, started = with_table
    table.write_bytes(damage(table.read_bytes()))
    with pytest.raises(java_tools.MeteorError, match=r'paraphrase-en\.gz. is damaged .*reinstall'):
        java_tools.meteor_scores({'x': [PAIR]}, ['METEOR'])
    assert not started


def test_one_form_alone_starts_one_program(monkeypatch):
    started = []
    monkeypatch.setattr(java_tools, '_meteor_command', lambda: ['java'])
    monkeypatch.setattr(java_tools, '_run_meteor', lambda command, tasks: started.append(
        (command, tasks)) or {'x': 0.3})
    pair = [('a house is built', ('the houses are built',))]
    assert java_tools.meteor_scores({'x': pair}, ['METEOR_id']) == {'x': {'METEOR_id': 30}}
    assert started == [(['java', *java_tools.EXACT], java_tools._as_numbers({'x': pair}))]


def test_words_are_numbered_by_the_alphabet():
    numbered = java_tools._as_numbers({'x': [('a road', ('the road', 'a house'))]})
    assert numbered == {'x': [('4 6', ('7 6', '4 5'))]}


def test_without_java_the_error_says_how_to_get_it_for_meteor(monkeypatch):
    monkeypatch.setattr(java_tools.shutil, 'which', lambda _: None)
    with pytest.raises(java_tools.MeteorError, match=r"'java' is not installed \(Debian: apt-get"):
        java_tools.meteor_scores({'x': [PAIR]})
    assert java_tools.meteor_scores({'x': []}) == {}


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(java_tools.shutil, 'which', lambda _: '/bin/true')
    monkeypatch.setattr(java_tools.importlib.util, 'find_spec', lambda _: None)
    with pytest.raises(java_tools.MeteorError, match='pip install pycocoevalcap'):
        java_tools.meteor_scores({'x': [PAIR]})


def test_a_crash_is_an_error_with_what_the_program_said(monkeypatch, tmp_path):
    program = tmp_path / 'java'
    program.write_text('#!/bin/sh\necho "out of memory" >&2\nexit 3\n')
    program.chmod(0o755)
    monkeypatch.setattr(java_tools, '_meteor_command', lambda: [str(program)])
    with pytest.raises(java_tools.MeteorError, match=r'its program failed .*out of memory'):
        java_tools.meteor_scores({'x': [PAIR] * 5000})
    monkeypatch.setattr(java_tools, '_meteor_command', lambda: [str(tmp_path / 'missing')])
    with pytest.raises(java_tools.MeteorError, match='does not start'):
        java_tools.meteor_scores({'x': [PAIR]})


def test_separators_inside_a_caption_cannot_break_the_protocol():
    assert java_tools._score_line(('a ||| b', ('c  d',))) == 'SCORE ||| c d ||| a b'


@pytest.fixture
def program(monkeypatch, tmp_path):
    """A stand-in for METEOR that does as its test says."""
    def make(script):
        path = tmp_path / 'program'
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setattr(java_tools, '_meteor_command', lambda: [str(path)])
    return make


def test_a_program_that_hangs_is_stopped_and_the_message_says_so(program, monkeypatch):
    program('exec sleep 60')
    monkeypatch.setattr(java_tools, 'TIMEOUT', 0.3)
    start = time.monotonic()
    with pytest.raises(java_tools.MeteorError, match=r'was stopped after 0 s with 1 sentence pairs'
                       r'\. Is the machine busy .* tools/scores\.py'):
        java_tools.meteor_scores({'x': [PAIR]}, ['METEOR'])
    assert time.monotonic() - start < 20


@pytest.mark.parametrize('pair', [('a \ud83d', ('b',)), ('a', ('b', '\udce9'))])
def test_half_a_character_is_refused_before_a_program_starts(program, pair):
    program('touch started; exec sleep 60')
    with pytest.raises(ValueError, match='holds half a character, U+'.replace('+', r'\+')):
        java_tools.meteor_scores({'x': [pair]})
    with pytest.raises(ValueError, match='holds half a character'):
        java_tools.ptb_tokenize([pair[0], *pair[1]])


def test_a_failing_meteor_leaves_all_other_scores(program):
    program('echo "out of memory" >&2; exit 3')
    records = [CaptionRecord('1', 'a house', ['a house is built'], True)]
    with_it, without = (score_captions(records, CaptionOptions(meteor=meteor))[0]
                        for meteor in (True, False))
    assert with_it == without and with_it['caption/all/Bleu_1'] > 0
