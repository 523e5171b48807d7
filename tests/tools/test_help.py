"""``--help`` and mistyped arguments are answered at once, before torch is imported."""
import json
import subprocess
import sys

import pytest

# Their choices and defaults come from modules that import torch.
SLOW = 'scores', 'browse_dataset', 'sampling_steps'
# Runs tools in one process; the heavy packages that each has left imported.
CODE = """
import contextlib, io, json, runpy, sys
heavy, calls = {}, json.load(sys.stdin)
for tool, *arguments in calls:
    sys.argv = [tool, *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            runpy.run_path(tool, run_name='__main__')
        except SystemExit:
            pass
    print(out.getvalue()[:5], file=sys.stderr)
    heavy[tool] = [name for name in ('torch', 'mmengine') if name in sys.modules]
print(json.dumps(heavy))
"""


def imported(repo, *calls):
    done = subprocess.run([sys.executable, '-c', CODE], input=json.dumps(calls), cwd=repo,
                          capture_output=True, text=True, check=True, timeout=100)
    return json.loads(done.stdout), done.stderr


def test_help_imports_no_heavy_package(repo):
    tools = [str(path) for path in sorted((repo / 'tools').rglob('*.py')) if path.stem not in SLOW
             and "__name__ == '__main__'" in path.read_text(encoding='utf-8')]
    heavy, shown = imported(repo, *([tool, '--help'] for tool in tools))
    assert len(tools) > 18 and shown.split() == ['usage'] * len(tools)
    assert heavy == {tool: [] for tool in tools}


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--cfg-options', 'a.b'], "--cfg-options takes KEY=VALUE, found 'a.b'"),
    (['--batch', '3'], 'unrecognized arguments: --batch 3'),
])
def test_wrong_arguments_import_none_either(repo, arguments, message):
    tool = str(repo / 'tools/train.py')
    heavy, shown = imported(repo, [tool, 'configs/blip_synth.py', *arguments])
    assert message in shown and heavy == {tool: []}
