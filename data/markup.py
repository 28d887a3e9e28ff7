"""Markup off a text: HTML, forum codes, entities; only what is used, not what is spoken of.

in    a text, a whole page or plain prose
out   strip_markup(text): what a reader would have seen; in prose `a<b and c>d` stays as it is
how   one pass finds tags, one pairs them, one writes what lies between them: linear in the text
"""
import html
import re
from collections import defaultdict

TAGS = set("""
    !-- a abbr article aside b big blockquote body br button caption center cite code dd del details
    div dl dt em figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe
    img input ins kbd label li link main meta nav noscript object ol option p picture pre s script
    section select small source span strike strong style sub summary sup svg table tbody td template
    textarea tfoot th thead title tr tt u ul var video""".split())
BLOCKS = set("""
    article blockquote body br dd div dl dt figure h1 h2 h3 h4 h5 h6 hr html li main ol p pre
    section table tr ul""".split())
CELLS = {"td", "th"}
NEVER_SEEN = {"!--", "script", "style", "head", "template", "svg", "iframe"}
HIDDEN = NEVER_SEEN | {"nav", "header", "footer", "aside", "noscript", "button", "select"}
UNNESTED = {"!--", "script", "style"}  # what stands inside is no markup
TAG = r"""
    (?P<comment> <!-- | --> )
    | (?P<declaration> <(?:!doctype|\?xml)\b[^<>]{0,500}> ) | <[!?][a-z\[][^<>]{0,500}>
    | <(?P<end>/?)(?P<name>[a-z][a-z0-9:-]{0,30})
      (?P<attributes>(?:  # most with a value: `<b and c>` is no tag
        \s+[\w:@.-]+\s*=\s*(?:"[^"]{0,99999}"|'[^']{0,99999}'|[^\s"'<>=`]+)
        | \s+(?:\w+-[\w-]+|async|checked|compact|controls|crossorigin|defer|disabled|hidden|ismap
            |multiple|no[a-z]+|open|readonly|required|reversed|selected)\b
      ){0,99}+)\s*/?>
    | \[(?P<code_end>/?)(?P<code>b|i|u|url|img|quote|code|size|color)(?:=[^\]\n]{0,300})?\]
"""
QUOTED = r"```.*?```|`[^`\n]+`"  # code in Markdown
TAG_OR_QUOTED = re.compile(f"{QUOTED}|{TAG}", re.I | re.S | re.X)
TAG = re.compile(TAG, re.I | re.S | re.X)
ENTITY = r"&(?:[a-z]{2,8}|#\d{2,6}|#x[0-9a-f]{2,5});"
ENTITY_OR_QUOTED = re.compile(f"{QUOTED}|{ENTITY}", re.I | re.S)
ENTITY = re.compile(ENTITY, re.I)
PAIRS_OF_QUOTES = ('""', "''", "()", "“”", "‘’", "``")


def strip_markup(text):
    """HTML, forum codes and what no reader sees (scripts, menus) go; entities become letters."""
    page = False
    if "<" in text or "[/" in text:
        tags = find_tags(text, TAG_OR_QUOTED)
        page = is_page(text, tags)
        if page:
            tags = find_tags(text, TAG)
        ends = pair(tags)
        used = [is_used(text, tags, ends, place, page) for place in range(len(tags))]
        if any(used):
            text = without(text, tags, ends, used)
    if "&" in text:
        text = (ENTITY if page else ENTITY_OR_QUOTED).sub(unescape, text)
    return text


def unescape(match):
    return match[0] if match[0][0] == "`" else html.unescape(match[0])


def find_tags(text, pattern):
    """-> [(match, small name, is it an end?)]; a comment's two ends are tags named !--."""
    tags = []
    for match in pattern.finditer(text):
        if match["comment"]:
            tags.append((match, "!--", match[0] == "-->"))
        elif match["code"]:
            tags.append((match, "[" + match["code"].lower(), bool(match["code_end"])))
        elif match["name"]:
            tags.append((match, match["name"].lower(), bool(match["end"])))
        elif match[0][0] == "<":
            tags.append((match, "html" if match["declaration"] else "!", False))
    return tags


def is_page(text, tags):
    """Two tags that only whole pages have."""
    found = 0
    for match, name, _ in tags:
        found += name in ("html", "head", "body") and not spoken_of(text, match)
    return found >= 2


def pair(tags):
    """{place of a tag in the list: place of its other end}, in both directions."""
    waiting, ends = defaultdict(list), {}
    for place, (match, name, is_end) in enumerate(tags):
        opened = waiting[name]
        if is_end and opened:
            ends[place] = opened.pop()
            ends[ends[place]] = place
        elif not is_end and not match[0].endswith("/>") and not (opened and name in UNNESTED):
            opened.append(place)
    return ends


def spoken_of(text, match):
    """Does it stand by itself, between spaces or in quotes, as in: the tag <b> makes ...?"""
    before = text[max(0, match.start() - 1) : match.start()]
    after = text[match.end() : match.end() + 1]
    return before + after in PAIRS_OF_QUOTES or before == " " and after in "\n ,.;:?!"


def is_used(text, tags, ends, place, page):
    """Is this a tag that works, or just text? In a page all are, if a comment or code ends."""
    match, name, is_end = tags[place]
    other = ends.get(place)
    if page or name[0] == "[":
        return other is not None or name[0] not in "[-"
    if name not in TAGS or (spoken_of(text, match)
                            and (other is None or spoken_of(text, tags[other][0]))):
        return False
    if other is not None:
        return name != "!--" or abs(tags[other][0].start() - match.start()) < 5000
    if is_end or match["attributes"]:
        return name != "!--"
    start_of_line = text[max(0, match.start() - 1) : match.start()] in ("", "\n", ">")
    return name in BLOCKS | CELLS and (len(name) > 1 or start_of_line)  # i<p>q


def without(text, tags, ends, used, hidden=HIDDEN):
    """The text between the used tags, with a line's end for a block's and a tab for a cell's."""
    pieces, here = [], 0
    for place, (match, name, is_end) in enumerate(tags):
        if not used[place] or match.start() < here:
            continue
        pieces.append(text[here : match.start()])
        here = match.end()
        if name in hidden and not is_end and place in ends:
            here = tags[ends[place]][0].end()
        if name in BLOCKS or name in HIDDEN:
            pieces.append("" if name == "!--" else "\n")
        elif name in CELLS and (is_end or place not in ends):
            pieces.append("\t")
    lines = "".join([*pieces, text[here:]]).split("\n")
    seen = re.sub("\n{3,}", "\n\n", "\n".join(line.rstrip(" \t") for line in lines)).strip()
    if len(seen.split()) < 5 and hidden is HIDDEN:  # all of the page stands in a <header>
        return without(text, tags, ends, used, NEVER_SEEN)
    return seen
