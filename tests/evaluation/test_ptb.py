"""PTB tokens through the Java program, and without it."""
import shutil
import subprocess

import pytest

from rscc.evaluation import java, ptb

pytest.importorskip('pycocoevalcap')


def test_english_is_split_and_a_chinese_clause_is_not():
    if shutil.which('java') is None:
        pytest.skip('the PTB tokenizer needs java')
    said = ["It's a T-shaped (new) road, don't ...", '港口里停着船，有树.', '', 'a\nb .', '']
    assert ptb.ptb_tokenize(said) == ["it 's a t-shaped -lrb- new -rrb- road do n't",
                                      '港口里停着船 ， 有树', '', 'a b', '']
    assert ptb.ptb_tokenize([]) == []


def test_without_java_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(java.shutil, 'which', lambda _: None)
    with pytest.raises(java.JavaError, match=r"'java' is not installed \(Debian: apt-get"):
        ptb.ptb_tokenize(['a'])


def test_failures_say_what_the_program_said(monkeypatch):
    def fails(command, **_):
        raise subprocess.CalledProcessError(1, command, stderr='Error: no such class\nat x')

    monkeypatch.setattr(ptb, 'java_command', lambda *_: ('java', 'x.jar'))
    monkeypatch.setattr(ptb.subprocess, 'run', fails)
    with pytest.raises(java.JavaError, match='tokenizer failed: Error: no such class at x'):
        ptb.ptb_tokenize(['a'])
    monkeypatch.setattr(ptb, '_run', lambda lines: ['a'])
    with pytest.raises(java.JavaError, match='returned 1 lines for 2'):
        ptb.ptb_tokenize(['a', 'b'])
