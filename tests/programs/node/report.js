// Opens a page of `redtape report` in a real Chromium, walks through it by keyboard, and prints what it saw as one JSON
// object.
//
//     node report.js PAGE.html FOLDER NAME     screenshots go to FOLDER, and are called NAME-*.png
const { chromium } = require("playwright-core");
const { pathToFileURL } = require("node:url");

const [page, folder, name] = process.argv.slice(2);
const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

async function main() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ARGUMENTS });
  try {
    process.stdout.write(`${JSON.stringify(await visit(browser))}\n`);
  } finally {
    await browser.close();
  }
}

async function visit(browser) {
  const seen = { console: [], requests: [], errors: [] };
  const watch = (tab) => {
    tab.on("console", (message) => seen.console.push(`${message.type()}: ${message.text()}`));
    tab.on("pageerror", (error) => seen.errors.push(String(error.stack || error).split("\n", 2).join(" ")));
    tab.on("dialog", (dialog) => (seen.errors.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
    tab.on("request", (request) => seen.requests.push(request.url()));
  };
  const open = async (options) => {
    const context = await browser.newContext(options);
    const tab = await context.newPage();
    watch(tab);
    await tab.goto(pathToFileURL(page).href);
    await tab.waitForFunction(() => document.documentElement.dataset.ready === "true");
    seen.open_ms ??= await tab.evaluate(() => performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd);
    return tab;
  };
  const shot = async (tab, what) => {
    await drawAll(tab);
    await tab.screenshot({ path: `${folder}/${name}-${what}.png`, fullPage: true });
  };

  const tab = await open({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  seen.title = await tab.title();
  seen.red = await rows(tab, "#red");
  seen.tiles = await tab.$$eval(".tile dd[data-value]", (all) => Object.fromEntries(all.map((one) => [one.id, Number(one.dataset.value)])));
  seen.ids = ["edges", "metrics", "lost", "diagnostics", "trace-list", "compare-red"];
  seen.tables = {};
  for (const id of seen.ids) seen.tables[id] = await rows(tab, `#${id}`);
  seen.traces_shown = await tab.$eval("#traces", (one) => one.querySelector("p").textContent);
  seen.headings = await tab.$$eval("h1, h2, h3", (all) => all.map((one) => `${one.tagName.toLowerCase()} ${one.textContent}`));
  seen.sections = await tab.$$eval("main section", (all) => all.map((one) => one.textContent.trim().length));
  seen.desktop = { beyond: await tab.$$eval(".table .scroll", (all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.getAttribute("aria-label"))) };
  await shot(tab, "light");
  seen.charts = await tab.$$eval(".canvas", (all) => all.map((one) => ({
    id: one.id, label: one.getAttribute("aria-label"), marks: one.querySelectorAll("svg path, svg rect").length,
  })));
  seen.accessibility = await tab.evaluate(accessibility);
  seen.light = await contrast(tab);
  seen.keyboard = await keyboard(tab);
  await shot(tab, "trace");
  seen.linked = await linked(tab);

  const dark = await open({ viewport: { width: 1280, height: 900 }, colorScheme: "dark" });
  seen.dark = await contrast(dark);
  await shot(dark, "dark");

  const phone = await open({ viewport: { width: 360, height: 740 }, colorScheme: "light", isMobile: true, hasTouch: true });
  const trace = await phone.$("[data-trace]");
  if (trace) await trace.tap();
  await shot(phone, "phone");
  seen.phone = await phone.evaluate(() => ({
    wide: document.documentElement.scrollWidth, viewport: window.innerWidth,
    beyond: [...document.querySelectorAll("main *")]
      .filter((one) => !one.closest(".scroll, .frame") && one.getBoundingClientRect().right > window.innerWidth + 1 && one.getBoundingClientRect().width > 1)
      .slice(0, 5).map((one) => one.outerHTML.slice(0, 120)),
  }));
  return seen;
}

/** The rows of a table, with what is seen and what stands behind it. Of a table that is not there, null. */
async function rows(tab, table) {
  if (!(await tab.$(table))) return null;
  return tab.$eval(table, (one) => {
    const heads = [...one.querySelectorAll("thead th")].map((head) => head.textContent);
    const cell = (element, at) => [heads[at], { text: element.textContent, value: element.dataset.value }];
    return [...one.querySelectorAll("tbody tr")].map((row) => Object.fromEntries([...row.children].map(cell)));
  });
}

/** From the first route that leads to traces: to which, and where the focus is then. */
async function linked(tab) {
  const link = await tab.$("#red .link");
  if (!link) return null;
  const route = await link.textContent();
  await link.press("Enter");
  const wanted = await tab.$eval("#traces input", (one) => (document.activeElement === one ? one.value : null));
  return { route, wanted, traces: (await rows(tab, "#trace-list")).length };
}

/** Charts are drawn when they come into view. */
async function drawAll(tab) {
  for (const canvas of await tab.$$(".canvas")) await canvas.scrollIntoViewIfNeeded();
  await tab.waitForFunction(() => [...document.querySelectorAll(".canvas")].every((one) => one.querySelector("svg")));
  await tab.evaluate(() => window.scrollTo(0, 0));
}

/** What lacks a name. Runs in the page. */
function accessibility() {
  const named = (one) => (one.getAttribute("aria-label") || one.textContent || one.labels?.[0]?.textContent || "").trim() !== "";
  const all = (selector) => [...document.querySelectorAll(selector)];
  const ids = all("[id]").map((one) => one.id);
  const levels = all("h1, h2, h3").map((one) => Number(one.tagName[1]));
  return {
    language: document.documentElement.lang,
    unnamed: all("button, select, input, a, [role=img], [role=region]").filter((one) => !named(one)).map((one) => one.outerHTML.slice(0, 120)),
    without_caption: all("table").filter((one) => !one.caption?.textContent).length,
    without_header: all("table").filter((one) => one.querySelector("thead th:not([scope=col]), tbody th:not([scope=row])")).length,
    charts_without_table: all("figure").filter((one) => !one.querySelector("details") && !one.nextElementSibling?.matches(".table")).map((one) => one.textContent.slice(0, 40)),
    same_ids: ids.filter((id, at) => ids.indexOf(id) !== at),
    skipped_levels: levels.filter((level, at) => at > 0 && level > levels[at - 1] + 1).length,
    landmarks: ["header", "nav", "main", "footer"].filter((one) => !document.querySelector(one)),
  };
}

/** The lowest contrast of any text with what is behind it, and where. */
async function contrast(tab) {
  return tab.evaluate(() => {
    const numbers = (text) => (text.match(/[\d.]+/g) || []).map(Number);
    const luminance = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((part) => part / 255).map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (one) => {
      for (let at = one; at; at = at.parentElement) {
        const parts = numbers(getComputedStyle(at).backgroundColor);
        if (parts.length === 3 || parts[3] === 1) return parts;
      }
      return [255, 255, 255];
    };
    let worst = { ratio: 21, text: "" };
    for (const one of document.querySelectorAll("body *")) {
      const own = [...one.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent.trim()).join("");
      if (own === "" || one.closest("svg, script") || one.getBoundingClientRect().width === 0) continue;
      const [a, b] = [numbers(getComputedStyle(one).color), behind(one)].map(luminance).sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < worst.ratio) worst = { ratio, text: own.slice(0, 60) };
    }
    return { ...worst, background: getComputedStyle(document.body).backgroundColor };
  });
}

/** Walks through the page with the keyboard alone. */
async function keyboard(tab) {
  const focus = () => tab.evaluate(() => {
    const one = document.activeElement;
    return one === document.body ? "body" : `${one.tagName.toLowerCase()} ${(one.id || one.textContent || one.getAttribute("aria-label") || "").trim().slice(0, 40)}`;
  });
  const until = async (selector) => {
    for (let presses = 1; presses < 400; presses += 1) {
      await tab.keyboard.press("Tab");
      if (await tab.evaluate((wanted) => document.activeElement.matches(wanted), selector)) return presses;
    }
    throw new Error(`Tab does not reach ${selector}`);
  };
  const walk = { first: [] };
  await tab.evaluate(() => document.activeElement.blur());
  for (let presses = 0; presses < 4; presses += 1) {
    await tab.keyboard.press("Tab");
    walk.first.push(await focus());
  }
  walk.outlined = await tab.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  const first = async (table, column) => (await rows(tab, table))[0][column].value;
  if (await tab.$("#red")) {
    await until("#red thead button");
    walk.unsorted = await tab.$eval("#red thead th", (one) => one.getAttribute("aria-sort"));
    await tab.keyboard.press("Enter");
    walk.ascending = [await tab.$eval("#red thead th", (one) => one.getAttribute("aria-sort")), (await rows(tab, "#red")).map((row) => row.Service.value)];
    await tab.keyboard.press("Enter");
    walk.descending = [await tab.$eval("#red thead th", (one) => one.getAttribute("aria-sort")), (await rows(tab, "#red")).map((row) => row.Service.value)];
  }
  if (await tab.$("[data-trace]")) {
    await until("#traces input");
    const word = (await first("#trace-list", "Trace")).split(" ")[0];
    await tab.keyboard.type(word);
    walk.filtered = (await rows(tab, "#trace-list")).every((row) => row.Trace.value.includes(word));
    await until("[data-trace]");
    walk.trace = await tab.evaluate(() => document.activeElement.dataset.trace);
    await tab.keyboard.press("Enter");
    walk.opened = await focus();
    walk.spans = await tab.$$eval(".spans > li", (all) => all.map((one) => ({ ...one.dataset })));
    await until(".spans .link");
    await tab.keyboard.press("Enter");
    walk.expanded = await tab.$eval(".spans .link", (one) => one.getAttribute("aria-expanded"));
    walk.attributes = await tab.$eval(".attributes", (one) => one.textContent);
    await tab.keyboard.press("Shift+Tab");
    await tab.keyboard.press("Enter");
    walk.closed = await tab.evaluate(() => document.activeElement.dataset.trace || null);
    await tab.keyboard.press("Enter");
  }
  const before = await tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await tab.focus("#theme");
  await tab.keyboard.press("Space");
  walk.theme = [before, await tab.evaluate(() => getComputedStyle(document.body).backgroundColor)];
  await tab.keyboard.press("Space");
  return walk;
}

main().catch((error) => {
  process.stderr.write(`${error.stack || error}\n`);
  process.exit(1);
});
