"""Tools as real processes that start at once: each is forked where the slow imports are done.

``ForkedTools`` keeps one Python that has imported torch, MMEngine, MMSegmentation and
transformers. For every command it forks a child, which has a working folder, an environment and
a command line of its own and runs the tool as ``__main__``, as ``python tools/NAME.py`` would. Only
the seconds of importing are shared. Where processes cannot be forked, each is started anew. The
fixture ``python`` of ``tests/conftest.py`` has one for all tests of a worker.
"""
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from pathlib import Path

#: What nearly every tool imports, the slow parts of it.
HEAVY = ('rscc.apis.launch', 'rscc.apis.inferencer', 'rscc.importers.conversion',
         'rscc.evaluation.metrics', 'transformers.models.blip', 'transformers.models.gpt2',
         'transformers.generation', 'open_clip')
SECONDS = 900  # that one command may take where others use the machine too


class ForkedTools:
    """A Python with everything imported, which runs tools; use it in a ``with`` statement."""

    def __enter__(self):
        root = str(Path(__file__).resolve().parent.parent)
        self.parent = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, 'PYTHONPATH': root}) if hasattr(os, 'fork') else None
        return self

    def __exit__(self, *_):
        if self.parent:
            self.parent.stdin.close()
            self.parent.wait(timeout=60)

    def run(self, arguments, cwd, env, log, errors=None):
        """Run ``python ARGUMENTS`` and return its exit status; what it prints goes to ``log``.

        What it prints to the standard error goes there, too, or to the file ``errors``.
        """
        if self.parent is None:
            with open(log, 'wb') as file, open(errors or os.devnull, 'wb') as apart:
                return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, stdout=file,
                                      stderr=apart if errors else file,
                                      timeout=SECONDS).returncode
        asked = dict(arguments=arguments, cwd=str(cwd), env=env, log=str(log),
                     errors=str(errors or ''))
        self.parent.stdin.write(json.dumps(asked) + '\n')
        self.parent.stdin.flush()
        return int(self.parent.stdout.readline())


def serve():
    """Import, then fork a child for every line of the standard input and print its status."""
    answers, sys.stdout = sys.stdout, sys.stderr  # an import that prints must not answer
    from rscc import compat
    for name in HEAVY:
        library, _, rest = name.partition('.')
        importer = {'transformers': compat.import_transformers,
                    'open_clip': compat.import_open_clip}.get(library)
        importer(rest) if importer else __import__(name)
    gc.collect()
    gc.freeze()  # MMEngine collects in every child, and would copy the memory of all imports
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


def become(arguments, cwd, env, log, errors):
    """Turn this process into the one that ``python ARGUMENTS`` would be, and never return."""
    signal.alarm(SECONDS)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(log, flags), 1)
    os.dup2(os.open(errors, flags) if errors else 1, 2)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, 'w'), open(2, 'w')  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    module = arguments[0] == '-m'
    sys.argv = list(arguments)[module:]
    sys.path[:0] = ([os.getcwd()] if module else
                    [os.path.dirname(os.path.abspath(arguments[0]))])
    sys.path += env.get('PYTHONPATH', '').split(os.pathsep)
    code = 0
    try:
        if module:
            runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
        else:
            runpy.run_path(arguments[0], run_name='__main__')
    except SystemExit as stopped:
        code = stopped.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == '__main__':
    serve()
