"""METEOR and the Penn Treebank tokenizer: Java programs as coco-caption calls them.

Lower case, marks split off and then dropped. It knows English: a Chinese clause between two marks
stays one token.

Two forms are in use: on words, and on vocabulary numbers ("17 203 9"), which most published
change-captioning tables contain: the program then finds no stems, synonyms or paraphrases. Each
form runs in a process of its own, both at once; a repeated sentence pair is scored once.

On numbers only equal ones are matched. The published scripts leave METEOR's paraphrase table on,
in which some numbers stand for others ("10", "ten"), so their values hang on how a paper happened
to number its words: on LEVIR-CC's test split by 0.01 to 0.15.
"""
import importlib.util
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path


class JavaError(RuntimeError):
    """A Java program cannot be run here; the message says why and what would help."""


def java_command(jar: str, what: str, error: type[JavaError] = JavaError) -> tuple[str, Path]:
    """Return the Java program and the path of an archive of pycocoevalcap.

    Args:
        jar: Path below the package, for example ``'meteor/meteor-1.5.jar'``.
        what: What the archive is, for the message.
        error: Class of the error.

    Raises:
        JavaError: If Java or the archive is missing.
    """
    java = shutil.which('java')
    if java is None:
        raise error("'java' is not installed (Debian: apt-get install default-jre-headless)")
    spec = importlib.util.find_spec('pycocoevalcap')
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = next((path for folder in folders if (path := Path(folder) / jar).is_file()), None)
    if found is None:
        raise error(f"'pycocoevalcap', which carries {what}, is not installed: "
                    'pip install pycocoevalcap')
    return java, found


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


Pair = tuple[str, tuple[str, ...]]  # a prediction and its references, words joined by blanks

#: Word weights and parameters of the English default, for equal words alone (no paraphrases).
EXACT = ('-m', 'exact', '-w', '1.0', '-p', '0.85 0.2 0.6 0.75')
#: ``METEOR`` is on words, ``METEOR_id`` on vocabulary numbers.
FORMS = ('METEOR', 'METEOR_id')
#: Seconds one process may take; 1,929 x 5 sentences take 5 to 10.
TIMEOUT = 900
#: Chg2Cap's numbering: 0 to 3 are special tokens, then the words by alphabet.
FIRST_WORD_ID = 4


class MeteorError(JavaError):
    """METEOR cannot be computed here; the message says why and what would help."""


def meteor_scores(tasks: Mapping[str, Sequence[Pair]], forms: Sequence[str] = FORMS
                  ) -> dict[str, dict[str, float]]:
    """Score several sets of captions.

    Args:
        tasks: Name of a set -> its (prediction, references) pairs.
        forms: Which of ``METEOR`` (words) and ``METEOR_id`` (vocabulary numbers). The second knows
            no language: it is the one for Chinese.

    Returns:
        Name -> form -> score, x100. Sets without pairs are left out.

    Raises:
        MeteorError: If Java or the program is missing, or it fails.
    """
    tasks = {name: list(pairs) for name, pairs in tasks.items() if pairs}
    if not tasks:
        return {}
    command = _command()
    ways = {'METEOR': lambda: _run_meteor(command, tasks),
            'METEOR_id': lambda: _run_meteor([*command, *EXACT], _as_numbers(tasks))}
    with ThreadPoolExecutor(len(forms)) as pool:
        runs = {form: pool.submit(ways[form]) for form in forms}
        scores = {form: run.result() for form, run in runs.items()}
    return {name: {form: 100 * scores[form][name] for form in scores} for name in tasks}


def _command() -> list[str]:
    java, jar = java_command('meteor/meteor-1.5.jar', 'METEOR', MeteorError)
    # A decimal comma in the locale would make its numbers unreadable.
    return [java, '-Duser.language=en', '-Duser.country=US', '-Dfile.encoding=UTF-8', '-Xmx2G',
            '-XX:+UseSerialGC', '-jar', str(jar), '-', '-', '-stdio', '-l', 'en', '-norm']


def _as_numbers(tasks: Mapping[str, Sequence[Pair]]) -> dict[str, list[Pair]]:
    """Replace each word by its number in the alphabetical vocabulary of all sentences."""
    sentences = {text for pairs in tasks.values() for said, refs in pairs for text in (said, *refs)}
    words = sorted({word for text in sentences for word in text.split()})
    ids = {word: str(i) for i, word in enumerate(words, FIRST_WORD_ID)}
    numbers = {text: ' '.join(ids[word] for word in text.split()) for text in sentences}
    return {name: [(numbers[said], tuple(numbers[ref] for ref in refs)) for said, refs in pairs]
            for name, pairs in tasks.items()}


def _run_meteor(command: list[str], tasks: Mapping[str, Sequence[Pair]]) -> dict[str, float]:
    """Start the program once and have it score every set."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, encoding='utf-8')
    except OSError as error:
        raise MeteorError(f"'{command[0]}' does not start: {error}") from error
    complaints: list[str] = []
    listener = threading.Thread(target=lambda: complaints.extend(process.stderr), daemon=True)
    listener.start()
    watchdog = threading.Timer(TIMEOUT, process.kill)
    watchdog.start()
    try:
        return _converse(process, tasks)
    except (OSError, ValueError) as error:
        process.kill()
        process.wait()
        listener.join(1)
        said = ' '.join(line.strip() for line in complaints[:3]) or str(error)
        raise MeteorError(f'its program failed (exit code {process.returncode}): {said}') from error
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # unsent text in the pipe of a process that died
                pipe.close()


def _converse(process: subprocess.Popen, tasks: Mapping[str, Sequence[Pair]]) -> dict[str, float]:
    """Ask for the statistics of every distinct pair, then for each set's score."""
    distinct = list(dict.fromkeys(pair for pairs in tasks.values() for pair in pairs))
    replies = _ask(process, [_score_line(pair) for pair in distinct], [1] * len(distinct))
    statistics = dict(zip(distinct, replies, strict=True))
    evaluations = ['EVAL ||| ' + ' ||| '.join(statistics[pair] for pair in pairs)
                   for pairs in tasks.values()]
    # The answer to EVAL: one line per pair, then the score of the set.
    totals = _ask(process, evaluations, [len(pairs) + 1 for pairs in tasks.values()])
    return {name: float(total) for name, total in zip(tasks, totals, strict=True)}


def _ask(process: subprocess.Popen, lines: list[str], replies: list[int]) -> list[str]:
    """Send lines while reading the answers; return the last line of each answer."""

    def send() -> None:
        try:
            process.stdin.writelines(f'{line}\n' for line in lines)
            process.stdin.flush()
        except (OSError, ValueError):
            return  # the reader below sees the end of the answers and says so

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    answers = []
    for count in replies:
        for _ in range(count):
            answer = process.stdout.readline()
            if not answer:
                raise ValueError('it ended before the last answer')
        answers.append(answer.strip())
    sender.join()
    return answers


def _score_line(pair: Pair) -> str:
    prediction, references = (pair[0], pair[1])
    texts = [text.replace('|||', ' ') for text in (*references, prediction)]
    return 'SCORE ||| ' + ' ||| '.join(' '.join(text.split()) for text in texts)
