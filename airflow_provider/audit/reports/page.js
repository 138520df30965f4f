"use strict";
(() => {
  const form = document.getElementById("filter");
  if (!form) return;

  const rows = [...document.querySelectorAll("tr.finding")].map((row) => ({ row, text: row.textContent.toLowerCase() }));
  const groups = [...document.querySelectorAll("article.group")];
  const nothing = document.getElementById("nothing");
  const chips = [...form.querySelectorAll("[name=severity]")];
  const current = new Set(["new", "known", "open"]);
  const names = ["text", "severity", "system", "state", "rule"];

  function apply(note = true) {
    const wanted = new FormData(form);
    const words = wanted.get("text").toLowerCase().split(/\s+/).filter(Boolean);
    const severities = new Set(wanted.getAll("severity"));
    const counts = {};
    let shown = 0;
    for (const { row, text } of rows) {
      const data = row.dataset;
      const otherwise =
        ["system", "rule"].every((name) => !wanted.get(name) || wanted.get(name) === data[name]) &&
        (!wanted.get("state") || wanted.get("state") === data.state || (wanted.get("state") === "current" && current.has(data.state))) &&
        words.every((word) => text.includes(word));
      const matches = otherwise && severities.has(data.severity);
      counts[data.severity] = (counts[data.severity] || 0) + otherwise;
      row.hidden = !matches;
      shown += matches;
    }
    for (const chip of chips) chip.parentElement.querySelector("small").textContent = counts[chip.value] || 0;
    for (const group of groups) {
      const left = group.querySelectorAll("tr.finding:not([hidden])").length;
      group.hidden = left === 0;
    }
    nothing.hidden = shown > 0;
    form.elements.count.value = `${shown} of ${rows.length}`;
    if (note) remember(wanted, severities);
  }

  // The address keeps the filter, so that it can be passed on. A link to a finding or a rule stays until the filter changes.
  function remember(wanted, severities) {
    const kept = new URLSearchParams();
    for (const name of names) {
      const usual = (name === "severity" && severities.size === chips.length) || (name === "state" && wanted.get(name) === "current");
      if (!usual) for (const value of name === "state" ? [wanted.get(name) || "all"] : wanted.getAll(name)) if (value) kept.append(name, value);
    }
    history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname + location.search);
  }

  function target() {
    const name = decodeURIComponent(location.hash.slice(1));
    return name && !name.includes("=") ? document.getElementById(name) : null;
  }

  function recall() {
    const kept = new URLSearchParams(location.hash.slice(1));
    if (!names.some((name) => kept.has(name))) return;
    for (const name of ["text", "system", "rule"]) form.elements[name].value = kept.get(name) || "";
    form.elements.state.value = !kept.has("state") ? "current" : kept.get("state") === "all" ? "" : kept.get("state");
    for (const box of chips) box.checked = !kept.has("severity") || kept.getAll("severity").includes(box.value);
  }

  function follow() {
    const wanted = target();
    if (!wanted) recall();
    else if (wanted.matches("tr.finding") && !current.has(wanted.dataset.state)) form.elements.state.value = wanted.dataset.state;
    apply(!wanted);
    if (wanted) wanted.scrollIntoView();
    else if (location.hash) document.getElementById("findings").scrollIntoView();
  }

  form.addEventListener("input", () => apply());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  addEventListener("hashchange", follow);
  form.hidden = false;
  follow();
})();
