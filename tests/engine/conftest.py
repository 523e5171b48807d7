import pytest
from engine.toys import toy_config
from mmengine.logging import MMLogger

from rscc.engine.runner import Runner


@pytest.fixture
def build(tmp_path):
    """Build a toy runner; every call gets a name of its own, or MMEngine would share its log."""
    count = 0

    def make(work_dir='run', **changes):
        nonlocal count
        count += 1
        changes.setdefault('experiment_name', f'{tmp_path.name}_{count}')
        changes.setdefault('train_cfg', {'max_epochs': 1})
        return Runner.from_cfg(toy_config(tmp_path / work_dir, **changes))

    yield make
    for name in [n for n in MMLogger._instance_dict if n.startswith(tmp_path.name)]:
        MMLogger._instance_dict.pop(name)


@pytest.fixture
def log_of():
    """Everything a runner has logged so far."""

    def read(runner):
        from pathlib import Path
        return ''.join(path.read_text() for path in Path(runner.log_dir).glob('*.log'))

    return read
