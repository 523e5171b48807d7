import pytest

from rscc.apis.launch import read_config


def test_a_config_that_is_not_python_names_file_and_line(tmp_path):
    path = tmp_path / 'broken.py'
    path.write_text('a = 1\nb = = 3\n')
    with pytest.raises(ValueError, match=r"config '.*broken\.py' or one of its _base_ files is not "
                       r"valid Python \(.*line 2: 'b = = 3': invalid syntax\)"):
        read_config(str(path))


def test_a_missing_base_names_both_files_and_the_nearest(tmp_path):
    (tmp_path / 'levir.py').write_text('a = 1\n')
    (tmp_path / 'leaf.py').write_text("_base_ = ['./levirr.py']\n")
    with pytest.raises(FileNotFoundError, match=r"config '.*leaf\.py' is based on '.*levirr\.py', "
                       r"and there is no such file\. Did you mean '.*levir\.py'\?"):
        read_config(str(tmp_path / 'leaf.py'))
