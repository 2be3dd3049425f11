# SPDX-License-Identifier: Apache-2.0
"""The report's style sheet, inlined into the page. Light and dark follow the reader's system setting."""

# Eight hues that stay apart for colour-blind readers; 0 (blue) is the repair's and 1 (orange) the error's throughout.
LIGHT = ("#2563c9", "#d2600a", "#138a63", "#8b46c4", "#b3861a", "#0d8a9c", "#c23a6b", "#8b94a3")
DARK = ("#79a8ff", "#ff9f52", "#4fcf9d", "#c596f5", "#e3bd58", "#56c8d8", "#f588ae", "#7d8796")


def _palette(colours: tuple[str, ...]) -> str:
    return "".join(f"--c{index}:{colour};" for index, colour in enumerate(colours))


_LIGHT_NEUTRALS = "--bg:#f5f6f8;--card:#fff;--ink:#1b2230;--soft:#5c6675;--line:#dfe3e9;--grid:#e9ecf1;"
_DARK_NEUTRALS = "--bg:#12151b;--card:#1b1f27;--ink:#e6e9ef;--soft:#9aa4b3;--line:#2d333e;--grid:#272d37;"

STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT_NEUTRALS}{_palette(LIGHT)}}}\n"
    f"@media (prefers-color-scheme:dark){{:root{{{_DARK_NEUTRALS}{_palette(DARK)}}}}}\n"
    + "".join(f".c{index}{{color:var(--c{index})}}" for index in range(len(LIGHT)))
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1240px;margin:0 auto;padding:36px 24px 64px}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:20px;margin:44px 0 14px;letter-spacing:-.005em}
h3{font-size:15px;margin:0 0 2px}
p{margin:0}
.lead,figcaption p,.explain,.missing{color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(136px,1fr));gap:14px;margin-top:24px}
.tile,figure,.pair,.panel{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:14px 16px}
.tile span{display:block;color:var(--soft);font-size:13px}
.tile b{display:block;font-size:24px;font-weight:650;line-height:1.35;font-variant-numeric:tabular-nums}
.tile small{color:var(--soft)}
.tile.first{grid-column:span 2}
.tile.first b{font-size:27px;white-space:nowrap}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,520px),1fr));gap:16px}
figure{margin:0;padding:16px 18px 12px;display:flex;flex-direction:column;min-width:0}
figure.wide{grid-column:1/-1}
figcaption{margin-bottom:8px}
figcaption p{font-size:13px;min-height:1.5em}
svg{width:100%;height:auto;margin-top:auto;display:block}
.grid{stroke:var(--grid);stroke-width:1}
.tick{fill:var(--soft);font-size:11.5px;font-variant-numeric:tabular-nums}
polyline{fill:none;stroke:currentColor;stroke-linejoin:round;stroke-linecap:round}
polyline.main{stroke-width:2}
polyline.raw{stroke-width:1.2;opacity:.4}
circle{fill:currentColor}
circle.faint{opacity:.3}
circle:hover{opacity:1;stroke:currentColor;stroke-width:4}
rect{fill:currentColor}
rect:hover{opacity:.75}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:13px;color:var(--soft);margin-top:6px;padding-left:2px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:3px;background:currentColor;margin-right:6px}
.legend small{font-size:12px;align-self:center}
.legend b{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
.panel{padding:18px 20px}
.tiles+.panel{margin-top:14px}
details.settings{margin-top:12px}
summary{cursor:pointer;font-size:13px;color:var(--soft)}
.panel h3{margin:18px 0 6px}
.panel h3:first-child{margin-top:0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 18px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child>*{border-bottom:0}
thead th,.keys th{font-weight:500;color:var(--soft)}
.matrix td,.matrix thead th{text-align:right}
.explain{margin-bottom:14px;max-width:960px}
.pair{padding:18px 20px;margin-bottom:16px}
.chips{display:flex;flex-wrap:wrap;gap:6px;margin-bottom:14px;font-size:13px}
.chips span{border:1px solid var(--line);border-radius:999px;padding:1px 10px;color:var(--soft)}
.chips b{color:var(--ink);font-weight:600}
.pair-body{display:grid;grid-template:auto 1fr/210px minmax(0,1fr) minmax(0,1fr);gap:14px 20px}
.context{grid-row:span 2}
.pair-body img{width:100%;image-rendering:pixelated;border-radius:6px;display:block;margin-bottom:8px}
.label{font-size:12px;font-weight:600;color:var(--soft);margin-bottom:4px}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
pre,code{font:13px/1.75 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.tokens{background:var(--bg);border-radius:8px;padding:10px 12px}
.reference{grid-column:2/-1}
.reference pre{margin-top:6px}
.t{border-radius:3px;padding:1px 0}
.error .t{--hue:var(--c1)}
.repair .t{--hue:var(--c0)}
.gated{background:color-mix(in srgb,var(--hue) calc(var(--g)*48%),transparent)}
.marked{box-shadow:inset 0 0 0 1px var(--hue)}
.wrong{text-decoration:underline 2px;text-underline-offset:3px}
.break{color:var(--soft);opacity:.6}
.missing{font-size:14px;columns:2;padding-left:18px;margin:0}
code,.context pre{font-size:12.5px}
footer{color:var(--soft);font-size:13px;margin-top:44px}
@media (max-width:860px){.pair-body{grid-template:none/minmax(0,1fr)}.pair-body>*{grid-area:auto}
.pair-body img{max-width:210px}.missing{columns:1}.tile.first{grid-column:1/-1}}
@media print{body{background:#fff}figure,.pair{break-inside:avoid}}
"""
)
