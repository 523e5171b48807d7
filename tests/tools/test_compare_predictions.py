"""tools/analysis_tools/compare_predictions.py as a user runs it."""
import functools

import pytest

from rscc.utils import read_json, write_json

pytest.importorskip('pycocoevalcap')


@pytest.fixture
def compare(run_tool):
    return functools.partial(run_tool, 'analysis_tools/compare_predictions.py')


@pytest.fixture
def files(tmp_path):
    found = []
    for name, said in (('a', 'a house is built'), ('b', 'a road is built')):
        samples = [dict(sample_id=f's{row}', prediction=said, gt_change_flag=True,
                        references=['a house is built', 'some houses are built'])
                   for row in range(8)]
        found.append(tmp_path / f'{name}.json')
        write_json(found[-1], dict(dataset=dict(language='en'), split='test', samples=samples))
    return found


def test_two_sides_of_one_and_of_two_files_are_compared(compare, files, tmp_path):
    done = compare(files[0], '--with', files[1], files[1], '--names', 'new', 'old', '--bootstrap',
                   100, '--out', tmp_path / 'compared.json')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('1 and 2 files, language en, 100 resamples, seed 0\n')
    assert '\n8 images that all files have\n' in done.stdout
    assert '* new better' in done.stdout and '* p below 0.05' in done.stdout
    written = read_json(tmp_path / 'compared.json')
    assert written['differences']['changed/object_F1']['difference'] == 1
    assert written['differences']['changed/object_F1']['significant'] and written['level'] == 0.05
    assert written['second'] == [str(files[1])] * 2


@pytest.mark.parametrize(('options', 'message'), [
    (['--with', 'nowhere.json'], "no such JSON file: 'nowhere.json'"),
    (['--with', '{folder}'], ' is a folder; expected a JSON file, '),
    (['--references', 'nowhere.json'], 'nowhere.json')])
def test_errors_are_one_line(compare, files, options, message):
    options = [option.format(folder=files[1].parent) for option in options]
    done = compare(files[0], '--with', files[1], *options)
    assert done.returncode == 1 and done.stderr.startswith('error: ')
    assert message in done.stderr and 'Traceback' not in done.stderr


@pytest.mark.parametrize(('options', 'message'), [
    ((), 'the second system is missing: put its files behind --with'),
    (('--with', 'b.json', '--bootstrap', '5'), '--bootstrap 5: expected at least 100')])
def test_wrong_command_lines_say_what_to_do(compare, files, options, message):
    done = compare(files[0], *options)
    assert done.returncode == 2 and message in done.stderr


def test_images_that_a_file_lacks_are_said_above_the_table(compare, files):
    data = read_json(files[1])
    write_json(files[1], data | dict(samples=data['samples'][2:]))
    done = compare(files[0], '--with', files[1], '--bootstrap', 100)
    assert ("\n6 images that all files have; WARNING: 2 images left out that some file lacks, 's0' "
            'the first\n') in done.stdout
    assert 'not in every file' not in done.stdout + done.stderr  # once is enough


def test_scores_that_one_side_alone_has_are_named_with_the_reason(compare, files, tmp_path):
    data = read_json(files[0])
    for sample in data['samples']:
        sample['swapped'] = dict(prediction='a house is removed')
    write_json(files[0], data)
    done = compare(files[0], '--with', files[1], '--bootstrap', 100, '--out', tmp_path / 'out.json')
    assert (f"\nnot compared: reversible: '{files[1]}' has no image with a "
            "sentence about its dates exchanged ('swapped')\n") in done.stdout
    lacking = read_json(tmp_path / 'out.json')['lacking']
    assert lacking['all/reversible'] == lacking['changed/reversible'] == [str(files[1])]
    assert 'not compared' not in compare(files[0], '--with', files[0], '--bootstrap', 100).stdout


def test_a_file_without_samples_is_told_as_such(compare, files):
    write_json(files[1], read_json(files[1]) | dict(samples=[]))
    for more in ([], ['--references', files[1]]):
        done = compare(files[0], '--with', files[1], *more)
        assert done.returncode == 1 and 'give --references' not in done.stderr
    assert "its list 'samples' is empty" in compare(files[0], '--with', files[1]).stderr
