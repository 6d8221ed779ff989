"use strict";

const make = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const draw = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/* Light and dark: for as long as the page is open. */

function addThemeButton() {
  const button = document.getElementById("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
  const show = () => button.setAttribute("aria-pressed", isDark());
  button.hidden = false;
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    show();
  });
  prefersDark.addEventListener("change", show);
  show();
}

/* Contents that fold away again. */

function foldContents() {
  const contents = document.querySelector(".contents details");
  contents.addEventListener("click", (event) => event.target.closest("a") && contents.removeAttribute("open"));
  contents.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !contents.open) return;
    contents.open = false;
    contents.querySelector("summary").focus();
  });
}

/* Tables: sorted by column, block by block (the third press restores the order of the page), filtered, and copied. */

const valueOf = (row, column) => {
  const value = row.cells[column]?.dataset.value;
  return value === undefined ? null : Number(value);
};
const textOf = (row, column) => row.cells[column]?.textContent.trim() ?? "";
const shownText = (cell) => cell?.innerText.replace(/\s+/g, " ").trim() ?? "";
const rowsOf = (part) => [...part.rows].filter((row) => !row.classList.contains("block"));
const allRows = (table) => [...table.tBodies].flatMap(rowsOf);

function makeSortable(table) {
  const rows = allRows(table);
  rows.forEach((row, index) => (row.dataset.order = index));
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const isNumber = rows.some((row) => valueOf(row, column) !== null);
    const isText = !isNumber && rows.some((row) => !/^[\d.,\s±()[\]+−—:-]*$/.test(textOf(row, column)));
    if (isText && table.classList.contains("data"))
      [header, ...rows.map((row) => row.cells[column])].forEach((cell) => cell?.classList.add("text"));
    if (header.tagName !== "TH" || rows.length < 2) return;
    const isLowerBetter = /↓|\[s\]|\bp\b/.test(header.textContent);
    const button = make("button", { type: "button" }, ...header.childNodes);
    const orders = isNumber && !isLowerBetter ? ["descending", "ascending"] : ["ascending", "descending"];
    header.append(button);
    button.addEventListener("click", () => {
      const order = orders[orders.indexOf(header.getAttribute("aria-sort")) + 1];
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (order) header.setAttribute("aria-sort", order);
      sortRows(table, column, isNumber, order);
    });
  });
}

function sortRows(table, column, isNumber, order) {
  const sign = order === "descending" ? -1 : 1;
  const byNumber = (one, other) => {
    const [a, b] = [valueOf(one, column), valueOf(other, column)];
    return a === null || b === null ? (a === null) - (b === null) : sign * (a - b);
  };
  const byText = (one, other) =>
    sign * textOf(one, column).localeCompare(textOf(other, column), "en", { numeric: true });
  const byPlace = (one, other) => one.dataset.order - other.dataset.order;
  const compare = !order ? byPlace : isNumber ? byNumber : byText;
  for (const body of table.tBodies) {
    body.append(...rowsOf(body).sort((one, other) => compare(one, other) || byPlace(one, other)));
  }
}

function addTools(table, escapes) {
  const name = table.closest(".scroll").getAttribute("aria-label");
  const rows = allRows(table);
  const said = make("span", { role: "status" });
  const tools = make("div", { class: "tools", role: "group", "aria-label": `Tools: ${name}` });
  if (rows.length > 1) {
    const field = make("input", { type: "search", placeholder: "Filter rows", "aria-label": "Filter rows", autocomplete: "off" });
    field.addEventListener("input", () => {
      const shown = filterRows(table, field.value);
      said.textContent = field.value.trim() ? `${shown} of ${rows.length} rows` : "";
    });
    tools.append(field);
  }
  for (const [format, write] of [["LaTeX", (lines) => asLatex(lines, escapes)], ["CSV", asCsv]]) {
    const button = make("button", { type: "button" }, `Copy ${format}`);
    button.addEventListener("click", async () => {
      const done = await copyText(write(linesOf(table)));
      said.textContent = done ? `Copied as ${format}` : "The browser does not allow to copy";
    });
    tools.append(button);
  }
  tools.append(said);
  table.closest(".scroll").before(tools);
}

