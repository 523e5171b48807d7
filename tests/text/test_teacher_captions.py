import pytest

from rscc.text.teacher_captions import read_teacher_captions, write_teacher_captions

TOLD = {'train_0': [('a house is built', -0.1), ('a road', -0.9)], 'train_1': [('no change', -0.2)]}


@pytest.fixture
def path(tmp_path):
    write_teacher_captions(tmp_path / 't.json', TOLD, 'en', 'train', dict(config='blip_synth'))
    return tmp_path / 't.json'


def test_what_is_written_is_read_again(path):
    found = read_teacher_captions(path, 'train')
    assert (found.captions, found.language, found.split) == (TOLD, 'en', 'train')
    assert found.of(['train_1', 'train_0']) == [TOLD['train_1'], TOLD['train_0']]
    assert read_teacher_captions(path) == found


def test_samples_without_a_sentence_are_counted_and_named(path):
    with pytest.raises(ValueError, match=r"no sentence for 2 of 3 samples, \['x', 'y'\].*distil_cap"
                       ):
        read_teacher_captions(path).of(['train_0', 'x', 'y'])


@pytest.mark.parametrize(('content', 'message'), [
    ('{"captions": {}}', "t.json' lacks 'language'.*distil_captions.py"),
    ('{"language": "en", "split": null, "captions": {"a": [["b"]]}}', 'captions.*a.*expected'),
    ('{"language": "fr", "split": null, "captions": {}}', 'fr'),
    ('[]', 'is a list'), ('', 'JSON')])
def test_other_files_are_refused(path, content, message):
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_teacher_captions(path)


def test_another_split_is_refused(path):
    with pytest.raises(ValueError, match=r"split 'train'; those of 'val' are needed.*--split val"):
        read_teacher_captions(path, 'val')
