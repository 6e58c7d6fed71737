//! How the demo's own pages look: plainly not the gateway's.

use super::http::escape;

/// A page of the demo. `body` is HTML; `kind` colours the banner: `provider`, `wiki`, `tickets`.
pub(super) fn page(title: &str, site: &str, kind: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head>\
         <body class=\"{kind}\"><header>{site}</header><main><h1>{title}</h1>{body}</main></body></html>",
        title = escape(title),
        site = escape(site),
    )
}

const STYLE: &str = "\
:root{--bg:#fff;--text:#222;--soft:#5b5b5b;--line:#d4d4d4;--link:#0b5394;--banner:#444;--good:#1b6e35;--bad:#a61b1b}\
@media (prefers-color-scheme:dark){:root{--bg:#17191c;--text:#e6e6e6;--soft:#a8a8a8;--line:#3c3f44;--link:#8ec1f0;--good:#7fd79a;--bad:#ff9a9a}}\
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--text);font:1rem/1.5 Verdana,\"DejaVu Sans\",sans-serif;overflow-wrap:anywhere}\
header{padding:.7rem 1.25rem;background:var(--banner);color:#fff;font-weight:bold}.wiki{--banner:#5b3a8c}.tickets{--banner:#8c2f2f}.provider{--banner:#1f5f4a}\
main{max-width:56rem;margin:0 auto;padding:1rem 1.25rem 3rem}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}a{color:var(--link)}\
table{border-collapse:collapse;width:100%;font-size:.875rem}th,td{border:1px solid var(--line);padding:.35rem .6rem;text-align:start;vertical-align:top}\
th{color:var(--soft)}tr.me td{font-weight:bold}code,pre{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.875rem}pre{border:1px solid var(--line);padding:.75rem;overflow:auto;white-space:pre-wrap}\
.good{color:var(--good);font-weight:bold}.bad{color:var(--bad);font-weight:bold}.soft{color:var(--soft)}form{display:inline}\
button{font:inherit;padding:.4rem .9rem;margin:0 .5rem .5rem 0;cursor:pointer}.cards{list-style:none;padding:0}\
.cards a{display:block;border:1px solid var(--line);border-radius:.5rem;padding:.75rem 1rem;margin:.6rem 0;text-decoration:none;color:inherit}\
.cards a:hover{border-color:var(--link)}.cards b{display:block;color:var(--link)}.cards span{color:var(--soft)}";
