"""People, bots and previews, distinguished by their headers."""

from __future__ import annotations

import time

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # type: ignore[import-untyped]

from stack.shortener.clicks.user_agents import is_bot, is_prefetch, is_preview, is_speculative

ANDROID = (
    "Mozilla/5.0 (Linux; Android {}; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/126.0.6478.122 Mobile Safari/537.36 {}"
)
CHROME = (
    "Mozilla/5.0 (Linux; Android {}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
    "Mobile Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Mobile/15E148 {}"
)
BROWSERS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/150.0.0.0 Safari/537.36 Edg/150.0.0.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/26.6.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)",
    "Opera/9.80 (Android; Opera Mini/36.2/191.249; U; en) Presto/2.12.423 Version/12.16",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/150.0.0.0 Mobile Safari/537.36 (Ecosia android@150.0.0.0)",
]
PHONES = [
    "8.1.0; M BOT TAB 101 Build/O11019",
    "7.1.1; M_bot_tab_1150 Build/N9F27F",
    "7.0; C Bot Tab 70",
    "7.0; CUBOT MAX Build/NRD90M",
    "9; CUBOT_X19",
    "8.1.0; XBot Junior",
    "13; Spider 8",
    "8.0.0; Expanse",
    "4.4.2; ViewSonic V500 Build/KVT49L",
    "15; CPH2581 Build/AP3A.240617.008; ",
]
APPS = [
    ANDROID.format("14; SM-A155F Build/UP1A.231005.007", app)
    for app in (
        "[FB_IAB/FB4A;FBAV/471.0.0.48.82;FBDV/CUBOT MAX;]",
        "MetaIAB Facebook",
        "Instagram 406.0.0.58 Android (35/15; 480dpi; 720x1280; CUBOT; CUBOT ONE; qcom)",
        "Telegram-Android/11.2.3 (Samsung SM-A155F; Android 14; SDK 34; AVERAGE)",
        "Viber/27.4.0.0",
        "[Pinterest/Android]",
    )
] + [
    IPHONE.format(app)
    for app in (
        "[FBAN/FBIOS;FBAV/471.0.0.40.109;FBDV/iPhone14,5;FBSN/iOS;FBLC/en_US;FBOP/5]",
        "WhatsApp/2.24.13.77",
        "Telegram/11.2",
        "Bluesky/1.90",
        "Instagram 339.0.0.12.119 (iPhone14,5; iOS 17_5_1; en_US; scale=3.00; 1170x2532)",
        "Snapchat/12.91.0.36 (like Safari/8618.2.12.10.9, panda)",
        "MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN",
    )
]
PREVIEWS = [
    "http.rb/5.1.1 (Mastodon/4.2.8; +https://mastodon.example/) Bot",
    "Slack-ImgProxy (+https://api.slack.com/robots)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Iframely/1.3.1 (+https://iframely.com/docs/about) Atlassian",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) "
    "Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
    "WhatsApp/2.23.20.0",
    "WhatsApp/2.18.79 Android/5.1 Device/Meizu-MX5",
    "TelegramBot (like TwitterBot)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 preview@skype.example",
]
PROGRAMS = [
    "",
    "Googlebot/2.1",
    "curl/8.1",
    "python-requests/2.32",
    "Python/3.9 aiohttp/3.7.3",
    "ELB-HealthChecker/2.0",
    "reqwest/0.9.19",
    "libsoup/2.68.2",
    "undici",
    "Go-http-client/2.0",
    "Mozilla/5.0 (compatible; DomainExtractor/1.0)",
    "Mozilla/5.0 Keydrop",
    "SomethingNew/3.1 (Linux; contact admin@example.com)",
    "Mozilla/5.0 (Linux; Android 8.0; Pixel 2 Build/OPD3.170816.012; Storebot-Google/1.0) "
    "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/81.0.4044.138 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5 Build/MRA58N) AppleWebKit/537.36"
    "(KHTML, like Gecko) Chrome/69.0.3464.0 Mobile Safari/537.36 Chrome-Lighthouse",
    "Mozilla/5.0 (Linux; Android 14; SM-A155F; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/126.0 Mobile Safari/537.36 (compatible; Examplebot/1.0)",
]


@pytest.mark.parametrize("agent", [*BROWSERS, *map(CHROME.format, PHONES), *APPS])
def test_a_browser_is_a_person_whatever_its_phone_or_its_app_is_called(agent: str) -> None:
    assert not is_bot(agent.encode())
    assert not is_preview(agent.encode())


@pytest.mark.parametrize("agent", [*PROGRAMS, *PREVIEWS])
def test_a_program_is_a_bot(agent: str) -> None:
    assert is_bot(agent.encode())


@pytest.mark.parametrize("agent", PREVIEWS)
def test_a_program_that_shows_what_was_sent_in_a_message_is_a_preview(agent: str) -> None:
    assert is_preview(agent.encode())


@pytest.mark.parametrize("agent", PROGRAMS)
def test_other_programs_are_no_previews(agent: str) -> None:
    assert not is_preview(agent.encode())


def test_of_the_published_robots_hardly_one_passes_for_a_person() -> None:
    published = [agent for one in CRAWLER_USER_AGENTS_DATA for agent in one.get("instances", ())]
    assert len(published) > 2_000
    missed = [agent for agent in published if not is_bot(agent.encode())]
    assert len(missed) <= 5, missed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"sec-purpose", b"prefetch"),
        (b"sec-purpose", b"prefetch;prerender"),
        (b"sec-purpose", b"prefetch;anonymous-client-ip"),
        (b"purpose", b"prefetch"),
        (b"purpose", b"Prefetch"),
        (b"x-moz", b"prefetch"),
        (b"x-purpose", b"preview"),
        (b"x-purpose", b"instant"),
    ],
)
def test_what_a_browser_fetches_ahead_is_nobodys_wish(name: bytes, value: bytes) -> None:
    fields = {b"user-agent": BROWSERS[0].encode(), name: value}
    assert is_prefetch(fields)
    assert is_speculative(fields)


@pytest.mark.parametrize("more", [{}, {b"purpose": b"navigate"}, {b"sec-fetch-mode": b"navigate"}])
def test_what_somebody_follows_is_wanted(more: dict[bytes, bytes]) -> None:
    fields = {b"user-agent": BROWSERS[0].encode(), **more}
    assert not is_prefetch(fields)
    assert not is_speculative(fields)


def test_an_agent_of_any_length_is_no_more_work_than_its_beginning() -> None:
    fields = {b"user-agent": b"Mozilla/5.0 (X11) " + b"[" * 30_000}
    began_s = time.process_time()
    is_speculative(fields)
    assert time.process_time() - began_s < 0.1
