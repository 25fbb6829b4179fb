import { escapeHtml } from "./svg.ts";

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2433; --dim: #667085; --line: #e4e7ec; --card: #fff; --page: #f7f8fa; --net: #2f6fed; --cpu: #f59e0b; --prep: #b8c0cc; --in: #7c3aed; --out: #0d9488; --bad: #d92d20; --good: #079455; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #98a2b3; --line: #2b3342; --card: #171c26; --page: #0f131a; --prep: #475467; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0 auto; max-width: 1080px; padding: 32px 20px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 0 0 4px; } p.dim, figcaption, .note { color: var(--dim); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px; margin: 20px 0; overflow-x: auto; }
.metrics { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin: 14px 0; } .metrics div { border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; }
.metrics b { display: block; font-size: 20px; } figure { margin: 14px 0; } svg { width: 100%; min-width: 760px; font: 12px system-ui, sans-serif; } text { fill: var(--ink); } text.note { fill: var(--dim); }
.net { fill: var(--net); } .cpu { fill: var(--cpu); } .prep { fill: var(--prep); } .in { fill: var(--in); } .out { fill: var(--out); } .ok { fill: var(--good); } .bad { fill: var(--bad); }
table { border-collapse: collapse; width: 100%; font-size: 13px; } th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
details { margin: 6px 0; } pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--page); border-radius: 6px; padding: 10px; max-height: 320px; overflow: auto; font-size: 12px; }
.verdict-ok { color: var(--good); } .verdict-bad { color: var(--bad); font-weight: 600; } .key span { margin-right: 16px; } .key i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 5px; }
`;

/** A self-contained page: no script, no request. `sections` is HTML whose foreign text is escaped already. */
export function renderPage(title: string, about: string, sections: string, made: Date): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${escapeHtml(title)}</title><style>${STYLE}</style></head>
<body><h1>${escapeHtml(title)}</h1><p class="dim">${escapeHtml(about)}, made ${escapeHtml(made.toISOString())}</p>
${sections}</body></html>
`;
}
