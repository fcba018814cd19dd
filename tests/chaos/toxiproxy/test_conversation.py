"""Every answer of the HTTP API is that of Toxiproxy 2.12, word for word."""

import pytest

from tests.chaos.toxiproxy.conversation import CHAPTERS, answers, recorded
from tests.chaos.toxiproxy.servers import ToxiproxyServer


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_answer_is_word_for_word_that_of_toxiproxy(
    server: ToxiproxyServer, chapter: str
) -> None:
    assert list(answers(server, chapter)) == recorded(chapter)
