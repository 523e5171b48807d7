"""tools/judge.py as a user runs it, with a tiny random model."""
import json

from fake_judge import save_judge

from rscc.utils import read_json, write_json


def test_the_tool_writes_mean_and_spread(tmp_path, run_tool):
    samples = [dict(sample_id=f's{row}', prediction='a house is built', gt_change_flag=row > 0,
                    references=['a house is built'], swapped={'prediction': 'a house is removed'})
               for row in range(4)]
    write_json(tmp_path / 'p.json', dict(dataset=dict(language='en'), samples=samples))
    (tmp_path / 'model').mkdir()
    done = run_tool('judge.py', tmp_path / 'p.json', '--model', save_judge(tmp_path / 'model'),
                    '--repeats', 2, '--limit', 2)
    assert done.returncode == 0, done.stderr
    found = read_json(tmp_path / 'p_judged.json')
    assert found['questions']['reversible']['samples'] == 2
    assert 'faithful' in done.stdout and ' +- ' in done.stdout
    lines = (tmp_path / 'p_judged.jsonl').read_text().splitlines()
    assert len(lines) == 1 + 2 * 4 * 2 and json.loads(lines[1])['question'] == 'faithful'


def test_a_missing_model_is_said_in_one_line(tmp_path, run_tool):
    write_json(tmp_path / 'p.json', dict(samples=[dict(
        sample_id='a', prediction='a house', references=['a house'])]))
    done = run_tool('judge.py', tmp_path / 'p.json', '--model', tmp_path / 'nowhere')
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith('error: ')
    assert 'nowhere' in done.stderr


def test_captions_alone_are_judged_beside_the_references_given(tmp_path, run_tool):
    write_json(tmp_path / 'p.json', {'a.png': 'a house is built'})
    write_json(tmp_path / 'refs.json', {'images': [dict(
        filename='a.png', split='test', changeflag=1, filepath='test', imgid=0,
        sentences=[dict(raw='a house is built', tokens=['a', 'house', 'is', 'built'])])]})
    (tmp_path / 'model').mkdir()
    model = save_judge(tmp_path / 'model')
    done = run_tool('judge.py', tmp_path / 'p.json', '--model', model, '--repeats', 1)
    assert done.returncode == 1 and '--references' in done.stderr
    done = run_tool('judge.py', tmp_path / 'p.json', '--model', model, '--repeats', 1,
                    '--references', tmp_path / 'refs.json')
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / 'p_judged.json')['questions']['faithful']['samples'] == 1
