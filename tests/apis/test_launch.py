import pytest
from mmengine.config import Config
from torch.utils.data import DataLoader

from rscc.apis.launch import complete_loaders, read_config


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


@pytest.mark.parametrize('workers', [0, 2])
def test_the_number_of_workers_can_be_changed_alone(workers):
    cfg = Config({'val_dataloader': None, 'train_dataloader': {
        'num_workers': workers, 'persistent_workers': True, 'prefetch_factor': 4}})
    complete_loaders(cfg)
    loader = DataLoader([1, 2], **cfg.train_dataloader)
    assert sorted(int(item) for item in loader) == [1, 2]
    assert loader.persistent_workers == (workers > 0)
    assert loader.timeout == (600 if workers else 0)
