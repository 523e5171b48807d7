from rscc.utils.notes import say_once


def test_a_message_is_logged_once(monkeypatch):
    said = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda *words: said.append(words))
    say_once.cache_clear()
    for message in ('one', 'two', 'one'):
        say_once(message)
    say_once('three', 20)
    assert said == [('one', 'current', 30), ('two', 'current', 30), ('three', 'current', 20)]
