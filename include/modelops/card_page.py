"""A model card as one HTML page that needs nothing else: no script, no font, no picture from anywhere."""

from collections.abc import Mapping
from html import escape

STYLE = """
:root { color-scheme: light dark; --line: #d0d7de; --shade: #f6f8fa; --quiet: #59636e; --accent: #0a58ca; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3d444d; --shade: #1c2129; --quiet: #9198a1; --accent: #79b0ff; }
  html { background: #0f1318; color: #e6eaef; }
}
body { font: 16px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere; text-wrap: balance; }
h2 { border-bottom: 1px solid var(--line); font-size: 1.2rem; margin: 2.25rem 0 .75rem; padding-bottom: .25rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; margin: .25rem 0 .75rem; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .75rem .35rem 0; text-align: left; vertical-align: top; }
th { color: var(--quiet); font-weight: 600; }
th:empty { display: none; }
td:not(:last-child):not([style]) { white-space: nowrap; }
td:first-child:nth-last-child(2) { min-width: 5rem; white-space: normal; }
td:last-child { min-width: 9rem; }
td[style*="right"]:last-child { min-width: 0; }
code { background: var(--shade); border-radius: 4px; font-size: .875em; overflow-wrap: anywhere; padding: .1em .3em; }
ul { padding-left: 1.25rem; }
li { overflow-wrap: anywhere; }
figure { margin: 1rem 0; max-width: 26rem; }
figure svg { display: block; height: auto; width: 100%; }
"""


def html(markdown: str, pictures: Mapping[str, str]) -> str:
    """The card as a page. `pictures` are SVG elements by the heading, of the second level, that each stands under.

    HTML in the Markdown is shown as text. The pictures are put in as they are.
    """
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = reader.render(markdown)
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    for heading, picture in pictures.items():
        line = f"<h2>{escape(heading)}</h2>"
        body = body.replace(line, f"{line}\n<figure>{picture}</figure>", 1)
    first_line = markdown.partition("\n")[0].lstrip("# ")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(first_line)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
