"use strict";
(() => {
  const form = document.getElementById("filter");
  const folded = [...document.querySelectorAll("details")];
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = folded.filter((one) => !one.open);
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });
  if (!form) return;

  const rows = [...document.querySelectorAll("tr.finding")].map((row) => ({ row, text: row.textContent.toLowerCase() }));
  const groups = [...document.querySelectorAll("article.group")];
  const nothing = document.getElementById("nothing");
  const names = ["text", "severity", "system", "state", "rule"];

  function apply() {
    const wanted = new FormData(form);
    const words = wanted.get("text").toLowerCase().split(/\s+/).filter(Boolean);
    const severities = new Set(wanted.getAll("severity"));
    let shown = 0;
    for (const { row, text } of rows) {
      const data = row.dataset;
      const matches =
        severities.has(data.severity) &&
        ["system", "state", "rule"].every((name) => !wanted.get(name) || wanted.get(name) === data[name]) &&
        words.every((word) => text.includes(word));
      row.hidden = !matches;
      shown += matches;
    }
    for (const group of groups) {
      const left = group.querySelectorAll("tr.finding:not([hidden])").length;
      group.hidden = left === 0;
    }
    nothing.hidden = shown > 0;
    form.elements.count.value = `${shown} of ${rows.length}`;
    remember(wanted, severities);
  }

  // The address keeps the filter, so that it can be passed on.
  function remember(wanted, severities) {
    const kept = new URLSearchParams();
    for (const name of names) {
      const all = name === "severity" && severities.size === form.querySelectorAll("[name=severity]").length;
      if (!all) for (const value of wanted.getAll(name)) if (value) kept.append(name, value);
    }
    history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname + location.search);
  }

  function recall() {
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const name of ["text", "system", "state", "rule"]) if (kept.has(name)) form.elements[name].value = kept.get(name);
    if (kept.has("severity")) for (const box of form.querySelectorAll("[name=severity]")) box.checked = kept.getAll("severity").includes(box.value);
  }

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  form.hidden = false;
  recall();
  apply();
})();
