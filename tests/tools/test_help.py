"""``--help`` and mistyped arguments are answered at once, before torch is imported."""
import json
import re
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


def tools_of(repo):
    return [path for path in sorted((repo / 'tools').rglob('*.py'))
            if path.parent.name != 'benchmark'  # modules of the tools beside it
            and "__name__ == '__main__'" in path.read_text(encoding='utf-8')]


def test_help_imports_no_heavy_package(repo):
    tools = [str(path) for path in tools_of(repo) if path.stem not in SLOW]
    heavy, shown = imported(repo, *([tool, '--help'] for tool in tools))
    assert len(tools) > 18 and shown.split() == ['usage'] * len(tools)
    assert heavy == {tool: [] for tool in tools}


def test_tools_that_import_their_neighbours_find_them_from_any_folder(repo):
    texts = {path.name: path.read_text(encoding='utf-8') for path in tools_of(repo)}
    users = [name for name, text in texts.items() if re.search(r'^ *from tools', text, re.M)]
    assert len(users) > 5
    assert [name for name in users if '\nsys.path.insert(0, ' not in texts[name]] == []


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--cfg-options', 'a.b'], "--cfg-options takes KEY=VALUE, found 'a.b'"),
    (['--batch', '3'], 'unrecognized arguments: --batch 3'),
])
def test_wrong_arguments_import_none_either(repo, arguments, message):
    tool = str(repo / 'tools/train.py')
    heavy, shown = imported(repo, [tool, 'configs/blip_synth.py', *arguments])
    assert message in shown and heavy == {tool: []}
