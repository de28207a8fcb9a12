"""Which column has the addresses, and which row has the names of the columns."""

import re
from pathlib import Path

import pytest

# ruff: noqa: RUF001 - names in many scripts
from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists import columns, fingerprint, jsonlines, open_table, split
from bulkverify.lists.columns import find_column, holds_address
from bulkverify.lists.headers import find_header
from bulkverify.lists.naming import Rank, name_meaning
from tests.lists.made import joined, opened, write

LANGUAGES = """
email | E-Mail | eMail | E_MAIL | Email: | e-mail * | emailAddress | EMail Address | E-mail ID | Your email
E-Mail-Adresse | Mailadresse | Emailadresse | Ihre E-Mail-Adresse | Haupt-E-Mail
Courriel | Adresse e-mail | Adresse électronique | Adresse de messagerie | Mél | Votre courriel
Correo electrónico | CORREO | Dirección de correo electrónico | E-correo electrónico
E-mail | Endereço de e-mail | Correio eletrônico | Endereço eletrónico
Indirizzo e-mail | Posta elettronica | Indirizzo di posta elettronica
E-mailadres | E-mailadresse | E-postadress | E-post | Mejladress | Sähköposti | Sähköpostiosoite | Netfang
Adres e-mail | Poczta elektroniczna | E-mailová adresa | E-pošta | E-mail cím | Adresă de e-mail | Imejl-email
Электронная почта | Адрес эл. почты | Эл. почта | Имейл | Електронна пошта | Електронна поща | Е-пошта
Ηλεκτρονικό ταχυδρομείο | Διεύθυνση email | E-posta | E-posta adresi | E-poçt | El. paštas | E-pasts | E-posti aadress
البريد الإلكتروني | بريد إلكتروني | ایمیل | דוא"ל | דואר אלקטרוני | אימייל | ईमेल | ई-मेल पता | ইমেইল | மின்னஞ்சல்
电子邮件 | 电子邮件地址 | 邮箱 | 電子郵件 | 電子信箱 | メールアドレス | メール | 電子メール アドレス | 이메일 | 이메일 주소 | 전자 메일 주소
อีเมล | Địa chỉ email | Thư điện tử | Surel | Alamat email | E-mel | Barua pepe
""".replace(" Imejl-email", " email")


@pytest.mark.parametrize(
    "name", [name.strip() for name in LANGUAGES.replace("\n", "|").split("|") if name.strip()]
)
def test_a_name_for_e_mail_is_known_in_many_languages(name: str) -> None:
    assert name_meaning(name).rank is Rank.MAIN


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        ("Primary Email", Rank.MAIN),
        ("Adresse e-mail principale", Rank.MAIN),
        ("E-mail (e.g. ana@example.com)", Rank.MAIN),
        ("Work Email", Rank.ONE_OF),
        ("customer.email", Rank.ONE_OF),
        ("Secondary Email", Rank.SECOND),
        ("Additional email addresses", Rank.SECOND),
        ("Zweite E-Mail-Adresse", Rank.SECOND),
        ("Correo alternativo", Rank.SECOND),
        ("Email verified by", Rank.OTHER),
        ("EMAIL_TYPE", Rank.OTHER),
        ("E-mail Display Name", Rank.OTHER),
        ("Mailing Address", Rank.OTHER),
        ("Code postal", Rank.OTHER),
        ("Postal Address", Rank.OTHER),
        ("Address", Rank.OTHER),
        ("Nom", Rank.OTHER),
        ("", Rank.OTHER),
        ("x" * 10_000, Rank.OTHER),
    ],
)
def test_a_name_says_how_well_it_fits(name: str, rank: Rank) -> None:
    assert name_meaning(name).rank is rank


@pytest.mark.parametrize(
    "cell",
    [
        "a@x.com", " a@x.com ", "<a@x.com>", "Ana Lima <a@x.com>", '"Lima, Ana" <a@x.com>', "mailto:a@x.com",
        "(a@x.com)", "a@x.com (work)", "'a@x.com'", "a@x.com;", "a\uff20x.com", "\u200ba@x.com", "a@[192.0.2.1]",
        "a@x.com; b@x.com", "a@x.com ::: b@x.com", "a@x.com/b@x.com", "a@x.com b@x.com", "Ana <a@x.com>, Bo <b@x.com>",
    ],
)  # fmt: skip
def test_a_cell_is_an_address_however_it_is_wrapped(cell: str) -> None:
    assert holds_address(cell)