/* A block without a row that is shown is not shown either. */
function filterRows(table, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const body of table.tBodies) {
    const title = body.rows[0]?.classList.contains("block") ? body.rows[0].textContent : "";
    const matching = rowsOf(body).filter((row) => {
      const content = `${title} ${row.textContent}`.toLowerCase();
      row.hidden = !words.every((word) => content.includes(word));
      return !row.hidden;
    });
    body.hidden = matching.length === 0;
    shown += matching.length;
  }
  return shown;
}

/* What is shown of a table, in its order: a header, and rows or the titles of blocks. */
function linesOf(table) {
  const header = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const width = header.length;
  const bodies = [...table.tBodies].filter((body) => !body.hidden);
  const rows = bodies.map((body) => [...body.rows].filter((row) => !row.hidden).map((row) => {
    if (row.classList.contains("block")) return { title: row.textContent.trim() };
    const cells = Array.from({ length: width }, (_, column) => row.cells[column]);
    return { cells: cells.map((cell) => ({ text: shownText(cell), isBold: Boolean(cell?.querySelector("strong")) })) };
  }));
  const caption = table.caption?.textContent.trim() ?? "";
  return { caption, header, bodies: rows };
}

function asCsv({ header, bodies }) {
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const hasTitles = bodies.some((rows) => rows.some((row) => row.title));
  const lines = [[...(hasTitles ? ["block"] : []), ...header]];
  for (const rows of bodies) {
    const title = rows.find((row) => row.title)?.title ?? "";
    for (const row of rows) if (row.cells) lines.push([...(hasTitles ? [title] : []), ...row.cells.map(({ text }) => text)]);
  }
  return lines.map((line) => line.map(quoted).join(",")).join("\n") + "\n";
}

/* As the files beside this page write it, with the same escapes. */
function asLatex({ caption, header, bodies }, escapes) {
  const { commands, last_latin: last, packages } = escapes;
  const escaped = (text) =>
    [...text]
      .map((one) => commands[one] ?? (one.codePointAt(0) <= last ? one : `\\texttt{U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}}`))
      .join("");
  const cell = ({ text, isBold }) => (isBold ? `\\textbf{${escaped(text)}}` : escaped(text));
  const line = (cells) => `${cells.join(" & ")} \\\\`;
  const body = bodies.flatMap((rows) => [
    "\\midrule",
    ...rows.map((row) => (row.cells ? line(row.cells.map(cell)) : line([`\\multicolumn{${header.length}}{l}{\\emph{${escaped(row.title)}}}`]))),
  ]);
  return [
    `% ${packages}`,
    "\\begin{table}",
    "\\centering",
    `\\caption{${escaped(caption)}}`,
    `\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%`,
    `\\begin{tabular}{l${"c".repeat(header.length - 1)}}`,
    "\\toprule",
    line(header.map(escaped)),
    ...body,
    "\\bottomrule",
    "\\end{tabular}}",
    "\\end{table}",
    "",
  ].join("\n");
}

/* Browsers that keep their clipboard from pages in files still copy what is selected. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const before = document.activeElement;
    const field = make("textarea", { class: "unseen", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    before?.focus();
    return done;
  }
}

/* Runs: a list to filter, and one run with its configuration, metrics and curves. */

const SHOWN = 200;
const FIELDS = ["id", "loss", "seed", "purpose", "kind", "status", "reason", "git", "packages", "hardware", "config", "values"];
const DIGITS = new Intl.NumberFormat("en", { maximumSignificantDigits: 5, useGrouping: false });
const number = (value) => (typeof value === "number" ? DIGITS.format(value) : (value ?? "—"));

