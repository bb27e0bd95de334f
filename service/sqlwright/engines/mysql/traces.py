"""Whether a statement that reads can leave anything behind in its session: then the session must be reset.

Locks by GET_LOCK, user variables, settings, LAST_INSERT_ID, temporary tables: all but the `@` are made by functions, by
words that are looked for here, or by statements that do not just read. So what has no other function than those that
are known to be harmless leaves nothing, and a view of such a definition leaves nothing. In doubt the session is reset.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import zip_longest
from typing import NamedTuple

from sqlwright.engines.mysql.catalogue import MySQLCatalogue
from sqlwright.engines.mysql.session import Session
from sqlwright.query import Access, Query, Text
from sqlwright.sql.dialect import MYSQL
from sqlwright.sql.lexer import BLOCK_COMMENT, COMMENT, HINT, IDENTIFIER, STRING, WORD, Token, lex

_VIEWS_MAX = 32
"""Of one statement, those in views counted."""
_DEFINITION = "SELECT view_definition FROM information_schema.views WHERE table_schema = DATABASE() AND table_name = %s"
_LEAVING = frozenset({"into", "procedure", "sql_calc_found_rows"})
_BEFORE_VALUE = frozenset({"next", "previous"})
"""NEXT VALUE FOR a sequence."""
_NOT_CALLED = frozenset(
    """
    all and as between by case cross distinct div else except exists from group having in inner intersect interval is
    join left like limit natural not on or order over partition regexp return right rlike rows select straight_join
    then union using values when where with xor bigint binary char decimal double float int integer numeric smallint
    tinyint varbinary varchar
    """.split()  # noqa: SIM905 - as in the lexer
)
"""Reserved words, so that none of them is the name of a function that somebody has made."""
_HARMLESS = frozenset(
    """
    abs acos adddate addtime ascii asin atan atan2 avg bin bit_and bit_count bit_length bit_or bit_xor cast ceil
    ceiling char char_length character_length charset coalesce coercibility collation concat concat_ws connection_id
    conv convert convert_tz cos cot count crc32 cume_dist curdate current_date current_time current_timestamp
    current_user curtime database date date_add date_format date_sub datediff day dayname dayofmonth dayofweek
    dayofyear degrees dense_rank elt exp export_set extract field find_in_set first_value floor format from_base64
    from_days from_unixtime get_format greatest group_concat hex hour if ifnull inet6_aton inet6_ntoa inet_aton
    inet_ntoa insert instr interval is_ipv4 is_ipv6 isnull json_array json_array_append json_array_insert
    json_arrayagg json_contains json_contains_path json_depth json_extract json_insert json_keys json_length
    json_merge_patch json_merge_preserve json_object json_objectagg json_quote json_remove json_replace json_search
    json_set json_table json_type json_unquote json_valid json_value lag last_day last_value lcase lead least left
    length ln localtime localtimestamp locate log log10 log2 lower lpad ltrim make_set makedate maketime max md5
    microsecond mid min minute mod month monthname now nth_value ntile nullif oct octet_length ord percent_rank
    period_add period_diff pi position pow power quarter quote radians rand rank regexp_instr regexp_replace
    regexp_substr repeat replace reverse right round row_number rpad rtrim schema sec_to_time second session_user sha
    sha1 sha2 sign sin sleep soundex space sqrt st_astext st_contains st_distance st_geomfromtext st_intersects
    st_within st_x st_y std stddev stddev_pop stddev_samp str_to_date strcmp subdate substr substring substring_index
    subtime sum sysdate system_user tan time time_format time_to_sec timediff timestamp timestampadd timestampdiff
    to_base64 to_days to_seconds trim truncate ucase unhex unix_timestamp upper user utc_date utc_time utc_timestamp
    uuid var_pop var_samp variance version week weekday weekofyear weight_string year yearweek
    """.split()  # noqa: SIM905
)
"""Functions of both families of servers, which nobody's own of the same name can stand before."""


class _Seen(NamedTuple):
    is_harmless: bool
    names: frozenset[str] = frozenset()
    """Of whatever, in lower case."""
    qualifiers: frozenset[str] = frozenset()
    """Names with a point after them."""


async def leaves_nothing(session: Session, query: Query, catalogue: MySQLCatalogue) -> bool:
    """Raises the driver's errors."""
    if query.access is not Access.READ or query.statement.verb not in ("select", "values"):
        return False
    own = (session.db or "").lower()
    # A value is a number to the lexer, wherever it stands.
    texts = ["".join(part.text if isinstance(part, Text) else " 0 " for part in query.statement.parts)]
    known: set[str] = set()
    while texts:
        seen = [_look(text) for text in texts]
        if not all(text.is_harmless for text in seen):
            return False
        if any(text.qualifiers & (catalogue.schemas - {own}) for text in seen):
            return False
        views = catalogue.all_views.intersection(name for text in seen for name in text.names) - known
        known |= views
        if len(known) > _VIEWS_MAX:
            return False
        texts = [text for name in views for text in await _definitions(session, name)]
        if len(texts) < len(views) or not all(texts):
            return False  # of a view that this user may not look into
    return True


async def _definitions(session: Session, view: str) -> list[str]:
    return [text or "" for (text,) in (await session.fetch(_DEFINITION, [view])).rows]


def _look(text: str) -> _Seen:
    lexed = lex(text, MYSQL)
    tokens = [token for token in lexed.tokens if token.kind not in (COMMENT, BLOCK_COMMENT)]
    if not lexed.complete or not _is_harmless(tokens):
        return _Seen(False)
    names: set[str] = set()
    qualifiers: set[str] = set()
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.kind in (WORD, IDENTIFIER):
            name = token.value or text[token.start + 1 : token.end - 1].replace("``", "`").lower()
            names.add(name)
            if following is not None and following.value == ".":
                qualifiers.add(name)
    return _Seen(True, frozenset(names), frozenset(qualifiers))


def _is_harmless(tokens: Collection[Token]) -> bool:
    before: list[Token | None] = [None, None, *tokens]
    for earlier, previous, token in zip(before, before[1:], tokens, strict=False):
        word = token.value
        if token.kind is HINT or word in ("@", ":="):
            return False
        if token.kind is WORD and word in _LEAVING:
            return False
        if word == "value" and previous is not None and previous.value in _BEFORE_VALUE:
            return False
        if word == "(" and not _is_harmless_before(earlier, previous, token):
            return False
    return True


def _is_harmless_before(earlier: Token | None, previous: Token | None, bracket: Token) -> bool:
    """Of what stands before a bracket: no function, or one of the harmless."""
    if previous is None or previous.kind is IDENTIFIER:
        return False
    if previous.kind is not WORD:
        return True
    if previous.value in _NOT_CALLED:
        return True
    if previous.value == "columns":  # of a JSON_TABLE
        return earlier is not None and earlier.kind is STRING
    # With a blank between, or with a schema's name before it, it would be somebody's own.
    return previous.value in _HARMLESS and previous.end == bracket.start and (earlier is None or earlier.value != ".")