@pytest.mark.parametrize(
    "cell",
    [
        "", "@", "@ana", "ana", "ana@", "1 Main St., c/o office@x.com", "Rep One (rep@x.com)", "write to a@x.com",
        "@ana@social.example", "a @ b", "a@x.com " + "x" * 1000, "dn: cn=Ana,mail=a@x.com",
    ],
)  # fmt: skip
def test_a_text_that_mentions_an_address_is_none(cell: str) -> None:
    assert not holds_address(cell)


A, B, C = ([f"{letter}{number}@x.com" for number in range(9)] for letter in "abc")
FEW = [*C[:2], *[""] * 7]
ONE = [C[0]] * 9
TEXT = ["Main St. 1, c/o a@x.com"] * 9

TAKEN: list[tuple[dict[str, list[str]], str, list[str]]] = [
    ({"Email": A, "Work Email": B}, "Email", ["Work Email"]),
    ({"Secondary Email": B, "Primary Email": A}, "Primary Email", ["Secondary Email"]),
    ({"E-mail 2 - Value": B, "E-mail 1 - Value": A}, "E-mail 1 - Value", ["E-mail 2 - Value"]),
    ({"E-mail 2 Address": B, "E-mail Address": A}, "E-mail Address", ["E-mail 2 Address"]),
    ({"emails.1": B, "emails.0": A}, "emails.0", ["emails.1"]),
    ({"Mail": B, "Email": A}, "Email", ["Mail"]),
    ({"Email verified by": A, "Email": FEW}, "Email", ["Email verified by"]),
    ({"Email": ["yes"] * 9, "Kontakt": A}, "Kontakt", []),
    ({"Email": [""] * 9, "Contact": A}, "Contact", []),
    ({"Email": [""] * 9, "Work Email": A}, "Work Email", []),
    ({"Message-ID": [f"<{cell}>" for cell in A], "From": B}, "From", ["Message-ID"]),
    ({"created_by": A, "Login": B}, "Login", ["created_by"]),
    ({"Address": TEXT, "Email Addr.": A}, "Email Addr.", []),
    ({"Address": A, "Name": ["Ana"] * 9}, "Address", []),
    ({"Address": [*TEXT[:8], A[0]], "Contact": B}, "Contact", ["Address"]),
    ({"Owner": ONE, "Contact": A}, "Contact", ["Owner"]),
    ({"From Email": A, "To Email": ONE}, "From Email", ["To Email"]),
    ({"Work Email": FEW, "Home Email": A}, "Home Email", ["Work Email"]),
    ({"Work Email": A, "Home Email": A}, "Work Email", ["Home Email"]),
    ({"Login": A, "Contact": [*A[:7], "", ""]}, "Login", ["Contact"]),
    ({"Notes": TEXT, "Name": ["Ana"] * 9}, "Notes", []),
    ({"Name": ["Ana"] * 9, "Email": [""] * 9}, "Email", []),
]


def rows_of(columns: dict[str, list[str]]) -> list[tuple[str, ...]]:
    return list(zip(*columns.values(), strict=True))


@pytest.mark.parametrize(("columns", "taken", "others"), TAKEN)
def test_the_column_of_addresses_is_told_by_its_name_and_its_cells(
    columns: dict[str, list[str]], taken: str, others: list[str]
) -> None:
    names = list(columns)
    found = find_column("list.csv", names, rows_of(columns), None)
    assert (names[found.column], [names[place] for place in found.others]) == (taken, others)


@pytest.mark.parametrize(
    ("columns", "places"),
    [
        ({"Work Email": A, "Home Email": B}, (1, 2)),
        ({"Name": ["Ana"] * 9, "Email": A, "E-mail": B}, (2, 3)),
        ({"Contact": A, "Login": B}, (1, 2)),
        ({"Email": A, "Name": ["Ana"] * 9, "Email ": B}, (1, 3)),
        ({"Email": [*FEW[:1], *[""] * 8] + [""] * 41, "Work Email": [f"a{n}@x.com" for n in range(50)]}, (1, 2)),
    ],
)  # fmt: skip
def test_two_columns_that_could_be_meant_are_refused(
    columns: dict[str, list[str]], places: tuple[int, int]
) -> None:
    one, other = places
    with pytest.raises(InvalidListError, match="several columns, and each could be meant") as info:
        find_column("list.csv", list(columns), rows_of(columns), None)
    assert f"(column {one}) and " in str(info.value)
    assert info.value.shell_hint == f"Choose with --column {one} or --column {other}."


