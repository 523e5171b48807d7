import pytest

from rscc.demo.cookies import cookie_name, cookie_of, shown_language


@pytest.mark.parametrize(('host', 'name'), [
    ('localhost:7860', 'rscc_visitor_7860'), ('127.0.0.1:8000', 'rscc_visitor_8000'),
    ('[::1]:7860', 'rscc_visitor_7860'), ('example.org', 'rscc_visitor'), ('[::1]', 'rscc_visitor'),
    ('', 'rscc_visitor'), (None, 'rscc_visitor'), ('a:b; Path=/', 'rscc_visitor')])
def test_pages_on_two_ports_of_a_host_have_cookies_of_their_own(host, name):
    assert cookie_name(host) == name


def test_the_cookie_of_the_own_port_counts():
    cookies = 'rscc_visitor_7860=one; rscc_visitor_7861=two'
    assert cookie_of({'host': 'localhost:7860', 'cookie': cookies}) == 'one'
    assert cookie_of({'host': 'localhost:7861', 'cookie': cookies}) == 'two'
    assert cookie_of({'host': 'localhost:7862', 'cookie': cookies}) is None
    assert cookie_of({}) is None


def test_refusals_are_told_in_the_language_of_the_page_or_of_the_browser():
    assert shown_language({'cookie': 'rscc_language=zh', 'accept-language': 'en'}) == 'zh'
    assert shown_language({'cookie': 'rscc_language=fr', 'accept-language': 'zh-CN'}) == 'zh'
    assert shown_language({}) == 'en'
