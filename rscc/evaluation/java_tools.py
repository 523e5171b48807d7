"""METEOR and the Penn Treebank (PTB) tokenizer: the two Java programs that coco-caption calls.

Both come in the archives of pycocoevalcap. Each is started once for a whole test: the tokenizer on
a file of sentences, METEOR as a process that is asked line by line.

METEOR has two forms: on words, and on vocabulary numbers ("17 203 9"), which most published
change-captioning tables contain: the program then finds no stems, synonyms or paraphrases. Each
form runs in a process of its own, both at once; a repeated sentence pair is scored once.

On numbers only equal ones are matched. The published scripts leave METEOR's paraphrase table on,
in which some numbers stand for others ("10", "ten"), so their values hang on how a paper happened
to number its words: on LEVIR-CC's test split by 0.01 to 0.15.
"""
import gzip
import importlib.util
import shutil
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from rscc.evaluation.paraphrases import write_usable
from rscc.utils.files import check_text

Pair = tuple[str, tuple[str, ...]]  # a prediction and its references, words joined by blanks

#: ``METEOR`` is on words, ``METEOR_id`` on vocabulary numbers.
FORMS = ('METEOR', 'METEOR_id')
#: Word weights and parameters of the English default, for equal words alone (no paraphrases).
EXACT = ('-m', 'exact', '-w', '1.0', '-p', '0.85 0.2 0.6 0.75')
#: Chg2Cap's numbering: 0 to 3 are special tokens, then the words by alphabet.
FIRST_WORD_ID = 4
#: Seconds that one METEOR process may take at first, and for every 1,000 sentence pairs. LEVIR-CC's
#: 1,929 with five references each take 5 to 10.
TIMEOUT, TIMEOUT_PER_1000 = 120, 60
#: Seconds that the PTB tokenizer may take; 60,000 sentences take 3.
PTB_TIMEOUT = 600

_PTB_JAR = 'tokenizer/stanford-corenlp-3.4.1.jar'
_PTB_CLASS = 'edu.stanford.nlp.process.PTBTokenizer'
# Brackets are listed in capitals and written in small letters, so they stay, as in the original.
_PTB_DROPPED = frozenset(("''", "'", '``', '`', '-LRB-', '-RRB-', '-LCB-', '-RCB-', '.', '?', '!',
                          ',', ':', '-', '--', '...', ';'))


class JavaError(RuntimeError):
    """Failure of a Java program; the message says why and what would help."""


class MeteorError(JavaError):
    """Failure of METEOR; the message says why and what would help."""


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


def ptb_tokenize(sentences: Sequence[str]) -> list[str]:
    """Split sentences into Penn Treebank tokens: lower case, marks split off and then dropped.

    The rules are for English: a Chinese clause between two marks stays one token.

    Args:
        sentences: N sentences; those that repeat are tokenised once.

    Returns:
        N strings, the tokens of each sentence joined by blanks.

    Raises:
        JavaError: If Java or the program is missing, or it fails.
        ValueError: If a sentence cannot be encoded.
    """
    # The program reads one sentence a line.
    lines = [' '.join(check_text(text, f'{text!r}').splitlines()) for text in sentences]
    distinct = list(dict.fromkeys(lines))
    if not distinct:
        return []
    replies = _run_ptb(distinct)
    if len(replies) != len(distinct):
        raise JavaError(f'the PTB tokenizer returned {len(replies)} lines for {len(distinct)}')
    tokens = {line: ' '.join(token for token in reply.split() if token not in _PTB_DROPPED)
              for line, reply in zip(distinct, replies, strict=True)}
    return [tokens[line] for line in lines]


def _run_ptb(lines: Sequence[str]) -> list[str]:
    java, jar = java_command(_PTB_JAR, 'the PTB tokenizer')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'sentences.txt'
        path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
        # Its own encoding is the locale's, which need not be able to write Chinese.
        command = [java, '-Dfile.encoding=UTF-8', '-Dstdout.encoding=UTF-8', '-cp', str(jar),
                   _PTB_CLASS, '-preserveLines', '-lowerCase', '-encoding', 'UTF-8', str(path)]
        try:
            done = subprocess.run(command, capture_output=True, encoding='utf-8', check=True,
                                  timeout=PTB_TIMEOUT)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = (getattr(error, 'stderr', None) or str(error)).strip().splitlines()
            raise JavaError(f'the PTB tokenizer failed: {" ".join(said[:3])}') from error
    return done.stdout.split('\n')[:-1]


def meteor_scores(tasks: Mapping[str, Sequence[Pair]], forms: Sequence[str] = FORMS
                  ) -> dict[str, dict[str, float]]:
    """Score several sets of captions with METEOR 1.5.

    Args:
        tasks: Name of a set -> its (prediction, references) pairs.
        forms: Which of ``METEOR`` (words) and ``METEOR_id`` (vocabulary numbers). The second knows
            no language: it is the one for Chinese.

    Returns:
        Name -> form -> score, x100. Sets without pairs are left out.

    Raises:
        MeteorError: If Java or the program is missing, or it fails or takes too long.
        ValueError: If a sentence cannot be encoded.
    """
    tasks = {name: list(pairs) for name, pairs in tasks.items() if pairs}
    if not tasks:
        return {}
    # What cannot be written to the program would leave both sides waiting for each other.
    for text in _sentences(tasks):
        check_text(text, f'{text!r}')
    command = _meteor_command()
    ways = {'METEOR': lambda: _run_on_words(command, tasks),
            'METEOR_id': lambda: _run_meteor([*command, *EXACT], _as_numbers(tasks))}
    with ThreadPoolExecutor(len(forms)) as pool:
        runs = {form: pool.submit(ways[form]) for form in forms}
        scores = {form: run.result() for form, run in runs.items()}
    return {name: {form: 100 * scores[form][name] for form in scores} for name in tasks}


