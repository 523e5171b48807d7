"""Penn Treebank tokens by Stanford's Java program, as coco-caption calls it.

Lower case, marks split off and then dropped. It knows English: a Chinese clause between two marks
stays one token.
"""
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rscc.evaluation.java import JavaError, java_command

_JAR = 'tokenizer/stanford-corenlp-3.4.1.jar'
_CLASS = 'edu.stanford.nlp.process.PTBTokenizer'
# Brackets are listed in capitals and written in small letters, so they stay, as in the original.
_DROPPED = frozenset(("''", "'", '``', '`', '-LRB-', '-RRB-', '-LCB-', '-RCB-', '.', '?', '!', ',',
                      ':', '-', '--', '...', ';'))
_TIMEOUT = 600  # seconds; 60,000 sentences take 3


def ptb_tokenize(sentences: Sequence[str]) -> list[str]:
    """Return every sentence as its tokens, joined by blanks.

    Args:
        sentences: N sentences; those that repeat are tokenised once.

    Raises:
        JavaError: If Java or the program is missing, or it fails.
    """
    distinct = list(dict.fromkeys(' '.join(sentence.splitlines()) for sentence in sentences))
    if not distinct:
        return []
    lines = _run(distinct)
    if len(lines) != len(distinct):
        raise JavaError(f'the PTB tokenizer returned {len(lines)} lines for {len(distinct)}')
    tokens = {text: ' '.join(token for token in line.split() if token not in _DROPPED)
              for text, line in zip(distinct, lines, strict=True)}
    return [tokens[' '.join(sentence.splitlines())] for sentence in sentences]


def _run(lines: Sequence[str]) -> list[str]:
    java, jar = java_command(_JAR, 'the PTB tokenizer')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'sentences.txt'
        path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
        # Its own encoding is the locale's, which need not be able to write Chinese.
        command = [java, '-Dfile.encoding=UTF-8', '-Dstdout.encoding=UTF-8', '-cp', str(jar),
                   _CLASS, '-preserveLines', '-lowerCase', '-encoding', 'UTF-8', str(path)]
        try:
            done = subprocess.run(command, capture_output=True, encoding='utf-8', check=True,
                                  timeout=_TIMEOUT)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = (getattr(error, 'stderr', None) or str(error)).strip().splitlines()
            raise JavaError(f'the PTB tokenizer failed: {" ".join(said[:3])}') from error
    return done.stdout.split('\n')[:-1]
