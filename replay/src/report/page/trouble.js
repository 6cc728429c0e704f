// Losses and diagnostics: what to bear in mind when reading the rest.

function trouble(facts, tapes) {
  const complaints = tapes.flatMap((tape) => tape.complaints.map((complaint) => `${tape.name}: ${complaint}`));
  const sentences = [...complaints, ...facts.unseen];
  const rows = (list) => [
    { label: "What", value: (row) => row.name, mono: true },
    { label: "Count", value: (row) => row.count, show: (row) => `${count(row.count)} ${row.unit}`.trim(), number: true },
    { label: "Meaning", value: (row) => row.meaning },
  ];
  const parts = [
    sentences.length > 0 ? el("ul", { class: "findings" }, sentences.map((sentence) => el("li", {}, sentence))) : null,
    facts.lost.length > 0
      ? table({ id: "lost", caption: "Lost", columns: rows(), rows: facts.lost })
      : el("p", { class: "fine" }, "Nothing was lost: all that was recorded is on the tape."),
    facts.diagnostics.length > 0
      ? table({ id: "diagnostics", caption: "Diagnostics", columns: rows(), rows: facts.diagnostics, sort: [1, true] })
      : el("p", { class: "fine" }, "There are no diagnostics: everything made sense."),
  ];
  return section("losses", "Losses and diagnostics", ...parts);
}
