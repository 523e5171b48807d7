import pytest

from rscc.utils.path_lists import find_pairs, write_path_list


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