@pytest.mark.parametrize(
    ("wanted", "column"),
    [("3", 2), ("1", 0), ("Email", 2), ("EMAIL ", 2), ("name", 1), ("2", 1)],
)
def test_a_column_can_be_named_by_its_place_too(wanted: str, column: int) -> None:
    rows = [["", "Ana", "a@x.com"], ["", "Bo", "b@x.com"]]
    found = find_column("list.csv", ["Email", "Name", "Email"], rows, wanted)
    assert (found.column, found.others) == (column, () if column == 2 else (2,))


def test_a_name_that_is_a_number_comes_before_a_place() -> None:
    assert find_column("list.csv", ["a", "1"], [["a@x", "b@x"]], "1").column == 1


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("0", "has no column '0'"),
        ("4", "has no column '4'.* by its place, from 1"),
        ("-1", "has no column"),
        ("²", "has no column"),
        (
            "email",
            r"several columns named 'email'\. Choose with `column=\"1\"` or `column=\"3\"`",
        ),
    ],
)
def test_a_column_that_is_not_one_is_refused(wanted: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_column("list.csv", ["Email", "Name", "Email"], [["a@x", "Ana", "b@x"]], wanted)


HEADERS = [
    ("Members 2026\n\nName,E-mail\nAna,a@x\nBo,b@x\n", "Members 2026\n\n"),
    ("Members 2026,\n,\nName,E-mail\nAna,a@x\nBo,b@x\n", "Members 2026,\n,\n"),
    ("\n\nMembers\nName,E-mail\nAna,a@x\n", "\n\nMembers\n"),
    ("Members\r\n\r\nName;E-mail\r\nAna;a@x\r\nBo;b@x\r\n", "Members\r\n\r\n"),
    ("Person,Contact\nName,E-mail\nAna,a@x\n", "Person,Contact\n"),
    ("Members\nas of May\nName,Kontakt\nAna,a@x\nBo,b@x\n", "Members\nas of May\n"),
    ('Notes:\n"Some addresses,\nare missing"\n\nName,E-mail\nAna,\nBo,\nCy,c@x\n', 'Notes:\n"Some addresses,\nare missing"\n\n'),
    ("info@x.com\nName,E-mail\nAna,a@x\nBo,b@x\n", "info@x.com\n"),
    ("Mail list\nE-mail\na@x\n", "Mail list\n"),
    ("Members,\nName,E-mail\nAna,\nBo,\n", "Members,\n"),
    ("Export by admin@x.com\nName,Kontakt\nAna,a@x\nBo,b@x\n", "Export by admin@x.com\n"),
    ("sep=;\nMembers\n\nName;E-mail\nAna;a@x\nBo;b@x\n", "Members\n\n"),
]  # fmt: skip


def test_an_address_alone_in_the_first_row_is_a_row_unless_names_follow() -> None:
    assert find_header([["a@x", ""], ["Ana", "b@x"], ["Bo", "c@x"]], None) is None
    assert find_header([["a@x", ""], ["Name", "Email"], ["Bo", "c@x"]], None) == 1


def test_the_lower_row_of_a_header_has_the_names(path: Path) -> None:
    table = opened(path, ",Email,\nName,Address,Phone\nAna,a@x.com,1\n")
    assert (table.names, table.preface) == (("Name", "Address", "Phone"), ",Email,\n")


@pytest.mark.parametrize(("content", "above"), HEADERS)
def test_a_header_is_found_below_a_title(path: Path, content: str, above: str) -> None:
    table = opened(path, content)
    assert table.names[-1] in {"E-mail", "Kontakt"}
    assert table.preface == above
    assert not any("Name" in row for row in table.rows())


def test_a_title_stands_above_the_names_in_the_output_too(path: Path) -> None:
    table = opened(path, "Members;;\r\n;;\r\nName;E-mail;Phone\r\nAna;a@x.com;1\r\n")
    text, outcome = joined(table, path.parent)
    assert text.startswith("Members;;\r\n;;\r\nName;E-mail;Phone;verdict;")
    assert text.count("\r\n") == 4
    assert outcome.written == 1


def test_the_titles_of_several_lists_stand_above_the_names_in_the_output(tmp_path: Path) -> None:
    titles = ("Spring\n", "Autumn\n2026\n", "Spring\n", "")
    paths = [
        write(tmp_path / f"{number}.csv", f"{title}Name,E-mail\nAna,a{number}@x.com\n")
        for number, title in enumerate(titles)
    ]
    text, outcome = joined(open_table(paths, spool=tmp_path), tmp_path)
    assert text.startswith("Spring\nAutumn\n2026\nName,E-mail,verdict,")
    assert outcome.written == 4


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("Name,Email (e.g. you@x.com)\nAna,a@x\n", ("Name", "Email (e.g. you@x.com)")),
        ("Name,E-Mail <you@x.com>\nAna,a@x\n", ("Name", "E-Mail <you@x.com>")),
        ("Ana,Ana Lima (a@x.com)\nBo,Bo Ek (b@x.com)\n", ("col0", "col1")),
        ("Ana,,Rep (r@x.com)\nBo,b@x.com,Rep (r@x.com)\n", ("col0", "col1", "col2")),
        ("E-Mail: a@x.com,Ana\nE-Mail: b@x.com,Bo\n", ("col0", "col1")),
        ("Nom,Contact\nAna,\nBo,b@x\n", ("Nom", "Contact")),
        ("e-mail^\na^@x.com\nb^@x.com\n", ("e-mail^",)),
        ('"sep=;"\r\nName;Email\r\nAna;a@x\r\n', ("Name", "Email")),
    ],
)
def test_a_first_row_is_the_header_or_is_not(
    path: Path, content: str, names: tuple[str, ...]
) -> None:
    table = opened(path, content)
    assert (table.names, table.preface) == (names, "")


