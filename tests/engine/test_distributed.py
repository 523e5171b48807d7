import os

import pytest

from rscc.engine.distributed import check_launcher, first_host, start_process_group


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT',
                 'TORCHELASTIC_RUN_ID', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.delenv(name, raising=False)


def test_plain_start_is_fine():
    check_launcher('none')


def test_launcher_without_its_variables_says_how_to_start():
    with pytest.raises(ValueError, match=r'--launcher pytorch needs RANK.*dist_train.sh CONFIG N'):
        check_launcher('pytorch')
    with pytest.raises(ValueError, match=r'--launcher slurm needs SLURM_PROCID.*slurm_train.sh'):
        check_launcher('slurm')
    with pytest.raises(ValueError, match=r'--launcher mpi needs OMPI_COMM_WORLD_RANK.*mpirun'):
        check_launcher('mpi')


def test_torchrun_without_launcher_is_refused(monkeypatch):
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'x')
    monkeypatch.setenv('WORLD_SIZE', '4')
    with pytest.raises(ValueError, match='torchrun with 4 processes but --launcher is none'):
        check_launcher('none')


def test_unknown_launcher_is_refused():
    with pytest.raises(ValueError, match="unknown launcher 'ssh'"):
        check_launcher('ssh')


@pytest.mark.parametrize('node_list,host', [
    ('gpu[03-05,9],b', 'gpu03'), ('node-1,node-2', 'node-1'), ('single', 'single'),
    ('my-node[7]', 'my-node7')])
def test_first_host_of_a_slurm_list(node_list, host):
    assert first_host(node_list) == host


@pytest.mark.parametrize('launcher,environment', [
    ('slurm', {'SLURM_PROCID': '2', 'SLURM_NTASKS': '4', 'SLURM_LOCALID': '1',
               'SLURM_NODELIST': 'n[1-2]'}),
    ('mpi', {'OMPI_COMM_WORLD_RANK': '2', 'OMPI_COMM_WORLD_SIZE': '4',
             'OMPI_COMM_WORLD_LOCAL_RANK': '1'})])
def test_ranks_are_translated_and_cpus_get_gloo(monkeypatch, launcher, environment):
    asked = {}
    monkeypatch.setattr(os, 'environ', {**os.environ, **environment})
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.setattr('torch.distributed.init_process_group', lambda **kw: asked.update(kw))
    start_process_group(launcher, backend='nccl', timeout=60)
    assert asked['backend'] == 'gloo' and asked['timeout'].total_seconds() == 60
    assert [os.environ[name] for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')] == ['2', '4', '1']
    assert os.environ['MASTER_ADDR'] == ('n1' if launcher == 'slurm' else '127.0.0.1')


def test_gpus_get_nccl(monkeypatch):
    asked = {}
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('rscc.engine.distributed.init_dist',
                        lambda launcher, **kw: asked.update(kw, launcher=launcher))
    start_process_group('pytorch')
    assert asked == {'launcher': 'pytorch', 'backend': 'nccl'}
