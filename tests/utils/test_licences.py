"""Names of licences and data sets: those of the lists in any case, all else refused."""
import pytest

from rscc.utils.licences import check_dataset_name, licence_name


@pytest.mark.parametrize(('told', 'name'), [
    ('mit', 'MIT'), ('CC-BY-SA-4.0', 'CC-BY-SA-4.0'), ('cc-by-sa-4.0', 'CC-BY-SA-4.0'),
    ('Etalab-2.0', 'etalab-2.0'), ('gpl-3.0', 'gpl-3.0'), ('OpenRAIL', 'openrail'),
    ('LicenseRef-Our-Terms-1.0', 'LicenseRef-Our-Terms-1.0')])
def test_a_licence_gets_the_letters_of_its_list(told, name):
    assert licence_name(told) == name


@pytest.mark.parametrize(('told', 'message'), [
    ('banana', "licence: 'banana' is no licence that SPDX or the hub knows"),
    ('CC-BY-SA-4', "Did you mean 'CC-BY-SA-4.0'"), ('', "'' is no licence"),
    ('LicenseRef-', 'or LicenseRef-NAME for a licence of your own')])
def test_other_words_are_no_licence(told, message):
    with pytest.raises(ValueError, match=message):
        licence_name(told)


def test_names_of_data_sets_are_those_that_the_hub_allows():
    for name in ('lcybuaa/LEVIR-CC', 'me/my-pairs', 'squad', 'a/b_c.d'):
        check_dataset_name(name)
    for name in ('not a hub name!!', '', 'a/b/c', '/x', 'a--b', 'x/..', '-a', 'a/'):
        with pytest.raises(ValueError, match='is no name of a data set on the hub: expected OWNER'):
            check_dataset_name(name)
