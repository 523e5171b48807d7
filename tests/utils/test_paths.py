from pathlib import Path

import pytest

from rscc.utils import data_home, resolve_data_root
from rscc.utils.paths import (
    PathList,
    find_pairs,
    hold_out,
    read_path_list,
    resolve_data_file,
    write_path_list,
)


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    monkeypatch.delenv('RSCC_DATA', raising=False)
    monkeypatch.delenv('CDPATH', raising=False)


def test_home_is_rscc_data_then_cdpath_then_data(monkeypatch):
    assert data_home() == Path('data')
    monkeypatch.setenv('CDPATH', '/sets')
    assert data_home() == Path('/sets')
    monkeypatch.setenv('RSCC_DATA', '~/mine')
    assert data_home() == Path('~/mine').expanduser()


def test_cdpath_of_a_shell_with_several_entries_is_not_ours(monkeypatch):
    monkeypatch.setenv('CDPATH', '.:/home')
    assert data_home() == Path('data')


def test_absolute_folder_is_kept():
    assert resolve_data_root('/else/where') == Path('/else/where')


def test_home_may_be_the_dataset_itself(tmp_path, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    assert resolve_data_root('synth', 'a.json') == tmp_path / 'synth'
    (tmp_path / 'a.json').touch()
    assert resolve_data_root('synth', 'a.json') == tmp_path
    assert resolve_data_file('synth/a.json') == tmp_path / 'a.json'
    (tmp_path / 'synth').mkdir()
    (tmp_path / 'synth' / 'a.json').touch()
    assert resolve_data_root('synth', 'a.json') == tmp_path / 'synth'
    assert resolve_data_file('synth/a.json') == tmp_path / 'synth' / 'a.json'


def test_file_that_exists_from_here_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'v.json').touch()
    assert resolve_data_file('v.json') == Path('v.json')


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b'')
    return root


def test_files_are_matched_by_name_not_by_position(tmp_path):
    touch(tmp_path, 'A/2.png', 'A/10.png', 'B/10.png', 'B/2.png', 'label/2.tif', 'label/10.png',
          'A/notes.txt')
    (found,) = find_pairs(tmp_path)
    assert found.name == 'all' and not found.unmatched
    assert [[path.name for path in row] for row in found.rows] == [
        ['10.png', '10.png', '10.png'], ['2.png', '2.png', '2.tif']]


def test_files_without_a_partner_are_reported(tmp_path):
    touch(tmp_path, 'train/A/1.png', 'train/A/2.png', 'train/B/2.png', 'train/B/3.png')
    (found,) = find_pairs(tmp_path, label=None)
    assert found.name == 'train' and len(found.rows) == 1
    assert found.unmatched == ['A/1.png', 'B/3.png']


def test_blanks_in_paths_are_quoted_and_paths_can_be_relative(tmp_path):
    root = touch(tmp_path / 'my data', 'A/x 1.png', 'B/x 1.png')
    (found,) = find_pairs(root, label=None)
    text = write_path_list(found, tmp_path, relative_to=root).read_text()
    assert text == '"A/x 1.png"  "B/x 1.png"\n'
    absolute = write_path_list(found, tmp_path).read_text()
    assert absolute.startswith(f'"{root.resolve()}/A/x 1.png"  "')


def test_links_are_written_as_they_are_and_hidden_files_left_out(tmp_path):
    touch(tmp_path / 'disk', 'before/1.png', 'before/._1.png')
    root = touch(tmp_path / 'data', 'B/1.png', 'B/._1.png')
    (root / 'A').symlink_to(tmp_path / 'disk' / 'before')
    (found,) = find_pairs(root, label=None)
    assert write_path_list(found, tmp_path, relative_to=root).read_text() == 'A/1.png  B/1.png\n'
    assert f'{root}/A/1.png  ' in write_path_list(found, tmp_path).read_text()


def test_a_missing_folder_names_its_neighbours(tmp_path):
    touch(tmp_path, 'train/time1/1.png', 'train/time2/1.png')
    with pytest.raises(FileNotFoundError, match=r"no folder '.*'. Beside it are \['train'\]"):
        find_pairs(tmp_path / 'trian')
    with pytest.raises(FileNotFoundError, match=r"Beside it are \['time1', 'time2'\]. Did you mean "
                       r"'time2'\?.*--from, --to and --label"):
        find_pairs(tmp_path, img_from='time1', img_to='time3')


def test_ambiguous_names_and_disjoint_folders_are_refused(tmp_path):
    touch(tmp_path, 'A/1.png', 'B/2.png')
    with pytest.raises(ValueError, match=r'no file name occurs in all of .*\[1, 1\] images'):
        find_pairs(tmp_path, label=None)
    touch(tmp_path, 'A/1.jpg')
    with pytest.raises(ValueError, match=r'differ in their endings only'):
        find_pairs(tmp_path, label=None)


# ---- reading ---------------------------------------------------------------------------------


def read(tmp_path, text, label=True, name='train.txt'):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode('utf-8'))
    return read_path_list(path, label)


def columns(pairs):
    return [(pair.img_from, pair.img_to, pair.label) for pair in pairs]


@pytest.mark.parametrize('line', [
    'A/1.png  B/1.png  label/1.png', 'A/1.png B/1.png\tlabel/1.png', ' A/1.png\t\t B/1.png   '
    'label/1.png \r', '"A/1.png" B/1.png "label/1.png"', 'A\\1.png  B\\1.png  label\\1.png'])