# Lists that are none


@pytest.mark.parametrize(
    ("content", "seems"),
    [
        ("BEGIN:VCARD\nEMAIL:a@x.com\nEND:VCARD\n", r"a file of contacts \(vCard\): export it as CSV"),
        ("dn: cn=Ana,mail=a@x.com\nmail: a@x.com\n", "LDIF: export it as CSV"),
        ("# LDAPv3\n#\n\nversion: 1\ndn:: eA==\nmail: a@x.com\n", "LDIF: export it as CSV"),
        ("BEGIN:VCALENDAR\nATTENDEE:mailto:a@x.com\n", "a calendar"),
        ('[{"email": "a@x.com"}]', r"one JSON array: write each of its items .* `jq -c '\.\[\]'`"),
        ('[\n  "a@x.com"\n]', "one JSON array"),
        ("['a@x.com']", "one JSON array"),
        ("\n<table><tr><td>a@x.com", "HTML or XML, despite its name"),
        ("<!-- list -->\n<p>a@x.com", "HTML or XML"),
        ("[people]\nana = a@x.com\n", "a file of settings"),
        ("{\\rtf1 a@x.com}", r"a document \(RTF\)"),
        ("INSERT INTO people VALUES ('a@x.com');", "an SQL dump"),
        ("-- MySQL dump 10.13\n", "an SQL dump"),
        ("Return-Path: <a@x.com>\n", "a mailbox or an e-mail message"),
        ("From a@x.com Thu Nov 26 00:18:09 2026\n", "a mailbox or an e-mail message"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["csv", "txt", "vcf"])
def test_what_a_file_seems_to_be_is_said(
    tmp_path: Path, content: str, seems: str, suffix: str
) -> None:
    with pytest.raises(InvalidListError, match=rf"list\.{suffix} is {seems}"):
        open_table(write(tmp_path / f"list.{suffix}", content), spool=tmp_path)


@pytest.mark.parametrize(
    "content", ["<a@x.com>\n<p@x.com>\n", "#,email\n1,a@x.com\n", "Received,email\n1,a@x.com\n", "p,email\n1,a@x\n"]
)  # fmt: skip
def test_a_list_is_not_taken_for_something_else(path: Path, content: str) -> None:
    assert opened(path, content).names


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", "a@x.com; b@x.com; c@x.com\n"),
        ("list.csv", "a@x.com,b@x.com\nc@x.com,d@x.com\n"),
        ("list.csv", '"Lima, Ana" <a@x.com>,Bo <b@x.com>'),
        ("list.txt", "a@x.com, b@x.com, c@x.com\n"),
        ("list.txt", "a@x.com;b@x.com;\nc@x.com;d@x.com;\n"),
        ("list", "a@x.com|b@x.com"),
    ],
)
def test_several_addresses_on_a_line_are_refused(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(
        InvalidListError, match=r"several addresses on a line: .* Write one address a"
    ):
        open_table(path, spool=tmp_path)


@pytest.mark.parametrize("name", ["list.csv", "list.txt"])
@pytest.mark.parametrize("end", [",", ";", " ;"])
def test_a_delimiter_at_the_end_of_each_line_parts_nothing(
    tmp_path: Path, name: str, end: str
) -> None:
    path = write(tmp_path / name, f"a@x.com{end}\nb@x.com{end}\n")
    assert len(list(open_table(path, spool=tmp_path).rows())) == 2


@pytest.mark.parametrize("sign", ["^", ":", "~"])
def test_an_unusual_delimiter_is_asked_for(path: Path, sign: str) -> None:
    content = f"name{sign}email\nAna{sign}a@x.com\nBo{sign}b@x.com\n"
    with pytest.raises(InvalidListError, match=r"seems to have '.' between its cells: 'Ana.a@x"):
        opened(path, content)
    assert opened(path, content, delimiter=sign).names == ("name", "email")


def test_addresses_on_a_line_are_columns_if_one_is_chosen(path: Path) -> None:
    table = opened(path, "a@x.com,b@x.com\nc@x.com,d@x.com\n", column="2")
    assert (table.column, len(list(table.rows()))) == (1, 2)


@pytest.mark.parametrize(
    ("content", "line", "delimiters"),
    [
        ("email,name\na@x.com,Ana\nb@x.com;Bo\n", 3, ("';'", "','")),
        ("name;email\nAna;a@x.com\n\n\nBo,b@x.com\n", 5, ("','", "';'")),
        ("email;name\n" + "a@x.com;Ana\n" * 9 + "b@x.com\tBo\n", 11, (r"'\\t'", "';'")),
    ],
)
def test_a_row_with_another_delimiter_is_refused(
    path: Path, content: str, line: int, delimiters: tuple[str, str]
) -> None:
    other, own = delimiters
    message = rf"Line {line} of .* has {other} between its cells where the list has {own}: '.*b@x"
    with pytest.raises(InvalidListError, match=message):
        list(opened(path, content).rows())


@pytest.mark.parametrize("row", ["b@x.com", "b@x.com;", "b@x.com; c@x.com", "Ana;Bo", "@;@"])
def test_a_short_row_is_filled_up_unless_it_has_another_delimiter(path: Path, row: str) -> None:
    rows = list(opened(path, f"email,name\na@x.com,Ana\n{row}\n").rows())
    assert rows[1] == [row, ""]


# JSON keys


def test_keys_of_the_addresses_are_compared_as_names_are(tmp_path: Path) -> None:
    lines = [
        '{"n": 1, "email": "a@x.com"}',
        '{"Email": "b@x.com"}',
        '{"e-mail": "c@x.com"}',
        '"d@x.com"',
    ]
    table = open_table(write(tmp_path / "list.jsonl", "\n".join(lines)), spool=tmp_path)
    assert table.names == ("n", "email")
    assert list(table.rows()) == [
        ["1", "a@x.com"],
        ["", "b@x.com"],
        ["", "c@x.com"],
        ["", "d@x.com"],
    ]
    text, _ = joined(table, tmp_path, format="jsonl")
    assert [line.partition(', "verdict')[0] for line in text.splitlines()][1:3] == [
        '{"Email": "b@x.com"', '{"e-mail": "c@x.com"'
    ]  # fmt: skip


@pytest.mark.parametrize("empty", ["null", '""'])
def test_an_empty_value_beside_the_address_leaves_one_column(tmp_path: Path, empty: str) -> None:
    lines = [
        f'{{"Email": {empty}, "email": "a@x.com"}}',
        f'{{"email": "b@x.com", "Email": {empty}}}',
        f'{{"Email": "c@x.com", "email": {empty}}}',
        '{"Email": "d@x.com"}',
        f'{{"Email": {empty}, "email": "no address"}}',
        f'{{"Email": {empty}}}',
    ]
    table = open_table(write(tmp_path / "list.jsonl", "\n".join(lines)), spool=tmp_path)
    assert table.names == ("Email",)
    addresses = [f"{letter}@x.com" for letter in "abcd"]
    assert list(table.rows()) == [[cell] for cell in [*addresses, "no address", ""]]
    text, outcome = joined(table, tmp_path, format="jsonl")
    assert [line.partition(', "verdict')[0] + "}" for line in text.splitlines()] == lines
    assert [(one.row, one.cell) for one in outcome.examples] == [(5, lines[4])]


def test_keys_of_mappings_are_compared_too(tmp_path: Path) -> None:
    rows: list[dict[str, str]] = [
        *({"E-Mail": "a@x.com"} for _ in range(200)),
        {"email": "b@x.com"},
    ]
    table = open_table(rows, spool=tmp_path)
    assert table.names == ("E-Mail",)
    assert list(table.rows())[-1] == ["b@x.com"]


@pytest.mark.parametrize(
    ("lines", "column", "names"),
    [
        ('{"EMAIL": "a@x"}\n{"email": "b@x"}\n', "email", ("EMAIL",)),
        ('{"mail": "a@x"}\n{"email": "b@x"}\n', "email", ("mail", "email")),
        ('{"email": "a@x", "Email": "b@x"}\n{"Email": ""}\n', "2", ("email", "Email")),
        ('{"email": "yes", "to": "a@x"}\n{"Email": "no", "to": "b@x"}\n', None, ("email", "to")),
    ],
)
def test_keys_stay_apart_if_they_may_differ(
    tmp_path: Path, lines: str, column: str | None, names: tuple[str, ...]
) -> None:
    table = open_table(write(tmp_path / "list.jsonl", lines), column=column, spool=tmp_path)
    assert table.names == names
    assert len(list(table.rows())) == 2


FEW = [f"P{number}" for number in range(500)]
SPARSE = {
    "list.csv": "".join(["Name,Contact\n", *(f"{one},\n" for one in FEW), "Ana,ana@x.com\n"]),
    "titled.csv": "".join(["People\n\nName;Contact\n", *(f"{one};\n" for one in FEW), "Ana;a@x\n"]),
    "list.jsonl": "".join(
        [*(f'{{"Name": "{one}"}}\n' for one in FEW), '{"Name": "", "Contact": "a@x.com"}\n']
    ),
}


@pytest.mark.parametrize("name", SPARSE)
def test_a_list_whose_first_rows_have_no_address_is_searched_further(
    tmp_path: Path, name: str
) -> None:
    table = opened(tmp_path / name, SPARSE[name])
    assert (table.names, table.column) == (("Name", "Contact"), 1)
    assert len(list(table.rows())) == 501


@pytest.mark.parametrize("name", SPARSE)
def test_the_search_for_an_address_ends(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (columns, jsonlines):
        monkeypatch.setattr(module, "FURTHER_ROWS", 300)
    with pytest.raises(InvalidListError, match="has no column of addresses"):
        opened(tmp_path / name, SPARSE[name])


@pytest.mark.parametrize(
    "columns",
    [
        {"Message-ID": [f"<{cell}>" for cell in A]},
        {"id": ["1"] * 9, "created_by": A},
        {"Name": ["Ana"] * 9, "Comments": [A[0], *TEXT[:2], *["fine"] * 6]},
    ],
)
def test_a_column_with_other_addresses_is_taken_only_if_it_is_named(
    columns: dict[str, list[str]],
) -> None:
    with pytest.raises(InvalidListError, match="has no column of addresses"):
        find_column("list.csv", list(columns), rows_of(columns), None)
    *_, name = columns
    assert find_column("list.csv", list(columns), rows_of(columns), name).column == len(columns) - 1


def test_two_keys_that_could_be_meant_are_refused(tmp_path: Path) -> None:
    lines = '{"email": "a@x", "Email": "b@x"}\n{"email": "c@x"}\n{"Email": "d@x"}\n'
    with pytest.raises(InvalidListError, match=r"could be meant: 'email' .column 1. and 'Email'"):
        open_table(write(tmp_path / "list.jsonl", lines), spool=tmp_path)


# A row that is named as the header

TITLED = 'Our list\n\n"as of\nMay"\nWho,Where\nAna,a@x.com\nBo,b@x.com\n'


@pytest.mark.parametrize(
    ("row", "names", "rows"),
    [
        (None, ("Who", "Where"), 2),
        (4, ("Who", "Where"), 2),
        (5, ("Ana", "a@x.com"), 1),
    ],
)
def test_the_header_can_be_named(
    path: Path, row: int | None, names: tuple[str, ...], rows: int
) -> None:
    table = opened(path, TITLED, header_row=row)
    assert (table.names, len(list(table.rows()))) == (names, rows)
    assert table.preface == TITLED[: TITLED.index(names[0])]


def test_a_list_can_be_said_to_have_no_header(path: Path) -> None:
    table = opened(path, "Ana,x\nBo,b@x.com\n", header_row=0)
    assert (table.names, len(list(table.rows()))) == (("col0", "col1"), 2)


def test_a_declared_delimiter_counts_as_a_row(path: Path) -> None:
    table = opened(path, "sep=;\nPeople\nWho;Where\nAna;a@x\n", header_row=3)
    assert (table.names, table.preface) == (("Who", "Where"), "People\n")


def test_two_rows_with_the_same_names_make_two_lists(path: Path) -> None:
    content = "Who,Where\nWho,Where\nAna,a@x\n"
    assert fingerprint(opened(path, content, header_row=1)) != fingerprint(
        opened(path, content, header_row=2)
    )


@pytest.mark.parametrize("row", [-1, 2, 7, 10**9])
def test_a_row_without_names_is_no_header(path: Path, row: int) -> None:
    with pytest.raises(UsageError, match=rf"has no names of columns in row {row:,}\. Count rows"):
        opened(path, TITLED, header_row=row)


@pytest.mark.parametrize(("name", "content"), [("a.txt", "a@x\n"), ("a.jsonl", '"a@x"\n')])
def test_only_tables_have_a_header(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(UsageError, match="Only a file has a row"):
        open_table(["a@x"], header_row=1, spool=tmp_path)
    with pytest.raises(UsageError, match="is no table"):
        open_table(write(tmp_path / name, content), header_row=1, spool=tmp_path)


# Advice that leads to a part of the addresses

LINES_OF_ADDRESSES = [
    "To: a@x.com, b@x.com, c@x.com\n",
    'Ana Lima <a@x.com>, "Ek, Bo" <b@x.com>, c@x.com\n',
    'Ana <a@x.com>, "Ek, Bo" <b@x.com>\n',
    "Ana,a@x.com,Bo,b@x.com,Cy,c@x.com\n",
    "a@x.com,b@x.com\n",
    "Cc: a@x.com; write to b@x.com\n",
]


@pytest.mark.parametrize("column", [None, "1", "2", "col1"])
@pytest.mark.parametrize("content", LINES_OF_ADDRESSES)
def test_a_single_line_of_addresses_is_refused_even_if_a_column_is_chosen(
    path: Path, content: str, column: str | None
) -> None:
    with pytest.raises(InvalidListError, match="Write one address a line") as info:
        opened(path, content, column=column)
    assert "column" not in str(info.value)


@pytest.mark.parametrize(
    "content",
    [
        "Name,Ana,Bo,Cy\nEmail,a@x.com,b@x.com,c@x.com\n",
        "Name,Ana,Bo\nCity,Rome,Oslo\nE-Mail,a@x.com,b@x.com\nManager,m@x.com,m@x.com\n",
    ],
)
def test_a_table_whose_rows_are_columns_is_refused_without_a_column_to_choose(
    path: Path, content: str
) -> None:
    with pytest.raises(InvalidListError, match="Write one address a line") as info:
        opened(path, content)
    assert "--column" not in f"{info.value.shell_hint}"


@pytest.mark.parametrize(
    ("content", "column"),
    [
        ("Email,Work Email\na@x.com,b@x.com\n", None),
        ("Contact,Login\na@x.com,b@x.com\n", "Login"),
        ("Ana,a@x.com\n", None),
        ("Ana,a@x.com,@ana,see above\n", None),
    ],
)
def test_a_table_of_one_row_is_a_table(path: Path, content: str, column: str | None) -> None:
    assert split(opened(path, content, column=column), path.parent).addresses == 1


def test_a_place_is_refused_if_it_means_another_column_in_each_list(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", "name,email\nAna,a@x.com\n")
    other = write(tmp_path / "other.csv", "Work Email,Home Email\nc@w.com,c@x.com\n")
    with pytest.raises(UsageError, match=r"'name' of .*one.csv, 'Work Email' of .*verify the"):
        open_table([one, other], column="1", spool=tmp_path)
    same = write(tmp_path / "same.csv", "name,email\nBo,b@x.com\n")
    assert open_table([one, same], column="2", spool=tmp_path).column == 1
    named = write(tmp_path / "named.csv", "id,EMAIL\n1,b@x.com\n")
    assert open_table([one, named], column="email", spool=tmp_path).column == 1


# Rows that may be the header

NO_HEADER = [
    "17,n/a,2026-01-02\n18,b@x.com,2026-01-03\n19,c@x.com,2026-01-04\n",
    "17,a@,2026-01-02\n18,b@x.com,2026-01-03\n",
    "1,,\n2,Bo,b@x.com\n3,Cy,c@x.com\n",
    "+47 1234,-,Rome\n+47 2345,b@x.com,Oslo\n+47 3456,c@x.com,Bern\n",
    "Ana,ana@x,1.5\nBo,b@x.com,2.5\n",
]


@pytest.mark.parametrize("content", NO_HEADER)
def test_a_first_row_without_its_address_is_a_row(path: Path, content: str) -> None:
    table = opened(path, content)
    assert table.names == tuple(f"col{number}" for number in range(3))
    assert [",".join(row) for row in table.rows()] == content.splitlines()


DOUBTFUL = [
    # the list, the row in doubt, and its cells
    ("Ana,,Rome\nBo,b@x.com,Oslo\n", 1, ["Ana", "", "Rome"]),
    ("\nAna,-\nBo,\nCy,c@x.com\n", 2, ["Ana", "-"]),
    ("17,see office,2026-01-02\n18,b@x.com,2026-01-03\n", 1, ["17", "see office", "2026-01-02"]),
    ("Author,admin@x.com\nName,E-Mail\nAna,a@x.com\n", 2, ["Name", "E-Mail"]),
    ("Report,Members\nAuthor,admin@x.com\n\nName,E-Mail\nAna,a@x.com\n", 4, ["Name", "E-Mail"]),
    ("Report,Members,\nAuthor,admin@x.com,\n,,\nName,E-Mail,City\nAna,a@x.com,Rome\n", 4, ["Name", "E-Mail", "City"]),
    ("Ana,a@x.com\nBo,b@x.com\nName,E-Mail\nCy,c@x.com\n", 3, ["Name", "E-Mail"]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "row", "cells"), DOUBTFUL)
def test_a_row_that_may_be_the_header_is_left_to_the_caller(
    path: Path, content: str, row: int, cells: list[str]
) -> None:
    shown = ", ".join(map(repr, cells))
    with pytest.raises(InvalidListError, match=rf"^Row {row} of .*: {re.escape(shown)}\.") as info:
        opened(path, content)
    assert f"--header-row {row}." in f"{info.value.shell_hint}"
    assert list(opened(path, content, header_row=row).names) == cells
    rows = [line for line in content.splitlines() if line]
    assert len(list(opened(path, content, header_row=0).rows())) == len(rows)


@pytest.mark.parametrize(
    "content",
    [
        "Name,2024,2025,Contact\nAna,12,7,a@x.com\nBo,9,11,b@x.com\n",
        "Name,E-Mail,Nr\nAna,a@x.com,1\nName,E-Mail,Nr\nBo,b@x.com,2\n",
        "Who,Reach,\nAna,a@x.com,\n",
    ],
)
def test_a_header_with_a_name_for_the_addresses_is_certain(path: Path, content: str) -> None:
    assert ",".join(opened(path, content).names) == content.splitlines()[0]


def test_the_row_with_a_name_for_e_mail_is_asked_about_first(path: Path) -> None:
    above = '"Account:","DE00 1"\n"From:","01.01."\n"Contact:","c@x.com"\n\n'
    with pytest.raises(InvalidListError, match=r"^Row 5 of "):
        opened(path, f"{above}Day,Name,E-Mail\n01.02.,Ana,a@x.com\n")


def test_a_header_in_doubt_is_certain_once_its_column_is_named(path: Path) -> None:
    content = "2026,x\n2025,a@x.com\n"
    assert opened(path, content, column="x").names == ("2026", "x")
