"""Markup off a text: HTML, forum codes, entities; only what is used, not what is spoken of.

in    a text, a whole page or plain prose
out   strip_markup(text): what a reader would have seen; in prose `a<b and c>d` stays as it is
how   one pass finds tags, one pairs them, one writes what lies between them: linear in the text
"""
import html
import re
from collections import defaultdict

NEVER_SEEN = set("!-- script style head template svg iframe".split())
HIDDEN = NEVER_SEEN | set("nav header footer aside noscript button select".split())
PAGE = {"html", "head", "body"}
CELLS = {"td", "th"}
UNNESTED = {"!--", "script", "style"}  # nothing inside is markup
BLOCKS = set("""article blockquote body br dd div dl dt figure h1 h2 h3 h4 h5 h6 hr html li main ol
    p pre section table tr ul""".split())
TAGS = BLOCKS | CELLS | HIDDEN | set("""a abbr b big caption center cite code del details em
    figcaption font form i img input ins kbd label link meta object option picture s small source
    span strike strong sub summary sup tbody textarea tfoot thead title tt u var video""".split())
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
ENTITY = re.compile(f"{QUOTED}|&(?:[a-z]{{2,8}}|#\\d{{2,6}}|#x[0-9a-f]{{2,5}});", re.I | re.S)
PAIRS_OF_QUOTES = ('""', "''", "()", "“”", "‘’", "``")


def strip_markup(text):
    """HTML, forum codes and what no reader sees (scripts, menus) go; entities become letters."""
    page = False
    if "<" in text or "[/" in text:
        tags = find_tags(text, TAG_OR_QUOTED)
        page = sum(name in PAGE and not spoken_of(text, match) for match, name, _ in tags) >= 2
        if page:
            tags = find_tags(text, TAG)
        ends = pair(tags)
        used = [is_used(text, tags, ends, place, page) for place in range(len(tags))]
        if any(used):
            text = without(text, tags, ends, used)

    def read(entity):
        return entity[0] if "`" in entity[0] and not page else html.unescape(entity[0])

    return ENTITY.sub(read, text) if "&" in text else text


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


def pair(tags):
    """{place of a tag in the list: place of its other end}, in both directions."""
    waiting, ends = defaultdict(list), {}
    for place, (match, name, is_end) in enumerate(tags):
        opened = waiting[name]
        if is_end and opened:
            ends[place] = opened.pop()
            ends[ends[place]] = place
        elif not (is_end or match[0].endswith("/>") or opened and name in UNNESTED):
            opened.append(place)
    return ends


def around(text, match):
    return text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1]


def spoken_of(text, match):
    """Does it stand by itself, between spaces or in quotes, as in: the tag <b> makes ...?"""
    before, after = around(text, match)
    return before + after in PAIRS_OF_QUOTES or before == " " and after in "\n ,.;:?!"


def is_used(text, tags, ends, place, page):
    """Is this a tag that works, or just text? In a page all are, if a comment or code ends."""
    match, name, is_end = tags[place]
    other = ends.get(place)
    both = [match] if other is None else [match, tags[other][0]]
    if page or name[0] == "[":
        return other is not None or name[0] != "[" and name != "!--"
    if name not in TAGS or all(spoken_of(text, one) for one in both):
        return False
    if other is not None:
        return name != "!--" or abs(both[1].start() - match.start()) < 5000
    if is_end or match["attributes"]:
        return name != "!--"
    return name in BLOCKS | CELLS and (name != "p" or around(text, match)[0] in "\n>")  # i<p>q


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
