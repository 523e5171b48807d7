"""The command line of the built-in dataset."""
import pytest


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('dataset_converters/synth.py')


def test_it_writes_the_folder_and_a_contact_sheet_then_has_nothing_to_do(tool, tmp_path, capsys):
    sheet = tmp_path / 'sheet.png'
    arguments = ['--out', str(tmp_path / 'synth'), '--train', '4', '--val', '2', '--test', '0',
                 '--seed', '1', '--jobs', '1', '--contact-sheet', str(sheet)]
    tool.main(arguments)
    said = capsys.readouterr().out
    assert "6 pairs in '" in said and 'a minute' in said and sheet.is_file()
    tool.main(arguments)
    assert 'is complete already (6 pairs); nothing to do' in capsys.readouterr().out


def test_other_parameters_end_with_advice(tool, tmp_path):
    arguments = ['--out', str(tmp_path), '--val', '0', '--test', '0', '--jobs', '1']
    tool.main([*arguments, '--train', '2'])
    with pytest.raises(SystemExit, match=r'^error: .*pass --overwrite'):
        tool.main([*arguments, '--train', '4'])
    tool.main([*arguments, '--train', '4', '--overwrite'])
    assert (tmp_path / 'images' / 'train' / 'A' / 'train_000003.png').is_file()


def test_a_folder_is_required(tool, capsys):
    with pytest.raises(SystemExit):
        tool.main(['--train', '2'])
    assert '--out' in capsys.readouterr().err


def test_tiles_in_place_of_pairs(tool, tmp_path, capsys):
    tool.main(['--out', str(tmp_path), '--tiles', '2'])
    assert "2 tiles with masks of the buildings in '" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / 'label').iterdir()) == [
        'tile_000000.png', 'tile_000001.png']
    with pytest.raises(SystemExit):
        tool.main(['--out', str(tmp_path), '--tiles', '2', '--look', 'varied'])
    assert '--tiles are RGB images of the plain look' in capsys.readouterr().err
