"""Fixtures shared by the whole suite."""
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from forked_tools import ForkedTools

# Modules of assertions that tests inherit or call: pytest shows the values of those that fail only
# in what it has rewritten, and by itself it rewrites files of tests and conftest.py alone.
pytest.register_assert_rewrite('testers', 'data_testers', 'fake_data', 'fake_findings',
                               'hostile_files', 'original_systems', 'real_pairs')

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def repo() -> Path:
    """The repository root."""
    return ROOT


@pytest.fixture(scope='session')
def python(tmp_path_factory):
    """Return a function that runs ``python ARGUMENTS`` and gives what ``subprocess.run`` would.

    ``ARGUMENTS`` begin with a script, or with ``-m`` and a module. It is a process of its own,
    forked where torch and the rest are imported: starting Python anew takes five seconds a call.
    """
    folder = tmp_path_factory.mktemp('python')
    with ForkedTools() as tools:
        def run(*arguments, cwd=ROOT, env=None):
            words = [os.fspath(word) if isinstance(word, os.PathLike) else str(word)
                     for word in arguments]
            out, errors = folder / 'out', folder / 'errors'
            code = tools.run(words, cwd, dict(os.environ if env is None else env), out, errors)
            texts = (path.read_text(encoding='utf-8', errors='replace') for path in (out, errors))
            return subprocess.CompletedProcess(['python', *words], code, *texts)

        yield run


@pytest.fixture(scope='session')
def samples() -> Path:
    """Real images and annotations; the test is skipped where they are absent."""
    folder = os.environ.get('RSCC_SAMPLES')
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"no real samples at '{folder or ''}' (set RSCC_SAMPLES)")
    return Path(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first; skip what needs a CUDA device where there is none.

    A long file that comes last keeps one worker busy while the other has nothing left to do.
    """
    slow = {item.path for item in items if item.get_closest_marker('slow')}
    items.sort(key=lambda item: item.path not in slow)  # stable: a file stays in one piece
    marked = [item for item in items if item.get_closest_marker('gpu')]
    if marked:
        import torch
        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason='needs a CUDA device'))


@pytest.fixture(autouse=True, scope='module')
def frozen_imports():
    """Keep what is imported by now out of the garbage collection.

    Every dataset of MMEngine collects when it is built, and would look through the millions of
    objects of torch, transformers and all test files each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_closed_logs():
    """Take closed log files of earlier tests from MMEngine's loggers: it would write into them."""
    logging_module = sys.modules.get('mmengine.logging')
    for logger in logging_module.MMLogger._instance_dict.values() if logging_module else ():
        logger.handlers[:] = [handler for handler in logger.handlers
                              if getattr(handler, 'stream', handler) is not None]
