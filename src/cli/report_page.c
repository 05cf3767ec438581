/* report_page.c: the page around figures and tables: one file that wants no network and no script. */
#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char style[] =
    ":root{color-scheme:light "
    "dark;--back:#fff;--ink:#1b1f24;--dim:#57606a;--rule:#d5dae0;--panel:#f6f7f9;--on:#fff;--good:#116329;--bad:#"
    "b4231b;"
    "--note:#7d4e00;--c0:#0a58a6;--c1:#b3400a;--c2:#177245;--c3:#7a2fb5;--c4:#86630a;--c5:#b0184f}\n"
    "@media "
    "(prefers-color-scheme:dark){:root{--back:#14171b;--ink:#e4e7eb;--dim:#9aa4af;--rule:#363c44;--panel:#1c2025;--on:#"
    "0b0d10;--good:#5fd07f;"
    "--bad:#ff8078;--note:#e3b04b;--c0:#6cb2f2;--c1:#f59a5c;--c2:#62cf93;--c3:#c79bf2;--c4:#dcbb55;--c5:#f58ab0}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:1240px;padding:20px 16px 60px;background:var(--back);color:var(--ink);font:15px/1.45 "
    "system-ui,sans-serif}\n"
    "h1{font-size:24px;margin:4px 0 2px;overflow-wrap:anywhere}h2{font-size:19px;margin:32px 0 "
    "8px;padding-top:10px;border-top:1px solid "
    "var(--rule)}h3{font-size:16px;margin:22px 0 6px}\n"
    "p{margin:6px 0;max-width:75ch;overflow-wrap:anywhere}.dim,figcaption span,dt{color:var(--dim)}\n"
    "dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(165px,1fr));gap:6px 18px;margin:12px 0}dl "
    "div{min-width:0}dt{font-size:12px}"
    "dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}\n"
    ".wide{overflow-x:auto;max-width:100%;margin:8px "
    "0}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px}"
    "th,td{text-align:right;padding:3px 12px 3px 0;border-bottom:1px solid "
    "var(--rule);white-space:nowrap;vertical-align:top}"
    "th{font-weight:600;color:var(--dim)}th.left,td.left{text-align:left}\n"
    ".figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr));gap:16px;margin:8px 0}\n"
    "figure{margin:0;min-width:0;max-width:560px}figcaption{font-size:14px;line-height:1.3;margin-bottom:3px;overflow-"
    "wrap:anywhere}"
    "figcaption span{font-size:12px}\n"
    "svg{display:block;width:100%;height:auto;font:11px system-ui,sans-serif}svg.gap{width:180px;flex:none}\n"
    ".grid{stroke:var(--rule);fill:none}.axis{stroke:var(--dim);fill:none}.tick{fill:var(--dim)}.label{fill:var(--ink)}"
    ".small{fill:var(--ink);font-size:10px}.mid{text-anchor:middle}.end{text-anchor:end}text.on{fill:var(--on)}\n"
    ".bar{stroke:var(--c0);stroke-width:1.6;fill:none}.column{fill:var(--c0);fill-opacity:.45;stroke:var(--c0);stroke-"
    "width:.6}.heat{fill:var(--c0);shape-rendering:crispEdges}"
    ".contour{stroke:var(--ink);stroke-width:1;fill:none}.plate{fill:var(--back);fill-opacity:.85}\n"
    ".l0,.l1,.l2,.l3,.l4,.l5{fill:none;stroke-width:1.7;stroke-linejoin:round}"
    ".l0,.m0{stroke:var(--c0)}.l1,.m1{stroke:var(--c1)}.l2,.m2{stroke:var(--c2)}.l3,.m3{stroke:var(--c3)}.l4,.m4{"
    "stroke:var(--c4)}"
    ".l5,.m5{stroke:var(--c5)}\n"
    ".l1{stroke-dasharray:6 3}.l2{stroke-dasharray:2 2.5}.l3{stroke-dasharray:9 3 2 3}.l4{stroke-dasharray:13 "
    "4}.l5{stroke-dasharray:4 2 1 2}\n"
    ".m0,.f0{fill:var(--c0)}.m1,.f1{fill:var(--c1)}.m2,.f2{fill:var(--c2)}.m3,.f3{fill:var(--c3)}.m4,.f4{fill:var(--c4)"
    "}.m5,.f5{fill:var(--c5)}"
    ".m0,.m1,.m2,.m3,.m4,.m5{stroke:none}\n"
    ".b0,.b1,.b2,.b3,.b4,.b5{fill-opacity:.17}.b0{fill:var(--c0)}.b1{fill:var(--c1)}.b2{fill:var(--c2)}.b3{fill:var(--"
    "c3)}.b4{fill:var(--c4)}"
    ".b5{fill:var(--c5)}\n"
    ".claims{list-style:none;margin:8px 0;padding:0}.claims li{display:flex;flex-wrap:wrap;gap:2px "
    "14px;align-items:flex-start;padding:7px 0;"
    "border-bottom:1px solid var(--rule)}.claims .say{flex:1 1 300px;min-width:0;overflow-wrap:anywhere}.claims "
    "code{font-size:13px}\n"
    ".word{flex:0 0 68px;font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}.note{color:var(--note)}\n"
    "pre{background:var(--panel);border:1px solid var(--rule);border-radius:6px;padding:10px "
    "12px;overflow-x:auto;font:13px/1.45 ui-monospace,"
    "monospace;tab-size:4}summary{cursor:pointer;margin:10px 0;color:var(--dim)}\n"
    "@media (max-width:500px){body{padding:12px 12px "
    "40px}h1{font-size:20px}h2{font-size:17px}dl{grid-template-columns:repeat(2,minmax(0,1fr))}"
    "}\n";

void page_begin(struct text *out, const char *title)
{
    text_add(out, "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta "
                  "charset=\"utf-8\"/>\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>");
    text_add_escaped(out, title);
    text_add(out, "</title>\n<style>\n");
    text_add(out, style);
    text_add(out, "</style>\n</head>\n<body>\n");
}

void page_end(struct text *out)
{
    text_add(out, "</body>\n</html>\n");
}

void page_fact(struct text *out, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    text_add(out, "<div><dt>");
    text_add_escaped(out, name);
    text_add(out, "</dt><dd>");
    text_add_escaped(out, value);
    text_add(out, "</dd></div>\n");
}

void page_cell(struct text *out, double value)
{
    text_add(out, "<td>");
    text_add_digits(out, value, 6);
    text_add(out, "</td>");
}

void page_heading(struct text *out, int level, const char *text)
{
    text_addf(out, "<h%d>", level);
    text_add_escaped(out, text);
    text_addf(out, "</h%d>\n", level);
}

void page_source(struct text *out, const char *text)
{
    text_add(out, "<pre>");
    text_add_escaped(out, text);
    text_add(out, "</pre>\n");
}

int page_write(const char *path, const struct text *page)
{
    struct text draft = {0};
    int status = RNET_FAILED;
    FILE *file;

    text_addf(&draft, "%s.%ld", path, (long)getpid());
    file = fopen(draft.data, "w");
    if (file) {
        bool written = fwrite(page->data, 1, page->size, file) == page->size;

        if (!fclose(file) && written && !rename(draft.data, path))
            status = RNET_DONE;
    }
    if (status != RNET_DONE) {
        complain(0, "%s: %s", path, strerror(errno));
        unlink(draft.data);
    }
    text_free(&draft);
    return status;
}
