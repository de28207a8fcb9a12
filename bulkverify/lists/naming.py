"""Tells from the name of a column what its cells hold, in some fifty languages."""

import re
import unicodedata
from enum import IntEnum
from typing import Final

import attrs


class Rank(IntEnum):
    """How well a name fits the column of addresses; lower is better."""

    MAIN = 0
    """`Email`, `Primary Email`, `Dirección de correo electrónico`."""
    ONE_OF = 1
    """`Work Email`, `Billing Email`: one of several, perhaps."""
    SECOND = 2
    """`Secondary Email`, `E-mail 2 Address`."""
    OTHER = 3
    """All other names, also `Email verified by` and `Email Status`."""


@attrs.frozen
class NameMeaning:
    """What a name means; `number` tells columns of one rank apart, such as `Email 1` and `Email 2`."""

    rank: Rank
    number: int = 0


_LONGEST_NAME: Final = 100
_EXAMPLE: Final = re.compile(r"[^\s<(\[]*[@\uff20][^\s>)\]]*")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=[0-9])|(?<=[0-9])(?=[^\W\d_])")


def _plain(text: str) -> str:
    """Return the words of a text in lower case, without accents and punctuation."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(
        character if unicodedata.category(character)[0] in "LNM" else " "
        for character in decomposed
        if not unicodedata.combining(character)
    )
    return unicodedata.normalize("NFC", " ".join(kept.split()))


def _pattern(terms: str) -> str:
    """Make a pattern of terms; `_` ends a word, and a blank can be missing."""
    pieces = []
    for term in sorted(terms.split("\n"), key=len, reverse=True):
        if plain := _plain(term.strip().strip("_")):
            before = r"\b" if term.strip().startswith("_") else ""
            behind = r"\b" if term.strip().endswith("_") else ""
            pieces.append(f"{before}{re.escape(plain).replace(chr(92) + ' ', ' ?')}{behind}")
    return "|".join(pieces)


# One term a line: Latin scripts first, then Cyrillic, Greek, Caucasian, Semitic, Indian, East Asian.
# ruff: noqa: RUF001 - terms of many scripts
_E_MAIL: Final = re.compile(
    r"(?:\be ?)?mails?(?!ing|er\b|chimp|gun|jet|lite|merge|shot)(?:ov[aey]|id\b)?|"
    + _pattern("""\
_e meil
_meil
_meiliaadress
_e mejl
_mejl
_mejladress
_mel_
_emel_
_e mel_
courriel
correo electrónico
correo-e_
_correo
_correos
correu electrònic
_correu
correio eletrônico
correio electrónico
_correio
posta elettronica
_posta_
adresse électronique
adresses électroniques
messagerie
adreça electrònica
dirección electrónica
endereço eletrônico
endereço electrónico
indirizzo elettronico
elektronische Adresse
_e post_
_e postadress
_e postadresse
_e posti_
_e posta_
_e postası_
_e poçt_
_e pošta_
_e pošte_
_e pasts_
_e pasta_
_e pos_
_e bost_
_e naslov_
elektronska pošta
elektronske pošte
elektronski naslov
elektronička pošta
elektronická pošta
elektronická adresa
elektronik posta
elektron pochta
elektron poçt
poczta elektroniczna
poczty elektronicznej
adres elektroniczny
_poczta_
_pošta_
_el paštas
_el pašto
elektroninis paštas
poștă electronică
adresă electronică
posta elektronike
posta elektronikoa
helbide elektronikoa
sähköposti
drótposta
villámposta
_netfang
tölvupóstfang
tölvupóstur
ríomhphost
_surel_
surat elektronik
barua pepe
thư điện tử
retpoŝto
retpoŝta
электронная почта
электронной почты
электронный адрес
электрондық пошта
_эл почта
_эл почты
_эл адрес
_почта_
_имейл
_емейл
_емэйл
_имэйл
_мейл
_мэйл
електронна пошта
електронної пошти
електронна адреса
електронна поща
електронска пошта
електронна скринька
_ел пошта
_ел поща
_ел адреса
_е пошта
_и мэйл
_пошта_
ηλεκτρονικό ταχυδρομείο
ηλεκτρονική διεύθυνση
ηλεκτρονικού ταχυδρομείου
ηλ ταχυδρομείο
ელ ფოსტა
იმეილი
էլ փոստ
էլեկտրոնային փոստ
البريد الإلكتروني
بريد إلكتروني
البريد
الإيميل
ايميل
الکترونیکی پست
پست الکترونیکی
پست الکترونیک
ایمیل
رایانامه
ای میل
דואר אלקטרוני
דוא ל
אימייל
אימיל
מייל
ई मेल
इ मेल
ই মেইল
ই মেল
மின்னஞ்சல்
ఈ మెయిల్
ഇ മെയിൽ
ಇ ಮೇಲ್
ઇ મેઇલ
ઈ મેલ
ਈ ਮੇਲ
อีเมล์
อีเมล
ອີເມວ
អ៊ីមែល
အီးမေးလ်
ኢሜይል
电子邮件
電子郵件
电子邮箱
電子郵箱
电子信箱
電子信箱
电邮
電郵
邮箱
郵箱
邮件
郵件
信箱
電子メール
e メール
メール
メアド
이메일
전자 메일
전자 우편
메일""")
)

_FILLERS: Final = frozenset(
    _plain("""\