function readRuns(data) {
  const text = (index) => (index < 0 ? "" : data.texts[index]);
  return data.groups.flatMap((group) =>
    group.runs.map((row) => {
      const run = { group };
      FIELDS.forEach((field, index) => (run[field] = row[index]));
      for (const field of ["loss", "purpose", "kind", "status", "reason", "git", "packages", "hardware"])
        run[field] = text(run[field]);
      run.config = group.configurations[run.config].map(text);
      const split = run.purpose === "selection" ? "val" : "test";
      run.primary = run.values[group.metrics.indexOf(`${split}/${group.metric}`)];
      run.title = `${group.benchmark} / ${run.loss} / seed ${run.seed ?? "—"}`;
      run.words = `${group.profile} ${run.title} seed${run.seed} ${run.purpose} ${run.kind} ${run.reason} ${run.id}`.toLowerCase();
      return run;
    }),
  );
}

function addExplorer(data) {
  const explorer = document.getElementById("explorer");
  const runs = readRuns(data);
  const benchmarks = [...new Set(runs.map((run) => run.group.benchmark))];
  const losses = [...new Set(runs.map((run) => run.loss))];
  const profiles = [...new Set(runs.map((run) => run.group.profile))];
  const search = make("input", { type: "search", placeholder: "image infonce seed3", autocomplete: "off" });
  const [profile, benchmark, loss] = [profiles, benchmarks, losses].map((names) =>
    make("select", {}, make("option", { value: "" }, "all"), ...names.map((name) => make("option", {}, name))),
  );
  const found = make("p", { class: "found", role: "status" });
  const body = make("tbody");
  const several = profiles.length > 1;
  const columns = ["run", ...(several ? ["profile"] : []), "purpose", "kind", "primary metric", ""];
  const header = columns.map((name) => (name ? make("th", { scope: "col" }, name) : make("td")));
  const list = make("table", {}, make("thead", {}, make("tr", {}, ...header)), body);
  const box = make("div", { class: "list", role: "region", tabindex: "0", "aria-label": "List of runs" }, list);
  const detail = make("div");
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matching = runs.filter(
      (run) =>
        (!profile.value || run.group.profile === profile.value) &&
        (!benchmark.value || run.group.benchmark === benchmark.value) &&
        (!loss.value || run.loss === loss.value) &&
        words.every((word) => run.words.includes(word)),
    );
    const more = matching.length > SHOWN ? `, the first ${SHOWN} are listed` : "";
    found.textContent = `${matching.length} of ${runs.length} runs${more}`;
    body.replaceChildren(...matching.slice(0, SHOWN).map((run) => listRow(run, several)));
    markCurrent();
  };
  const markCurrent = () => {
    for (const row of body.rows) row.toggleAttribute("aria-current", row.dataset.id === detail.dataset.id);
  };
  const open = () => {
    if (!/^#run-./.test(location.hash)) return;
    const wanted = decoded(location.hash.slice(5));
    const run = runs.find((one) => one.id === wanted) ?? runs.find((one) => one.id.startsWith(wanted) || wanted.startsWith(one.id));
    detail.dataset.id = run?.id ?? "";
    detail.replaceChildren(run ? describe(run, data) : make("p", { class: "notice" }, `No run ${wanted} is listed here.`));
    markCurrent();
    detail.scrollIntoView({ block: "start" });
    detail.querySelector("h3")?.focus({ preventScroll: true });
  };
  const choices = [["Search", search], ["Profile", profile], ["Benchmark", benchmark], ["Loss", loss]];
  const shown = choices.filter(([name]) => name !== "Profile" || several);
  explorer.append(make("div", { class: "filters" }, ...shown.map(([name, field]) => make("label", {}, name, field))));
  explorer.append(found, box, detail);
  explorer.hidden = false;
  for (const field of [search, profile, benchmark, loss]) field.addEventListener("input", show);
  addEventListener("hashchange", open);
  show();
  open();
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function listRow(run, several) {
  const link = make("a", { href: `#run-${encodeURIComponent(run.id)}` }, run.title);
  const metric = `${run.group.metric} ${number(run.primary)}`;
  const cells = [...(several ? [run.group.profile] : []), run.purpose, run.kind, metric, run.reason && `left out: ${run.reason}`];
  return make("tr", { "data-id": run.id }, make("th", { scope: "row" }, link), ...cells.map((text) => make("td", {}, text)));
}

function describe(run, data) {
  const { group } = run;
  const article = make("article", { class: "run", id: `run-${run.id}` });
  article.append(make("h3", { tabindex: "-1" }, run.title));
  const state = run.reason ? `Does not count: ${run.reason}.` : "Counts.";
  article.append(make("p", {}, `Profile ${group.profile}, ${run.purpose}, ${run.status.toLowerCase()}. ${state} Key ${run.id}.`));
  const varied = group.varied.map((name, index) => [name, run.config[index]]).filter(([, value]) => value !== "");
  const shared = Object.entries(group.shared).filter(([, value]) => value !== "");
  const settings = [...varied, ...shared].filter(([name]) => !name.startsWith("data."));
  const sums = [...varied, ...shared].filter(([name]) => name.startsWith("data."));
  const left = make("div", {}, make("h4", {}, "Configuration"), pairs(["parameter", "value"], settings, true));
  const right = make("div", {}, make("h4", {}, "Metrics"), metricsOf(run), make("h4", {}, "Provenance"), originOf(run));
  if (sums.length) right.append(folded("Checksums of the data", pairs(["file", "sha256"], sums.map(([name, sum]) => [name.slice(5), sum]))));
  article.append(make("div", { class: "columns" }, left, right), make("h4", {}, "Curves"), curvesOf(run, data));
  return article;
}

function metricsOf(run) {
  const { metrics } = run.group;
  const names = [...new Set(metrics.map((name) => name.slice(name.indexOf("/") + 1)))];
  const at = (split, name) => run.values[metrics.indexOf(`${split}/${name}`)] ?? null;
  const rows = names
    .filter((name) => at("val", name) !== null || at("test", name) !== null)
    .map((name) => [name, number(at("val", name)), number(at("test", name))]);
  const seconds = names.filter((name) => at("seconds", name) !== null).map((name) => `${name} ${number(at("seconds", name))} s`);
  const table = rows.length ? pairs(["metric", "validation", "test"], rows) : make("p", {}, "None was logged.");
  return make("div", {}, table, seconds.length ? make("p", { class: "found" }, `Time: ${seconds.join(", ")}.`) : "");
}

function originOf(run) {
  const rows = run.git ? [["commit", run.git]] : [];
  for (const text of [run.packages, run.hardware]) {
    try {
      rows.push(...Object.entries(JSON.parse(text || "{}")).map(([name, value]) => [name, String(value)]));
    } catch {
      rows.push(["", text]);
    }
  }
  return rows.length ? pairs(["what", "which"], rows) : make("p", {}, "None was logged.");
}

/* A table of names and values; grouped by what stands before the first dot of the names, where that is asked. */
function pairs(header, rows, grouped = false) {
  const head = make("thead", {}, make("tr", {}, ...header.map((name) => make("th", { scope: "col" }, name))));
  const groups = new Map();
  for (const [name, ...cells] of rows) {
    const dot = grouped ? name.indexOf(".") : -1;
    const line = make("tr", {}, make("th", { scope: "row" }, name.slice(dot + 1)), ...cells.map((text) => make("td", {}, text)));
    const title = dot < 0 ? "" : name.slice(0, dot);
    groups.set(title, [...(groups.get(title) ?? []), line]);
  }
  const titles = [...groups.keys()].sort().reverse();
  const bodies = titles.map((title) => {
    const heading = make("th", { scope: "rowgroup", colspan: header.length }, title);
    return make("tbody", {}, ...(title ? [make("tr", { class: "block" }, heading)] : []), ...groups.get(title));
  });
  return make("div", { class: "scroll" }, make("table", { class: "pairs" }, head, ...bodies));
}

const folded = (title, content) => make("details", {}, make("summary", {}, title), content);

/* Curves. */

const FIRST = ["train/loss", "train/similarity_positive", "train/similarity_negative", "train/clamped_fraction"];
const HISTOGRAM = "histogram/similarity_";

function curvesOf(run, data) {
  const { names, steps, runs } = data.curves;
  const series = (runs[run.id] ?? []).map(([name, at, values]) => ({ name: names[name], steps: steps[at], values }));
  const none = run.id in runs ? "None was logged." : `This page draws those of ${data.curves_read} runs, and this is none of them.`;
  if (!series.length) return make("p", {}, none);
  const place = ({ name }) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const lines = series.filter(({ name }) => !name.startsWith(HISTOGRAM));
  lines.sort((one, other) => place(one) - place(other) || one.name.localeCompare(other.name, "en"));
  const charts = lines.map((line) => chart(line.name, [line], "step"));
  const shares = series.filter(({ name }) => name.startsWith(HISTOGRAM));
  if (shares.length) {
    shares.sort((one, other) => (one.name < other.name ? 1 : -1));
    const centres = shares.map(({ name, steps: bins, values }) => ({
      name: name.slice(HISTOGRAM.length),
      steps: bins.map((bin) => -1 + (2 * bin + 1) / 100),
      values,
    }));
    charts.push(chart("cosines, last batch", centres, "cosine", [-1, 1]));
  }
  return make("div", { class: "curves" }, ...charts);
}

function chart(title, lines, axis, range) {
  const [width, height, left, right, top, bottom] = [260, 150, 44, 8, 20, 22];
  const values = lines.flatMap((line) => line.values).filter((value) => typeof value === "number");
  const steps = lines.flatMap((line) => line.steps);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [start, end] = range ?? [Math.min(...steps), Math.max(...steps)];
  const x = (step) => left + ((step - start) / (end - start || 1)) * (width - left - right);
  const y = (value) => height - bottom - (high > low ? (value - low) / (high - low) : 0.5) * (height - top - bottom);
  const said = lines.map(({ values: of }) => `from ${number(of[0])} to ${number(of[of.length - 1])}`).join("; ");
  const svg = draw("svg", { class: "curve", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${said}` });
  svg.append(
    draw("text", { class: "title", x: left, y: 12 }, title),
    draw("path", { class: "axis", fill: "none", d: `M${left} ${top}V${height - bottom}H${width - right}` }),
    draw("text", { x: left - 4, y: top + 8, "text-anchor": "end" }, values.length ? number(Number(high.toPrecision(3))) : ""),
    draw("text", { x: left - 4, y: height - bottom, "text-anchor": "end" }, high > low ? number(Number(low.toPrecision(3))) : ""),
    draw("text", { x: left, y: height - 8 }, number(start)),
    draw("text", { x: width - right, y: height - 8, "text-anchor": "end" }, `${axis} ${number(end)}`),
  );
  lines.forEach((line, index) => {
    const style = index ? "second" : "first";
    svg.append(...pathOf(line, x, y, style));
    if (lines.length > 1) svg.append(draw("text", { class: style, x: left + 6, y: top + 10 + 12 * index }, line.name));
  });
  return svg;
}

/* A missing value interrupts the line; a value without neighbours is a dot. */
function pathOf({ steps, values }, x, y, style) {
  const isKnown = (index) => typeof values[index] === "number";
  let path = "";
  const dots = [];
  steps.forEach((step, index) => {
    if (!isKnown(index)) return;
    path += `${isKnown(index - 1) ? "L" : "M"}${x(step).toFixed(1)} ${y(values[index]).toFixed(1)}`;
    if (!isKnown(index - 1) && !isKnown(index + 1))
      dots.push(draw("circle", { class: style, cx: x(step).toFixed(1), cy: y(values[index]).toFixed(1), r: 2 }));
  });
  return [draw("path", { class: `line ${style}`, d: path }), ...dots];
}

addThemeButton();
foldContents();
const known = JSON.parse(document.getElementById("data").textContent);
for (const table of document.querySelectorAll(".table table")) {
  makeSortable(table);
  addTools(table, known.latex);
}
addExplorer(known);
