// Tables that sort and filter.

/**
 * A table. A column is `{ label, value, show, number, title }`: `value` gives what a row is sorted by, `show` what is seen
 * of it: text or an element, by default the value. The `first` rows are shown until all are asked for, or somewhat more, if
 * that is all of them. A filter looks into what is seen, and into `words(row)`.
 */
function table({ caption, columns, rows, filter, sort, id, words, first = 50 }) {
  const state = { by: sort ? sort[0] : null, down: sort ? sort[1] : false, text: "", all: false };
  const body = el("tbody");
  const status = el("p", { class: "rows", role: "status" });
  const more = el("button", { type: "button", class: "more", onclick: () => ((state.all = true), draw()) });
  const heads = columns.map((column, at) => {
    const button = el("button", { type: "button", onclick: () => sortBy(at) }, column.label);
    return el("th", { scope: "col", class: column.number ? "number" : null, title: column.title }, button);
  });

  function sortBy(at) {
    state.down = state.by === at ? !state.down : Boolean(columns[at].number);
    state.by = at;
    draw();
  }

  function compare(a, b) {
    const value = columns[state.by].value;
    const [x, y] = [value(a), value(b)];
    // What there is none of comes last, either way.
    if (x === null || y === null) return (x === null) - (y === null);
    const order = typeof x === "number" ? x - y : String(x) < String(y) ? -1 : String(x) > String(y) ? 1 : 0;
    return state.down ? -order : order;
  }

  const searched = (row) => [...columns.map((column) => String(column.value(row) ?? "")), words ? words(row) : ""].join(" ").toLowerCase();

  function cell(column, row, at) {
    const value = column.value(row);
    const shown = column.show ? column.show(row) : value === null ? "–" : column.number ? count(value) : column.mono ? breakable(value) : value;
    const attributes = { class: column.number ? "number" : column.mono ? "mono" : null, "data-value": value ?? "" };
    return at === 0 ? el("th", { scope: "row", ...attributes }, shown) : el("td", attributes, shown);
  }

  function draw() {
    heads.forEach((head, at) => {
      if (state.by === at) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const wanted = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => {
      if (wanted.length === 0) return true;
      const text = searched(row);
      return wanted.every((word) => text.includes(word));
    });
    if (state.by !== null) found.sort(compare);
    const shown = state.all || found.length <= 1.5 * first ? found : found.slice(0, first);
    body.replaceChildren(...shown.map((row) => el("tr", {}, columns.map((column, at) => cell(column, row, at)))));
    status.textContent = found.length === rows.length ? "" : `${plural(found.length, "row")} of ${count(rows.length)}`;
    more.textContent = `Show all ${count(found.length)} rows`;
    more.hidden = shown.length === found.length;
  }

  draw();
  const search = filter
    ? el(
        "label",
        { class: "filter" },
        el("span", {}, filter),
        el("input", { type: "search", oninput: (event) => ((state.text = event.target.value), draw()) }),
      )
    : null;
  const content = el("table", { id }, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads)), body);
  const scroll = el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption }, content);
  return el("div", { class: "table" }, el("div", { class: "tools" }, search, status), scroll, more);
}