address addresses addr addrs adr id value values
adresse adressen adres adressen adresy adresa adresă adress adresser dirección direcciones indirizzo
indirizzi endereço endereços adreça osoite adresi adresas adrese aadress cím címe alamat naslov
heimilisfang địa chỉ wert valeur valor valore waarde
адрес адреса адреси διεύθυνση հասցե მისამართი عنوان כתובת पता ঠিকানা முகவரி ที่อยู่ 地址 住址 アドレス 주소 账号 帳號
a the of your my our what is enter please required mandatory optional eg ex example e g
de der die das den des du d l la le les el los del do da dos il lo di della delle y e
ihre ihr deine dein meine z b bitte votre ton mon tu su mi seu sua jouw uw din ditt twój
obbligatorio obligatoire obligatorio obrigatório pflichtfeld ваш
""").split()
)
_FIRST: Final = frozenset(
    _plain("""\
primary main principal default preferred first 1st haupt primär primäre primaire principale primario
primaria primário primária hoofd primair predeterminado preferito huvud primær hlavní główny основной
основная основна 主要 主 メイン 기본
""").split()
)
_LATER: Final = frozenset(
    _plain("""\
secondary second 2nd third 3rd other others alternate alternative alt additional backup recovery spare old
previous former cc bcc confirm confirmation repeat again retype weitere weiterer zweite zweiter andere
alternativ sekundär sekundäre autre autres secondaire secondaires secundario secundaria otro otra adicional
secundário secundária outro altro altra secondario secondaria alternativo alternativa tweede secundair extra
drugi druga další andra annan toinen ikinci diğer дополнительный дополнительная запасной другой 备用 次要
""").split()
)
_ABOUT: Final = frozenset(
    _plain("""\
name names type types label status state verified verification validated validation valid validity by owner
rep representative manager supervisor agent assignee assigned creator created modified updated changed date
time timestamp sent opened opens open clicked clicks count counts opt optin optout out consent permission
marketing subscribed subscription unsubscribed bounced bounce bounces reason score quality result subject
body message template campaign format domain provider host server client hash md5 sha256 sha1 note notes
comment comments preference preferences frequency allowed enabled notification notifications source
signature engagement activity
typ anzeigename angezeigter nom complet nombre nome naam namn type tipo tip statut estado stato statuss
datum fecha data erlaubnis consentement consentimiento consenso besitzer propriétaire propietario verifiziert
geprüft тип имя статус дата 类型 状态 名称 種類 状態 유형 상태
""").split()
)


def says_address(name: str) -> bool:
    """Whether a name says no more than `Address` or `Value`."""
    words = _plain(name).split() if len(name) <= _LONGEST_NAME else []
    return bool(words) and _FILLERS.issuperset(words)


def name_meaning(name: str) -> NameMeaning:
    """Return what the name of a column says; an example address in it is no part of the name."""
    if len(name) > _LONGEST_NAME:
        return NameMeaning(Rank.OTHER)
    text, found = _E_MAIL.subn(" ", _plain(_HUMP.sub(" ", _EXAMPLE.sub(" ", name))))
    words = set(text.split()) - _FILLERS
    if not found or words & _ABOUT:
        return NameMeaning(Rank.OTHER)
    if words & _LATER:
        return NameMeaning(Rank.SECOND)
    if numbers := [int(word) for word in words if word.isdecimal() and len(word) < 4]:  # noqa: PLR2004
        return NameMeaning(Rank.MAIN, 2 + min(numbers))
    if words - _FIRST:
        return NameMeaning(Rank.ONE_OF)
    return NameMeaning(Rank.MAIN, int(name.strip().lower() == "mail"))
