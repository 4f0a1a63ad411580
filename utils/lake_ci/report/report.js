"use strict";
/* Lists of findings and tests: filtered, shown a page at a time, linked to by `#finding-...` and `#findings?job=...`.
   Every text goes into the page as text, never as markup. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const word = (number) => data.words[number];

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function place(file, line) {
    if (file < 0) return "";
    const [name, url] = data.files[file];
    const shown = element("code", {}, line ? `${name}:${line}` : name);
    return url ? element("a", { href: line ? `${url}#L${line}` : url }, shown) : shown;
  }

  function duration(seconds) {
    if (seconds < 100) return `${seconds.toFixed(seconds < 1 ? 3 : 1)} s`;
    return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  }

  function finding([id, job, check, tool, severity, rule, file, line, message]) {
    return element("li", { id, tabindex: "-1", class: `severity-${word(severity) === "error" ? "error" : "other"}` },
      element("p", { class: "place" }, element("span", { class: "severity" }, word(severity)), " ", place(file, line), " ",
        element("span", { class: "rule" }, word(rule))),
      element("p", { class: "message" }, message),
      element("p", { class: "origin" }, `${[...new Set([job, check, tool].map(word))].join(", ")} `,
        element("a", { href: `#${id}`, "aria-label": `Link to this finding: ${word(rule)}` }, "link")));
  }

  function test([job, name, seconds, outcome, file, line, output]) {
    const row = element("li", { tabindex: "-1", class: word(outcome) === "failed" ? "severity-error" : "severity-other" },
      element("p", { class: "place" }, element("span", { class: "seconds" }, duration(seconds)), " ",
        element("span", { class: "severity" }, word(outcome)), " ", element("span", { class: "message" }, name)),
      element("p", { class: "origin" }, `${word(job)} `, place(file, line)));
    if (output) {
      row.append(element("details", {}, element("summary", {}, "Output"), element("pre", {}, output)));
    }
    return row;
  }

  class List {
    /* name: of the section; noun: of one row; size: of a page; columns: which place of a row each select filters; texts: the places that
       the text filter looks into, numbers of words and files among them. */
    constructor(name, noun, size, items, columns, texts, render) {
      Object.assign(this, { name, noun, size, items, columns, texts, render });
      for (const part of ["filters", "count", "list", "more", "earlier"]) {
        this[part] = document.getElementById(`${name}-${part}`);
      }
      for (const [key, column] of Object.entries(columns)) {
        const names = [...new Set(items.map((item) => word(item[column])))];
        const select = this.filters.elements[key];
        for (const value of names) select.append(element("option", { value }, value));
      }
      document.getElementById(`${name}-without`).remove();
      this.filters.hidden = false;
      this.filters.addEventListener("submit", (event) => event.preventDefault());
      this.filters.addEventListener("input", () => this.changed());
      this.filters.addEventListener("reset", (event) => {
        event.preventDefault();
        this.set(new URLSearchParams());
        this.changed();
      });
      this.more.addEventListener("click", () => this.page(this.to, this.to + this.size, true));
      this.earlier.addEventListener("click", () => this.page(this.from - this.size, this.from, false));
      this.show();
    }

    set(query) {
      for (const control of this.filters.elements) {
        if (!control.name) continue;
        control.value = query.get(control.name) || "";
        // A value that no option has: nothing is of it, and the list must not show everything instead.
        if (control.value !== (query.get(control.name) || "")) {
          control.append(element("option", { value: query.get(control.name) }, query.get(control.name)));
          control.value = query.get(control.name);
        }
      }
    }

    changed() {
      const query = new URLSearchParams();
      for (const control of this.filters.elements) {
        if (control.name && control.value) query.set(control.name, control.value);
      }
      history.replaceState(null, "", `#${this.name}${String(query) && `?${query}`}`);
      this.show();
    }

    haystack(item) {
      return this.texts(item).join("\n").toLowerCase();
    }

    show() {
      const wanted = Object.entries(this.columns)
        .map(([key, column]) => [column, this.filters.elements[key].value])
        .filter(([, value]) => value);
      const text = this.filters.elements.text.value.trim().toLowerCase();
      this.shown = this.items.filter((item) => wanted.every(([column, value]) => word(item[column]) === value)
        && (!text || this.haystack(item).includes(text)));
      this.window(0);
    }

    window(from) {
      this.from = this.to = from;
      this.list.replaceChildren();
      this.page(from, from + this.size, true, false);
    }

    /* Adds rows below or above; the focus goes to the first new one, since the button that was pressed may be gone. */
    page(from, to, below, focus = true) {
      from = Math.max(from, 0);
      to = Math.min(to, this.shown.length);
      const rows = this.shown.slice(from, to).map(this.render);
      if (below) {
        this.list.append(...rows);
        this.to = to;
      } else {
        this.list.prepend(...rows);
        this.from = from;
      }
      this.list.start = this.from + 1;
      this.earlier.hidden = this.from === 0;
      this.more.hidden = this.to >= this.shown.length;
      this.more.textContent = `Show ${Math.min(this.size, this.shown.length - this.to).toLocaleString("en")} more`;
      const [all, found] = [this.items.length, this.shown.length].map((number) => number.toLocaleString("en"));
      const plural = this.items.length === 1 ? this.noun : `${this.noun}s`;
      this.count.textContent = found === all ? `${all} ${plural}` : `${found} of ${all} ${plural}`;
      if (focus && rows.length) rows[0].focus();
    }

    reveal(index) {
      if (!this.shown.includes(this.items[index])) {
        this.set(new URLSearchParams());
        this.show();
      }
      const at = this.shown.indexOf(this.items[index]);
      if (at < this.from || at >= this.to) this.window(Math.floor(at / this.size) * this.size);
      return this.list.children[at - this.from];
    }
  }

  const lists = {};
  if (data.findings.length) {
    lists.findings = new List("findings", "finding", 200, data.findings, { job: 1, tool: 3, severity: 4 },
      (item) => [word(item[1]), word(item[2]), word(item[5]), item[6] < 0 ? "" : data.files[item[6]][0], item[8]], finding);
  }
  if (data.tests.length) {
    lists.tests = new List("tests", "test", 50, data.tests, { job: 0, outcome: 3 },
      (item) => [word(item[0]), item[1], item[6]], test);
  }

  function go() {
    const [name, query] = location.hash.slice(1).split(/\?(.*)/s);
    let target = null;
    if (name.startsWith("finding-")) {
      const index = data.findings.findIndex((item) => item[0] === name);
      if (index >= 0) target = lists.findings.reveal(index);
    } else if (lists[name] && query !== undefined) {
      lists[name].set(new URLSearchParams(query));
      lists[name].show();
      target = document.getElementById(name);
    } else {
      target = document.getElementById(name);
      if (target instanceof HTMLDetailsElement) target.open = true;
    }
    for (const old of document.querySelectorAll(".target")) old.classList.remove("target");
    if (!target) return;
    target.classList.add("target");
    target.scrollIntoView();
    const focused = target instanceof HTMLDetailsElement ? target.firstElementChild : target;
    if (focused.tabIndex >= 0 || focused.hasAttribute("tabindex")) focused.focus({ preventScroll: true });
  }

  addEventListener("hashchange", go);
  // A link to where the page already is changes no hash, and must still lead there.
  addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.hash === location.hash) go();
  });
  if (location.hash) go();

  // Paper has nothing to click: what is folded away is printed open.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });
})();