def _run_on_words(command: list[str], tasks: Mapping[str, Sequence[Pair]]) -> dict[str, float]:
    """Score with that part of the paraphrase table which the sentences can use."""
    jar = next((Path(part) for part in command if part.endswith('.jar')), Path())
    table = jar.parent / 'data' / 'paraphrase-en.gz'
    if not table.is_file():  # the program itself says what it lacks
        return _run_meteor(command, tasks)
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            usable = Path(folder) / table.name
            if folder.isascii() and write_usable(table, _sentences(tasks), usable) is not None:
                command = [*command, '-a', str(usable)]
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise MeteorError(f"'{table}' is damaged ({error}): pip install --force-reinstall "
                              'pycocoevalcap') from error
        except OSError:  # no room or no folder for the part: the whole table gives the same scores
            pass
        return _run_meteor(command, tasks)


def _meteor_command() -> list[str]:
    java, jar = java_command('meteor/meteor-1.5.jar', 'METEOR', MeteorError)
    # A decimal comma in the locale would make its numbers unreadable.
    return [java, '-Duser.language=en', '-Duser.country=US', '-Dfile.encoding=UTF-8', '-Xmx2G',
            '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1',  # compiled once: it runs for seconds
            '-jar', str(jar), '-', '-', '-stdio', '-l', 'en', '-norm']


def _as_numbers(tasks: Mapping[str, Sequence[Pair]]) -> dict[str, list[Pair]]:
    """Replace each word by its number in the alphabetical vocabulary of all sentences."""
    sentences = _sentences(tasks)
    words = sorted({word for text in sentences for word in text.split()})
    ids = {word: str(i) for i, word in enumerate(words, FIRST_WORD_ID)}
    numbers = {text: ' '.join(ids[word] for word in text.split()) for text in sentences}
    return {name: [(numbers[said], tuple(numbers[ref] for ref in refs)) for said, refs in pairs]
            for name, pairs in tasks.items()}


def _sentences(tasks: Mapping[str, Sequence[Pair]]) -> set[str]:
    return {text for pairs in tasks.values() for said, refs in pairs for text in (said, *refs)}


def _run_meteor(command: list[str], tasks: Mapping[str, Sequence[Pair]]) -> dict[str, float]:
    """Start the program once and have it score every set."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, encoding='utf-8')
    except OSError as error:
        raise MeteorError(f"'{command[0]}' does not start: {error}") from error
    # Its complaints are read as they come: a full pipe would stop it.
    complaints: list[str] = []
    listener = threading.Thread(target=lambda: complaints.extend(process.stderr), daemon=True)
    listener.start()
    pairs = sum(map(len, tasks.values()))
    limit = TIMEOUT + TIMEOUT_PER_1000 * pairs / 1000
    late = threading.Event()
    watchdog = threading.Timer(limit, lambda: (late.set(), process.kill()))
    watchdog.start()
    try:
        return _converse(process, tasks)
    except (OSError, ValueError) as error:
        process.kill()
        process.wait()
        listener.join(1)
        if late.is_set():
            raise MeteorError(f'its program was stopped after {limit:.0f} s with {pairs} sentence '
                              'pairs. Is the machine busy or short of memory? Score the '
                              'predictions later: tools/scores.py predictions.json') from error
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
    # The reply to EVAL: one line per pair, then the score of the set.
    totals = _ask(process, evaluations, [len(pairs) + 1 for pairs in tasks.values()])
    return {name: float(total) for name, total in zip(tasks, totals, strict=True)}


def _ask(process: subprocess.Popen, lines: list[str], replies: list[int]) -> list[str]:
    """Send lines while reading the replies; return the last line of each reply.

    Args:
        process: The program.
        lines: What to ask, one question a line.
        replies: How many lines the program writes for each question.

    Raises:
        ValueError: If it ends before the last reply.
    """

    def send() -> None:
        try:
            process.stdin.writelines(f'{line}\n' for line in lines)
            process.stdin.flush()
        except (OSError, ValueError):
            process.kill()  # the reader below sees the end of the replies and says so

    # The program replies before it has read everything, so sending must not wait for reading.
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    last = []
    for count in replies:
        for _ in range(count):
            reply = process.stdout.readline()
            if not reply:
                raise ValueError('it ended before the last reply')
        last.append(reply.strip())
    sender.join()
    return last


def _score_line(pair: Pair) -> str:
    """Return the question for a pair's statistics; ``|||`` parts its fields."""
    prediction, references = pair
    texts = [text.replace('|||', ' ') for text in (*references, prediction)]
    return 'SCORE ||| ' + ' ||| '.join(' '.join(text.split()) for text in texts)
