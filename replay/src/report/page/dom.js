// Elements. What a tape says only ever becomes text: nothing here, or anywhere in this page, makes HTML of a string.

function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let ids = 0;

/** An id that no other element of the page has. */
function newId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}

/** A section with its heading; `children` follow it. */
function section(id, title, ...children) {
  return el(
    "section",
    { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title`, tabindex: "-1" }, title),
    ...children,
  );
}

/** Text that may be broken where names have joints, rather than anywhere. */
const breakable = (text) => String(text).split(/(?<=[_/.,])/).flatMap((part, at) => (at === 0 ? [part] : [el("wbr"), part]));

const code = (text) => el("code", {}, breakable(text));
const note = (...children) => el("p", { class: "note" }, ...children);
const empty = (text) => el("p", { class: "empty" }, text);