def test_any_run_of_blanks_or_tabs_stands_between_columns(tmp_path, line):
    assert columns(read(tmp_path, line + '\n')) == [('A/1.png', 'B/1.png', 'label/1.png')]


def test_lines_keep_their_numbers_and_empty_ones_do_not_count(tmp_path):
    pairs = read(tmp_path, '\ufeffA/1.png B/1.png l/1.png\n\n  \nA/2.png B/2.png l/2.png\n')
    assert [pair.line for pair in pairs] == [1, 4]
    assert pairs[0].img_from == 'A/1.png'


@pytest.mark.parametrize('line', [
    '"my data/A 1.png"  "my data/B 1.png"  "my data/l 1.png"',
    'my data/A 1.png  my data/B 1.png  my data/l 1.png',
    'my data/A 1.png\tmy data/B 1.png\tmy data/l 1.png'])
def test_paths_with_blanks_are_quoted_or_two_blanks_apart(tmp_path, line):
    assert columns(read(tmp_path, line)) == [
        ('my data/A 1.png', 'my data/B 1.png', 'my data/l 1.png')]


def test_a_written_list_reads_back(tmp_path):
    root = touch(tmp_path / 'meine Daten', 'A/ä 1.png', 'B/ä 1.png', 'label/ä 1.png')
    (found,) = find_pairs(root)
    pairs = read_path_list(write_path_list(found, tmp_path, relative_to=root))
    assert columns(pairs) == [('A/ä 1.png', 'B/ä 1.png', 'label/ä 1.png')]


def test_a_list_without_labels_is_read_when_asked(tmp_path):
    assert columns(read(tmp_path, 'A/1.png  B/1.png\n', label=False)) == [
        ('A/1.png', 'B/1.png', None)]
    assert columns(read(tmp_path, 'A/1.png B/1.png l/1.png\n', label=False)) == [
        ('A/1.png', 'B/1.png', None)]
    with pytest.raises(ValueError, match=r"train\.txt' line 2 has two columns, from and to, but no "
                       r"label: 'A/2\.png  B/2\.png'. Write 'from  to  label', or .*label=False"):
        read(tmp_path, 'A/1.png B/1.png l/1.png\nA/2.png  B/2.png\n')


@pytest.mark.parametrize('label', [True, False])
@pytest.mark.parametrize(('line', 'count'), [('A/1.png', 1), ('a.png b.png c.png d.png', 4)])
def test_another_number_of_columns_names_the_line(tmp_path, line, count, label):
    with pytest.raises(ValueError, match=rf"train\.txt' line 1 has {count} columns?: '{line}'.*"
                       'double quotes'):
        read(tmp_path, line, label)


def test_an_open_quote_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"line 1 has a quote that does not close: '\"A/1 .*pair"):
        read(tmp_path, '"A/1 a.png  B/1.png  l/1.png')


def test_a_pair_listed_twice_names_both_lines(tmp_path):
    with pytest.raises(ValueError, match=r"'A/1\.png', 'B/1\.png' twice: lines 1 and 3. Remove"):
        read(tmp_path, 'A/1.png B/1.png l/1.png\nA/2.png B/2.png l/2.png\nA\\1.png B/1.png l/3.png')


def test_an_empty_a_missing_and_a_wrongly_encoded_list_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"train\.txt' is empty; one line a pair.*write_path\.py"):
        read(tmp_path, ' \n\n')
    with pytest.raises(FileNotFoundError, match=r"no path list '.*val\.txt'.*write_path\.py ROOT"):
        read_path_list(tmp_path / 'val.txt')
    with pytest.raises(ValueError, match=r'is not UTF-8: .* at byte 2 \(line 1\)\. Save it'):
        read(tmp_path, 'A/é.png B/1.png l/1.png'.encode('latin-1'))


# ---- holding out -----------------------------------------------------------------------------


def listed(root, *stems):
    return PathList('train', [(root / f'A/{stem}.png', root / f'B/{stem}.png') for stem in stems])


def test_tiles_of_an_image_stay_on_one_side(tmp_path):
    stems = [f'train_{image}_{column}_{row}' for image in range(10) for column in (1, 2)
             for row in (1, 2)]
    kept, held = hold_out(listed(tmp_path, *stems), 0.2)
    assert (kept.name, len(kept.rows), held.name, len(held.rows)) == ('train', 32, 'val', 8)
    images = [{row[0].stem.split('_')[1] for row in part.rows} for part in (kept, held)]
    assert not images[0] & images[1] and len(images[1]) == 2
    assert hold_out(listed(tmp_path, *stems), 0.2)[1] == held


def test_whole_images_are_held_out_one_by_one(tmp_path):
    kept, held = hold_out(listed(tmp_path, *(f'train_{i}' for i in range(10))), 0.01)
    assert (len(kept.rows), len(held.rows)) == (9, 1)


def test_what_cannot_be_held_out_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"all 2 pairs of 'train' are of one image \('scene'\)"):
        hold_out(listed(tmp_path, 'scene_1_1', 'scene_1_2'), 0.5)
    with pytest.raises(ValueError, match=r'a share of 1.5 was to be held out; .*between 0 and 1'):
        hold_out(listed(tmp_path, 'a', 'b'), 1.5)
